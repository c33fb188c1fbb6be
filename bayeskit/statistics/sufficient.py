"""SufficientStatistics: what rows of data come down to for a model. They merge, take out, discount, and are saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.model.binding import Binding, read
from bayeskit.model.labels import Coords, together
from bayeskit.model.model import Model
from bayeskit.model.problem import Problem
from bayeskit.model.reading import GivenData, is_summary
from bayeskit.statistics.aggregates import Summary, sizes_of, table_of_summary
from bayeskit.statistics.coding import fitted, labelled_dims, united
from bayeskit.statistics.columns import layout_of
from bayeskit.statistics.known import Known, known_of, likelihood_text
from bayeskit.statistics.placing import with_tables
from bayeskit.statistics.removal import difference
from bayeskit.statistics.tables import Table, merged, table_of

Array = np.ndarray


class SufficientStatistics:
    r"""What the observed rows of some data come down to for a model: made by ``Model.summarize``, never changed.

    Rows that are equal but for what the likelihood sums up are one cell, which keeps their number and sums: means and
    products of a normal, also with the columns in which its mean is linear; successes and trials; counts and exposures
    ... Where a likelihood has no sufficient statistics the rows themselves are kept, equal ones once. Conditioning on
    statistics gives the posterior of the rows.

    ``a + b`` merges, in whatever order, matching labels; ``a - b`` takes rows back out; ``w * a`` counts every row
    ``w`` times: the likelihood to the power of w (power priors, forgetting).

    Raises
    ------
    RefusedError
        From ``a - b``, where rows are seen never to have been there, or more than 1e-10 of what is left would be lost;
        from ``w * a`` for a weight that is negative or not finite.

    Notes
    -----
    Sums are held with twice the digits of a float and carry a bound of their error: :math:`\epsilon = 2^{-104} = 5
    \times 10^{-32}` of all that was ever added up in them, M, for every operation; none for whole numbers. What is left
    of a sum of squares S after rows are taken out is thus uncertain by :math:`\epsilon M / S`, and the difference is
    refused where that is more than :math:`10^{-10}`: a row can be taken out of n others unless it lies more than about
    :math:`10^{10} \sqrt n` of their standard deviations away. Whether the rows taken out are those that were put in
    cannot always be seen.

    The weights of power priors are those of Ibrahim and Chen (2000), Power prior distributions for regression models,
    Statistical Science 15, 46-60, eq. 1. The evidence after a discount is that of the likelihood to the power of w.

    Examples
    --------
    >>> import bayeskit as bk
    >>> m = bk.Model()
    >>> y = m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 10)), 2), dims="obs")
    >>> a, b = m.summarize({"y": [1.0, 2.0, 4.0]}), m.summarize({"y": [3.0, 5.0]})
    >>> a + b
    SufficientStatistics
      y[obs] ~ Normal(mu, 2)  5 rows in 1 cell; means and sums of squares
    >>> m.condition(a + b)["mu"]
    Normal(2.976..., 0.890...)
    >>> m.condition((a + b) - b)["mu"]
    Normal(2.302..., 1.147...)
    """

    def __init__(self, model: Model, labels: Coords, known: Known, tables: Mapping[str, Table]) -> None:
        self.model, self.labels, self.known, self.tables = model, labels, known, dict(tables)

    # ---- how large they are -------------------------------------------------------------------------------------
    @property
    def rows(self) -> dict[str, float]:
        """How many rows each observed variable stands for; not whole after a discount."""
        return {n: t.rows for n, t in self.tables.items()}

    @property
    def cells(self) -> dict[str, int]:
        """How many cells they are in."""
        return {n: t.cells for n, t in self.tables.items()}

    def __repr__(self) -> str:
        return "\n".join(["SufficientStatistics", *("  " + line for line in self.lines())])

    def lines(self) -> list[str]:
        """Return a line of text for each observed variable."""
        heads = [_head(t) for t in self.tables.values()]
        width = max(map(len, heads), default=0)
        return [
            f"{head:<{width}}  {_count(t.rows, 'row')} in {_count(t.cells, 'cell')}; {t.layout.kept}"
            for head, t in zip(heads, self.tables.values(), strict=True)
        ]

    # ---- algebra ------------------------------------------------------------------------------------------------
    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        if not isinstance(other, SufficientStatistics):
            return NotImplemented
        a, b, labels = self._together(other)
        tables = {n: merged([t, b[n]]) for n, t in a.items()}
        return SufficientStatistics(
            self.model, labels, self.known.merged(self.labels, other.known, other.labels, labels), tables
        )

    def __radd__(self, other: object) -> SufficientStatistics:
        return self if other == 0 else NotImplemented  # so that sum() works

    def __sub__(self, other: SufficientStatistics) -> SufficientStatistics:
        if not isinstance(other, SufficientStatistics):
            return NotImplemented
        a, b, labels = self._together(other)
        tables = {n: difference(t, b[n]) for n, t in a.items()}
        return SufficientStatistics(
            self.model, labels, self.known.merged(self.labels, other.known, other.labels, labels), tables
        )

    def __mul__(self, w: float) -> SufficientStatistics:
        if isinstance(w, SufficientStatistics):
            return NotImplemented
        if not _is_number(w) or not 0 <= w < np.inf:
            raise RefusedError(
                f"The weight of statistics must be a number from 0 on, and finite. Got {w!r}. "
                "Write 0.5 * statistics to let every row count half."
            )
        tables = {n: t.scaled(float(w)) for n, t in self.tables.items()}
        return SufficientStatistics(self.model, self.labels, self.known, tables)

    __rmul__ = __mul__

    def _together(self, other: SufficientStatistics) -> tuple[dict[str, Table], dict[str, Table], Coords]:
        """Return the tables of both, their labels coded alike."""
        if self.model is not other.model:
            must_agree(self.model, other.known.text, "These statistics")
        if self.known.fixed != other.known.fixed:
            raise DataError(
                f"Statistics must hold the same known latents to be merged. Got {sorted(self.known.fixed)} and "
                f"{sorted(other.known.fixed)}. Give their values in both."
            )
        labels = united(self.model, self.labels, other.labels)
        a, b = ({n: fitted(t, s.labels, labels) for n, t in s.tables.items()} for s in (self, other))
        return a, b, labels

    # ---- files --------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write the statistics to a file: netCDF where it ends in ``.nc`` (needs the extra ``io``), JSON in ``.json``.

        The file holds no code and no rows but those that the statistics hold, and the text of the model's likelihood.
        """
        from bayeskit.statistics.saving import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path, model: Model) -> SufficientStatistics:
        """Read statistics from a file, for a model with the same likelihood (its priors may differ).

        Raises
        ------
        DataError
            Where the file is not one of statistics, or the model's likelihood is another one: what differs is named.
        """
        from bayeskit.statistics.saving import load

        return load(path, model)

    def as_given(self, model: Model) -> GivenData:
        """Return the statistics as a batch of data for a model."""
        if model is not self.model:
            must_agree(model, self.known.text, "These statistics")
        given = GivenData(self.known.given(self.labels))
        given.statistics, given.labels = self, self.labels
        return given


def summarize(model: Model, data: Any = None, **kwargs: Any) -> SufficientStatistics:
    """Return the sufficient statistics of data; ``Model.summarize`` is this function."""
    given = read_batch(model, data, kwargs)
    if given.statistics is not None:
        found: SufficientStatistics = given.statistics
        return found
    return statistics_of(Binding(model, [given]), 0)


def statistics_of(binding: Binding, number: int) -> SufficientStatistics:
    """Return the statistics of one bound batch of data."""
    model = binding.model
    names = [r.name for r in model.random.values() if r.observed]
    given = binding.given[number]
    absent = [n for n in names if n not in given]
    if absent or not names:
        raise DataError(
            f"Statistics must be of observations. Got {f'no data for {absent[0]!r}' if absent else 'a model without'}. "
            "Give the data of every observed variable."
        )
    fixed = frozenset(n for g in binding.given for n in g if n in model.random and not model.random[n].observed)
    rows = [i for i, g in enumerate(binding.given) if any(n in g for n in names)]
    observed = [o for o in binding.problem.observations if o.name in names]
    place = rows.index(number) * len(names)
    by_name = {o.name: o for o in observed[place : place + len(names)]}
    tables = {n: table_of(binding, number, by_name[n], layout_of(model, n, fixed)) for n in names}
    labels = binding.batches[number].labels.among(labelled_dims(model, tables.values()))
    return SufficientStatistics(model, labels, known_of(binding, number, fixed), tables)


def read_batch(model: Model, data: Any, more: Mapping[str, Any]) -> GivenData:
    """Read data or statistics for a model."""
    if not isinstance(data, SufficientStatistics):
        whole = {**data, **more} if isinstance(data, Mapping) else more
        if any(isinstance(v, Summary) for v in whole.values()):
            return _of_summaries(model, data, more).as_given(model)
        return read(model, data, more)
    if more:
        raise DataError(
            f"Statistics hold all that was observed. Got '{next(iter(more))}' beside them. Summarize it with the data."
        )
    return data.as_given(model)


def _of_summaries(model: Model, data: Any, more: Mapping[str, Any]) -> SufficientStatistics:
    """Return the statistics of data in which aggregates stand for observed variables."""
    if data is not None and not isinstance(data, Mapping):
        raise DataError(
            f"Data that hold a Summary must be a mapping. Got {type(data).__name__} beside it. Give columns by name."
        )
    whole = {**(data or {}), **more}
    names = [r.name for r in model.random.values() if r.observed]
    summaries = {n: v for n, v in whole.items() if isinstance(v, Summary)}
    wrong = [n for n in summaries if n not in names] or [n for n in names if n not in whole]
    if wrong:
        what = "A Summary must stand for an observed variable" if wrong[0] in summaries else "Every one must have data"
        raise DataError(
            f"{what}: {', '.join(names)}. Got {'one' if wrong[0] in summaries else 'none'} for '{wrong[0]}'."
        )
    given = read(model, {n: v for n, v in whole.items() if n not in summaries}, {})
    fixed = frozenset(n for n in given if n in model.random and n not in names)
    layouts = {n: layout_of(model, n, fixed) for n in names}
    given.statistics, given.labels = summaries, Coords()
    for name, summary in summaries.items():
        for dim, own in summary.labels().items():
            given.labels[dim] = own if dim not in given.labels else together(given.labels[dim], own)
        for dim, size in sizes_of(summary, layouts[name]).items():
            if dim not in given.labels and dim not in model.coords:
                given.labels.number(dim, size)
    binding = Binding(model, [given])
    rows = {o.name: o for o in binding.problem.observations}
    tables = {
        n: table_of_summary(summaries[n], layout, binding) if n in summaries else table_of(binding, 0, rows[n], layout)
        for n, layout in layouts.items()
    }
    labels = binding.batches[0].labels.among(labelled_dims(model, tables.values()))
    return SufficientStatistics(model, labels, known_of(binding, 0, fixed), tables)


def with_statistics(problem: Problem, binding: Binding, before: Problem | None) -> Problem:
    """Return a problem with the factors of the statistics among its batches.

    ``before`` is the problem without the last batch: its statistics are not merged again.
    """
    last = binding.given[-1]
    whole: SufficientStatistics | None = None if before is None else before.statistics
    if isinstance(last, GivenData) and last.statistics is not None:
        whole = last.statistics if whole is None else whole + last.statistics
    if whole is None:
        return problem
    tables = {n: fitted(t, whole.labels, binding.coords) for n, t in whole.tables.items()}
    return replace(with_tables(problem, binding, tables), statistics=whole)


def all_statistics(binding: Binding, whole: SufficientStatistics | None) -> SufficientStatistics:
    """Return the statistics of all batches; ``whole`` are those of the batches that came as statistics."""
    observed = {r.name for r in binding.model.random.values() if r.observed}
    found = [] if whole is None else [whole]
    found += [
        statistics_of(binding, i) for i, g in enumerate(binding.given) if not is_summary(g) and observed & g.keys()
    ]
    if not found:
        raise DataError("Statistics must be of observations. Got a posterior without data. Condition on some first.")
    return sum(found[1:], found[0])


def removed(binding: Binding, data: Any, more: Mapping[str, Any]) -> SufficientStatistics:
    """Return the statistics of data that are to be taken out of bound ones, whose columns they may do without."""
    given = read_batch(binding.model, data, more)
    if given.statistics is not None:
        found: SufficientStatistics = given.statistics
        return found
    return statistics_of(binding.extended(given), len(binding.given))


def must_have_rows(problem: Problem, what: str) -> None:
    """Refuse what asks about single rows where statistics stand for some of them."""
    if problem.statistics is not None:
        raise RefusedError(
            f"{what} must be asked of single rows. Got a posterior of sufficient statistics, which do not hold them. "
            "Condition on the data themselves."
        )


def must_agree(model: Model, text: Mapping[str, str], what: str) -> None:
    """Refuse a model whose likelihood is not the one that statistics were made for."""
    own = likelihood_text(model)
    for name in dict.fromkeys([*text, *own]):
        if text.get(name) != own.get(name):
            raise DataError(
                f"{what} must be of this model's likelihood. Got '{text.get(name, 'nothing')}' for '{name}', where the "
                f"model has '{own.get(name, 'nothing')}'. Use the model that they were made with."
            )


def _head(table: Table) -> str:
    statement = table.layout.statement
    dims = f"[{', '.join(statement.dims)}]" if statement.dims else ""
    return f"{statement.name}{dims} ~ {statement.distribution}"


def _count(number: float, noun: str) -> str:
    shown = f"{number:,.0f}" if number == np.rint(number) else f"{number:,.6g}"
    return f"{shown} {noun}{'' if number == 1 else 's'}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
