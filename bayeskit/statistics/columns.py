"""What the parameters of an observed variable read of the data, as the model writes them: the layout of its statistics.

A layout follows from the model alone, not from any data, so that statistics of different data can be merged: every
known part of a parameter is a column, and is either a key (rows are merged where it is equal) or, where the mean of a
normal is linear in it, summed up with the value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from bayeskit.errors import RefusedError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.expressions.nodes import Apply
from bayeskit.expressions.structure import Contract, Cumsum, Index, Join, Reduce, Rename, Scatter
from bayeskit.model.model import Model
from bayeskit.model.statements import RandomVariable
from bayeskit.statistics.exposures import EXPOSED, Exposed
from bayeskit.statistics.parts import BY_ROW
from bayeskit.statistics.precision import split_known
from bayeskit.statistics.rows import identity
from bayeskit.statistics.summaries import KINDS, Kind

CELL = "#cell"  # stands for the dim of the cells in the parameters of a layout


@dataclass(frozen=True, eq=False)
class Column:
    """A known part of a parameter.

    Attributes
    ----------
    name : str
        What stands for it in the parameters of the layout.
    expression : Expression
        As the model writes it.
    dims : tuple of str
        Its dims beyond those of the rows.
    into : str or None
        The dim that its numbers are labels of.
    """

    name: str
    expression: Expression
    dims: tuple[str, ...] = ()
    into: str | None = None

    @property
    def text(self) -> str:
        """How the model writes it."""
        return str(self.expression)


@dataclass(frozen=True, eq=False)
class Layout:
    """How the rows of one observed variable are summarised.

    Attributes
    ----------
    statement : RandomVariable
        What the model says of it.
    plates : tuple of str
        Those of its dims that latents bear: each row keeps its labels.
    parameters : tuple of Expression
        Functions of the latents and of the columns.
    keys, linear : tuple of Column
        Columns in which the rows of a cell are equal, and those that are summed up with the value.
    how : Kind, Exposed or None
        How values are summed up; None where equal ones are counted.
    exposure : Expression or None
        What counts are added up with.
    by_row : bool
        Whether the rows of a cell must stay rows of their own.
    """

    statement: RandomVariable
    plates: tuple[str, ...]
    parameters: tuple[Expression, ...]
    keys: tuple[Column, ...]
    linear: tuple[Column, ...]
    how: Kind | Exposed | None
    exposure: Expression | None
    by_row: bool

    @property
    def name(self) -> str:
        """The variable."""
        return self.statement.name

    @cached_property
    def squared(self) -> bool:
        """Whether sums of products are kept."""
        return isinstance(self.how, Kind) and self.how.squared

    @property
    def merges_only(self) -> str:
        """Why nothing can be taken out, or empty."""
        return self.how.merges_only if isinstance(self.how, Kind) else ""

    @cached_property
    def kept(self) -> str:
        """What is kept of the values of a cell, in words."""
        if self.how is None:
            is_counted = self.statement.distribution.discrete and not self.by_row
            return "counts" if is_counted else "rows, merged where equal (there are no sufficient statistics)"
        if isinstance(self.how, Exposed):
            return f"sums of counts and {'trials' if self.how.parameter == 'n' else 'exposures'}"
        if not self.squared:
            return "sums"
        products = "products" if self.linear or self.statement.event else "squares"
        return f"means and sums of {products}" + (f" with {', '.join(c.text for c in self.linear)}" * bool(self.linear))


def layout_of(model: Model, name: str, fixed: Collection[str] = ()) -> Layout:
    """Return how the rows of an observed variable are summarised.

    Parameters
    ----------
    model : Model
        The statements.
    name : str
        The observed variable.
    fixed : collection of str
        Latents whose values are given.

    Raises
    ------
    RefusedError
        Where a parameter takes rows together (a sum along them, a running sum ...): then no row stands for itself.
    """
    statement = model.random[name]
    known = {*model.columns, *fixed, *(r.name for r in model.random.values() if r.observed)}
    plates = tuple(d for d in statement.plates if any(d in _free_dims(e, known) for e in statement.parameters))
    rows = set(statement.plates) - set(plates)
    family = statement.distribution.family
    how: Kind | Exposed | None = KINDS.get(family)
    by_row = family in BY_ROW or bool(statement.event and how is None and not statement.distribution.discrete)
    written, exposure = list(statement.parameters), None
    if family in EXPOSED:
        place = [p.name for p in statement.distribution.parameters].index(EXPOSED[family].parameter)
        exposure, rest = split_known(written[place], known)
        is_count = EXPOSED[family].parameter == "n"
        if is_count == (rest is None):  # a number of trials that is known, or a rate that holds a latent
            how, written[place] = EXPOSED[family], Constant(1) if rest is None else rest
        else:
            exposure = None
    reader = _Reader(statement, rows, known)
    parameters = [reader(e) for e in written]
    columns = tuple(reader.found.values())
    linear = _linear(statement, parameters, columns) if family == "Normal" else ()
    keys = tuple(c for c in columns if c not in linear)
    return Layout(statement, plates, tuple(parameters), keys, linear, None if by_row else how, exposure, by_row)


def _free_dims(e: Expression, known: Collection[str]) -> set[str]:
    """Return the dims that what is not known bears, where no index picks along them."""
    if e.variables <= set(known):
        return set()
    if isinstance(e, Variable):
        return set(e.dims)
    if isinstance(e, Index):
        free = _free_dims(e.table, known) - e.indices.keys()
        return free.union(*(_free_dims(i, known) for i in e.indices.values()))
    return set().union(*(_free_dims(child, known) for child in e.children()))


class _Reader:
    """Rewrites parameters: every known part becomes a column over the cells."""

    def __init__(self, statement: RandomVariable, rows: set[str], known: set[str]) -> None:
        self.statement, self.rows, self.known = statement, rows, known
        self.found: dict[tuple[str | int, str | None], Column] = {}

    def __call__(self, e: Expression, into: str | None = None) -> Expression:
        """Return an expression over the cells; ``into`` is the dim that it points into, where it is an index."""
        if e.variables <= self.known and (e.variables or set(e.dims) & self.rows):
            return self._column(e, into)
        if isinstance(e, Variable | Constant):
            return e
        self._check(e)
        if isinstance(e, Index):
            return Index(self(e.table), {d: self(i, d) for d, i in e.indices.items()})
        return e.rebuild(tuple(self(child) for child in e.children()))

    def _column(self, e: Expression, into: str | None) -> Variable:
        is_label = isinstance(e, Variable) and e.into is not None
        if _uses_codes(e) and not (is_label and into is not None):
            raise RefusedError(
                f"The statistics of '{self.statement.name}' must not depend on how labels are numbered. Got '{e}' in "
                "its parameters. Use the labels as an index alone, or declare the numbers with m.data."
            )
        key = identity(e), into
        if key not in self.found:
            more = tuple(d for d in e.dims if d not in self.statement.plates)
            self.found[key] = Column(f"#{len(self.found)}", e, more, into)
        column = self.found[key]
        return Variable(column.name, (CELL, *column.dims), integer=e.integer, into=into)

    def _check(self, e: Expression) -> None:
        """Refuse what takes rows together."""
        if isinstance(e, Reduce | Contract | Cumsum):
            along: set[str | None] = {e.dim}
        elif isinstance(e, Join):
            along = {e.dim, *e.along}
        elif isinstance(e, Rename):
            along = {*e.names, *e.names.values()}
        elif isinstance(e, Apply | Index):
            return
        else:
            along = set(e.dims if not isinstance(e, Scatter) else self.statement.plates)
        taken = along & set(self.statement.plates)
        if taken:
            raise RefusedError(
                f"The rows of '{self.statement.name}' must stand for themselves to be summarised. Got '{e}', which "
                f"takes them together along '{sorted(map(str, taken))[0]}'. Condition on the data themselves."
            )


def _uses_codes(e: Expression) -> bool:
    """Whether an expression computes with the numbers of labels."""
    if isinstance(e, Variable):
        return e.into is not None
    return any(map(_uses_codes, [e.table] if isinstance(e, Index) else e.children()))


def _linear(
    statement: RandomVariable, parameters: Sequence[Expression], columns: Sequence[Column]
) -> tuple[Column, ...]:
    """Return columns in which the mean is linear, all of them together, and on which nothing else depends."""
    place = [p.name for p in statement.distribution.parameters].index("mu")
    mean, others = parameters[place], [e for i, e in enumerate(parameters) if i != place]
    sizes: defaultdict[str, int] = defaultdict(lambda: 1)  # whether a form is linear does not depend on them
    linear: list[Column] = []
    for column in columns:
        if column.into is not None or any(column.name in e.variables for e in others):
            continue
        names = {c.name for c in (*linear, column)}
        if not isinstance(linear_form(mean, names, sizes), NotLinear):
            linear.append(column)
    return tuple(linear)
