"""Rows that were cut to the length that a model is given, and what that means for a measure."""

from collections.abc import Iterable, Mapping

Counts = Mapping[str, Mapping[str, int]]


def cut_in_words(counts: Counts) -> list[str]:
    """Describe by split how many rows were cut, how many are lost, and how many measured.

    Args:
        counts: By split, what `Encoded.counts` says of it, as a cell's record has it under `cut`.

    Returns:
        A line per split of which rows were cut or cannot be answered.

    >>> cut_in_words({"test": {"rows": 1319, "cut": 1277, "uncounted": 306, "unanswered": 306}})
    ['1,277 of 1,319 rows of test are cut (finetune.max_length); 306 of them lost every token \
that counts, so 1,013 rows are measured']
    """
    lines = {
        split: _in_words(f"of {n['rows']:,} rows of {split}", n) for split, n in counts.items()
    }
    return [line for line in lines.values() if line]


def _in_words(of: str, n: Mapping[str, int]) -> str:
    lost = n.get("uncounted", 0)
    unanswered = max(0, n["unanswered"] - lost)
    measured = f"so {n['rows'] - lost:,} rows are measured"
    said: list[str] = []
    if n["cut"]:
        said.append(f"{n['cut']:,} {of} are cut (finetune.max_length)")
        if lost:
            said.append(f"{lost:,} of them lost every token that counts, {measured}")
        if unanswered:
            said.append(f"{unanswered:,} that are measured have no answer left to compare with")
    else:
        if lost:
            said.append(f"{lost:,} {of} have no token that counts, {measured}")
        if unanswered:
            room = "longer than may be written (max_new_tokens)"
            said.append(f"{unanswered:,} {of} have answers {room}")
    return "; ".join(said)


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
