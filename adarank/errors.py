"""The errors a user can act on: what, where, got, expected, remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, put so that the reader can fix it.

    Attributes:
        what: The fault, in one short sentence.
        where: Key path, file, module or row it concerns.
        got: The offending value, as found.
        expected: What would have been accepted, with the numbers.
        remedy: What to type or change next.
    """

    what: str
    where: str = ""
    got: object = None
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.got is not None:
            lines.append(f"  got:      {_shortened(self.got)}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  remedy:   {self.remedy}")
        return _printable("\n".join(lines))


class AdaRankError(Exception):
    """An error with one or more problems; prints without a traceback.

    Attributes:
        problems: Every problem found, in the order found.
        exit_code: What a command that meets this error exits with.
    """

    exit_code = 1

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InputError(AdaRankError):
    """Parameters or data that cannot be used as given (exit code 2)."""

    exit_code = 2


class RunError(AdaRankError):
    """Good input, but the run itself cannot go on (exit code 1)."""


def input_error(
    what: str, *, where: str = "", got: object = None, expected: str = "", remedy: str = ""
) -> InputError:
    """Make an InputError of a single problem; see Problem for the fields."""
    return InputError(Problem(what, where, got, expected, remedy))


def run_error(
    what: str, *, where: str = "", got: object = None, expected: str = "", remedy: str = ""
) -> RunError:
    """Make a RunError of a single problem; see Problem for the fields."""
    return RunError(Problem(what, where, got, expected, remedy))


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, on a GPU or a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in _NO_MEMORY)


@contextmanager
def within(place: str) -> Iterator[None]:
    """Add the file, or section, to the errors that are raised inside."""
    try:
        yield
    except AdaRankError as error:
        placed = (f"{place}: {p.where}" if p.where else place for p in error.problems)
        problems = (replace(p, where=w) for p, w in zip(error.problems, placed, strict=True))
        raise type(error)(*problems) from None


def _printable(text: str) -> str:
    # A message may quote a damaged file: no terminal's codes, nothing that cannot be encoded.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _shortened(value: object, limit: int = 300) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"
