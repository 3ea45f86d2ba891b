"""Rows that were cut to the length that a model is given, and what that means for a measure."""

from collections.abc import Iterable, Mapping

Counts = Mapping[str, Mapping[str, int]]


def cut_in_words(counts: Counts) -> list[str]:
    """Describe by split how many rows were cut, and how many of them cannot be answered any more.

    Args:
        counts: By split, `rows`, `cut` and `unanswered`, as a cell's record has them under `cut`.

    Returns:
        A line per split of which rows were cut or cannot be answered.

    >>> cut_in_words({"test": {"rows": 1319, "cut": 1277, "unanswered": 306}})
    ['1,277 of 1,319 rows of test are cut (finetune.max_length), 306 have no whole answer left']
    """
    said: list[str] = []
    for split, n in counts.items():
        of = f"of {n['rows']:,} rows of {split}"
        lost = f", {n['unanswered']:,} have no whole answer left" if n["unanswered"] else ""
        if n["cut"]:
            said.append(f"{n['cut']:,} {of} are cut (finetune.max_length){lost}")
        elif n["unanswered"]:
            room = "longer than may be written (max_new_tokens)"
            said.append(f"{n['unanswered']:,} {of} have answers {room}")
    return said


def cut_caveats(cells: Iterable[Mapping[str, object]]) -> list[str]:
    """Return what `cut_in_words` says of validation and test, once for cells of the same task.

    Args:
        cells: Cells' records; those without `cut` say nothing.
    """
    said: dict[str, None] = {}
    for cell in cells:
        counts = cell.get("cut")
        if isinstance(counts, Mapping):
            looked_at = {
                split: counts[split] for split in ("validation", "test") if split in counts
            }
            said |= dict.fromkeys(cut_in_words(looked_at))
    return list(said)
