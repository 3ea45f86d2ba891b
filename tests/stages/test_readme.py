"""The README's parameters are the stages' own."""

from pathlib import Path

from tests.readme import parameter_table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_lists_every_parameter_as_the_stages_describe_it() -> None:
    listed = set(README.read_text(encoding="utf-8").splitlines())
    missing = [line for line in parameter_table().splitlines() if line not in listed]
    assert not missing, "`python -m tests.readme` prints the table:\n" + "\n".join(missing)
