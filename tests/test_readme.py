"""Every Python block of the README and of the documentation's pages runs, top to bottom, a page at a time."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_of(page: Path) -> str:
    """The page's Python blocks, each on the lines where it stands, so that a traceback points into the page."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block.group(1).splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCK.search(p.read_text(encoding="utf-8"))], ids=lambda p: p.stem
)
def test_page_runs(page, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")
    try:
        exec(compile(python_of(page), str(page), "exec"), {"__name__": "__page__"})
    finally:
        plt.close("all")


def test_a_failing_block_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\na = 1\n```\n\n```console\n$ ls\n```\n\n```python\nb = a / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(python_of(page), str(page), "exec"), {})
    assert caught.traceback[-1].lineno + 1 == 12  # pytest counts from 0
