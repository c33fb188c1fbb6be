"""The directive `conjugacy-table`: the conjugate rules as tables, read from the rules themselves.

One table for each natural family, one row for each rule of `bayeskit.conjugate.rules.RULES`. The priors that a family
accepts are found by offering it one of each kind. Nothing is written by hand, so the page cannot claim a rule that the
library does not have.
"""

from itertools import groupby

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import bayeskit as bk
from bayeskit.conjugate import rules
from bayeskit.conjugate.families import natural_family
from bayeskit.distributions import Distribution

COLUMNS = {"Likelihood": 18, "Through": 16, "Form": 10, "Posterior": 34, "Source": 22}
ARGUMENTS = [(), (1,), (1, 1), (1, 1, 1), ([1, 1],), (0, np.eye(2)), (3, np.eye(2))]  # one of these suits each family
FAMILIES_LEFT = (
    "Distribution",
    "Flat",
    "Uniform",
    "Truncated",
    "Ordered",
    "Power",
    "Monotone",
)  # what they are depends on what is in them
VARIANTS = [  # of those, one of each kind, and how it is written
    ("Flat()", bk.Flat()),
    ("Flat(0)", bk.Flat(0)),
    ("Uniform(0, 1)", bk.Uniform(0, 1)),
    ("Uniform(a, b)", bk.Uniform(-2, 3)),
    ("Uniform(0, b)", bk.Uniform(0, 3)),
    ("truncated Normal", bk.Truncated(bk.Normal(0, 1), 0)),
    ("truncated Gamma", bk.Truncated(bk.Gamma(1, 1), 0.5)),
    ("truncated InverseGamma", bk.Truncated(bk.InverseGamma(1, 1), 0.5)),
    ("truncated HalfNormal", bk.Truncated(bk.HalfNormal(1), None, 2)),
    ("truncated Beta", bk.Truncated(bk.Beta(1, 1), 0.5)),
    ("truncated Pareto", bk.Truncated(bk.Pareto(1, 1), None, 2)),
    ("Uniform(-pi, pi)", bk.Uniform(-np.pi, np.pi)),
    ("Flat(-pi, pi)", bk.Flat(-np.pi, np.pi)),
    ("Gamma(0, 0)", bk.Gamma(0, 0)),
    ("DiscreteUniform(0, n)", bk.DiscreteUniform(0, 5)),
]
IN_WORDS = {  # of a gamma: what its children are linear in, and what it is to them
    "As a rate, shape, precision, scale or variance: ": (1.0, -1.0),
    "As a standard deviation: ": (-2.0, 2.0),
}


def candidates() -> list[tuple[str, Distribution]]:
    """Name and one instance of every prior that a natural family may be offered."""
    found = []
    for name in bk.distributions.__all__:
        family = getattr(bk.distributions, name)
        if name in FAMILIES_LEFT or not (isinstance(family, type) and issubclass(family, Distribution)):
            continue
        for arguments in ARGUMENTS:
            try:
                found.append((name, family(*arguments)))
            except (TypeError, bk.errors.BayeskitError):
                continue
            break
    return found + VARIANTS


def accepted(prior: str, exponents: tuple[float, ...] = (1.0,)) -> list[str]:
    """Return the priors that belong to a natural family, whichever of the powers its children are linear in."""
    names = [
        name
        for name, d in candidates()
        if not any(isinstance(natural_family(d, prior, {power}), str) for power in exponents)
    ]
    if "MvNormal" not in names and prior == "Normal":
        names.append("MvNormal")  # read by the joint Gaussian block, not element by element
    general = {
        "Uniform(0, b)": "Uniform(a, b)",
        "Uniform(-pi, pi)": "Uniform(a, b)",
        "Flat(0)": "Flat()",
        "Flat(-pi, pi)": "Flat()",
        "Gamma(0, 0)": "Gamma",
    }
    return [
        name for name in names if general.get(name) not in names and not (name == "Uniform(0, 1)" and prior != "Beta")
    ]


class ConjugacyTable(SphinxDirective):
    """A rubric, the priors and a table for each natural family."""

    def run(self) -> list[nodes.Node]:
        """Build the tables."""
        self.env.note_dependency(rules.__file__)
        made: list[nodes.Node] = []
        for prior, group in groupby(sorted(rules.RULES, key=lambda rule: rule.prior), key=lambda rule: rule.prior):
            title = "Gamma: rates, shapes, scales, precisions" if prior == "Gamma" else prior
            made.append(nodes.rubric("", title))
            if prior == "Gamma":
                made += [priors(text, accepted(prior, powers)) for text, powers in IN_WORDS.items()]
            else:
                made.append(priors("Priors: ", accepted(prior)))
            made.append(table(list(group)))
        return made


def priors(text: str, names: list[str]) -> nodes.paragraph:
    """A line that lists priors."""
    line = nodes.paragraph("", "", nodes.Text(text))
    for number, name in enumerate(names):
        line += [nodes.Text(", " if number else ""), nodes.literal("", name)]
    line += nodes.Text(".")
    return line


def table(group: list[rules.Rule]) -> nodes.table:
    """One row for each rule of one natural family."""
    cells = [
        [
            [nodes.literal("", rule.child)],
            [nodes.literal("", rule.through)],
            [nodes.Text(rule.form)],
            updates(rule.formula),
            [nodes.Text(rule.source)],
        ]
        for rule in group
    ]
    layout = nodes.tgroup(cols=len(COLUMNS))
    layout += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
    layout += nodes.thead("", row([[nodes.Text(title)] for title in COLUMNS]))
    layout += nodes.tbody("", *(row(line) for line in cells))
    return nodes.table("", layout)


def updates(formula: str) -> list[nodes.Node]:
    """The natural parameters of the posterior, each as a literal."""
    parts = formula.split(", ")
    if formula.startswith("as "):
        return [nodes.Text(formula)]
    made: list[nodes.Node] = []
    for number, part in enumerate(parts):
        made += [nodes.Text(", " if number else ""), nodes.literal("", part)]
    return made


def row(cells: list[list[nodes.Node]]) -> nodes.row:
    """A row of a table, one paragraph in each cell."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("conjugacy-table", ConjugacyTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
