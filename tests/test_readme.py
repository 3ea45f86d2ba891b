"""README: short, its links lead somewhere, its pictures are light and have words beside them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.findall(r"(!?)\[([^\]]*)\]\(([^)#]+)", README)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_links_within_the_project_lead_to_files() -> None:
    inside = [path for _, _, path in LINKS if not path.startswith("https://")]
    assert inside and [path for path in inside if not (ROOT / path).exists()] == []


def test_pictures_are_light_and_described() -> None:
    pictures = {path: words for mark, words, path in LINKS if mark}
    assert "docs/figures/report.png" in pictures
    assert all(len(words) > 20 for words in pictures.values())
    assert [p for p in pictures if (ROOT / p).stat().st_size > 200_000] == []
