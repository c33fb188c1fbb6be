"""Every Python block of the README and of the pages runs, top to bottom, and prints what the page says it prints."""

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

import bayeskit
from bayeskit.conjugate.rules import RULES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
# A block of Python and, where a block of text follows at once, what it must print ("..." stands for anything).
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run_page(page: Path) -> None:
    """Run a page's blocks in one namespace, each on the lines where it stands, and compare what they print."""
    text = page.read_text(encoding="utf-8")
    names = {"__name__": "__page__"}
    for block in BLOCK.finditer(text):
        code = "\n" * text.count("\n", 0, block.start(1)) + block.group(1)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        if block.group(2) is not None:
            assert doctest.OutputChecker().check_output(block.group(2), printed.getvalue(), LOOSELY), (
                f"{page.name} says that this prints\n{block.group(2)}\nbut it prints\n{printed.getvalue()}"
            )


@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCK.search(p.read_text(encoding="utf-8"))], ids=lambda p: p.stem
)
def test_page_runs(page, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")
    try:
        run_page(page)
    finally:
        plt.close("all")


def test_a_failing_block_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\na = 1\n```\n\n```console\n$ ls\n```\n\n```python\nb = a / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page)
    assert caught.traceback[-1].lineno + 1 == 12  # pytest counts from 0


def test_a_block_that_prints_something_else_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(0.25)\n```\n\n```text\n0.2...\n```\n")
    run_page(page)
    page.write_text("```python\nprint(0.25)\n```\n\n```text\n0.3...\n```\n")
    with pytest.raises(AssertionError, match="says that this prints"):
        run_page(page)


def test_the_readme_names_every_rule():
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for rule in RULES:
        assert any(rule.prior in row.split("|")[1] and rule.child in row.split("|")[3] for row in rows), rule


def test_every_public_name_is_in_the_reference():
    words = set(re.findall(r"[\w.]+", (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")))
    assert {n for n in bayeskit.__all__ if n not in words and f"bayeskit.{n}" not in words} == {"__version__"}
