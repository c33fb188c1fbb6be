"""The directive `conjugacy-table`: the conjugate rules as tables, read from the rules themselves.

One table for each prior family, one row for each rule of `bayeskit.conjugate.rules.RULES`. Nothing is written by hand,
so the page cannot claim a rule that the library does not have.
"""

from enum import Enum
from itertools import groupby
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bayeskit.conjugate import rules

COLUMNS = {"Likelihood": 22, "Through": 14, "Form": 12, "Posterior": 34, "Source": 18}


def words(value: Any) -> str:
    """A family, a member of an enumeration or several of either, as words."""
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(words(v) for v in value)
    if isinstance(value, Enum):
        return str(value.name).lower()
    return str(getattr(value, "__name__", value))


class ConjugacyTable(SphinxDirective):
    """A rubric and a table for each prior family, in the order of the rules."""

    def run(self) -> list[nodes.Node]:
        """Build the tables."""
        self.env.note_dependency(rules.__file__)
        made: list[nodes.Node] = []
        by_prior = sorted(rules.RULES, key=lambda rule: words(rule.prior))
        for prior, group in groupby(by_prior, key=lambda rule: words(rule.prior)):
            made += [nodes.rubric("", f"{prior} prior"), self.table(list(group))]
        return made

    def table(self, group: list[Any]) -> nodes.table:
        """One row for each rule of one prior family."""
        cells = [
            [
                nodes.literal("", words(rule.child)),
                nodes.literal("", words(rule.parameter)),
                nodes.Text(words(rule.form)),
                nodes.literal("", rule.formula),
                nodes.Text(rule.source),
            ]
            for rule in group
        ]
        layout = nodes.tgroup(cols=len(COLUMNS))
        layout += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        layout += nodes.thead("", row([nodes.Text(title) for title in COLUMNS]))
        layout += nodes.tbody("", *(row(line) for line in cells))
        return nodes.table("", layout)


def row(cells: list[nodes.Node]) -> nodes.row:
    """A row of a table, one paragraph in each cell."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("conjugacy-table", ConjugacyTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
