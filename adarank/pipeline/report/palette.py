"""Colours for light and dark, and marks: both mark a strategy, so that neither is needed.

The hues are Okabe and Ito's (2008, Color Universal Design), darkened or lightened to a contrast of
at least 3:1 with the page. Figures hold the light colours; the page exchanges them for the dark
ones where the reader's system is dark, so no two light ones may be the same.
"""

from typing import NamedTuple


class Colour(NamedTuple):
    """One colour of the page, in hexadecimal."""

    light: str
    dark: str


SURFACE = Colour("#ffffff", "#14171a")
INK = Colour("#1b1f24", "#e6e9ec")
MUTED = Colour("#646b73", "#a0a8b1")
GRID = Colour("#e3e6e9", "#2c3238")
RAISED = Colour("#f5f7f8", "#1d2226")
LINK = Colour("#0b5cad", "#7db8f0")
WARNING = Colour("#a63a00", "#ff9d66")

BLUE = Colour("#0072b2", "#56a8e0")
VERMILLION = Colour("#d55e00", "#f0894a")
GREEN = Colour("#008a65", "#3cc79b")
PURPLE = Colour("#b0558a", "#e3a1c6")
OCHRE = Colour("#a97400", "#f2c14e")
INDIGO = Colour("#4b3fa7", "#a79bff")
GREY = Colour("#5f6770", "#b0b7be")

SERIES = (BLUE, VERMILLION, GREEN, PURPLE, OCHRE, INDIGO, GREY)

HEAT = (Colour("#f1f5f9", "#1f262c"), Colour("#7fb0da", "#3b78ad"), Colour("#08306c", "#cfe6fb"))
"""Least, middle and most of a heat map."""

DIVERGING = (
    Colour("#f2a679", "#93481c"),
    Colour("#fdfdfd", "#22282e"),
    Colour("#86bce3", "#1f5f93"),
)
"""Most below zero, zero, and most above it: light enough for text in the ink's colour."""

NAMED = {
    "surface": SURFACE,
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "raised": RAISED,
    "link": LINK,
    "warning": WARNING,
    "better": BLUE,
    "worse": VERMILLION,
}
"""What the style sheet knows by name."""

SYMBOLS = (
    "square diamond cross x triangle-up triangle-down star hexagon pentagon triangle-left "
    "triangle-right hourglass bowtie star-diamond hexagram octagon star-square"
).split()
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def colour(place: int) -> str:
    """Pick the colour of the series at a place, from 0."""
    return SERIES[place % len(SERIES)].light


def symbol(place: int) -> str:
    """Pick its mark: no two alike among the first 34; a circle is kept for the reference."""
    rounds, at = divmod(place, len(SYMBOLS))
    return SYMBOLS[at] + ("-open" if rounds % 2 else "")


def dash(place: int) -> str:
    """Pick its line."""
    return DASHES[place % len(DASHES)]


def exchange() -> dict[str, str]:
    """Map every light colour to its dark one."""
    return {one.light: one.dark for one in {*NAMED.values(), *SERIES, *HEAT, *DIVERGING}}
