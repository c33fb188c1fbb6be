"""Summary: aggregates in the place of rows, where only they are known; turned into the statistics of a likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

from bayeskit.errors import DataError, RefusedError, SupportError
from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.printing import print_number
from bayeskit.model.binding import Binding
from bayeskit.model.labels import Coords, keys
from bayeskit.statistics import double_double as dd
from bayeskit.statistics.columns import Layout
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.sums import Sums
from bayeskit.statistics.tables import Table

Array = np.ndarray
_SQUARES = ("sd", "var", "sum_sq")


class Summary:
    """What is known of rows whose values are not: how many there are, and their mean, sum, squares or counts.

    Given as data in the place of an observed variable, it stands for as many rows as it counts. Arrays hold one summary
    for each label: along the dims that latents bear and the dims that index columns point into, in this order and in
    the order of the labels, or as DataArrays with labels.

    Parameters
    ----------
    n : int or array, optional
        How many rows; left out with ``counts``.
    mean, sum : float or array, optional
        One of the two: of the values.
    sd, var, sum_sq : float or array, optional
        One of the three, for normal rows: the sample standard deviation or variance, with n - 1 in the denominator, or
        the sum of the squares of the values themselves (not about their mean). Where n is 1, sd and var say nothing
        and may be NaN.
    counts : array, optional
        How often each category occurs, the categories last: of a Categorical or Multinomial.
    exposure : float or array, optional
        The sum of the exposures of Poisson counts, or of the trials of binomial ones; by default n times the exposure
        of a row, where that is the same for all rows of a label.

    Notes
    -----
    The aggregates of a Normal: n, mean and one of sd, var and sum_sq. Bernoulli: n and sum. Binomial, Poisson: n (or
    exposure) and sum. Exponential: n and sum or mean. HalfNormal: n and sum_sq. Categorical, Multinomial: counts. Other
    likelihoods need the rows. The evidence is the density of the rows, but for counts that are added up (Binomial,
    Poisson, Multinomial), where it is that of their sum.

    Examples
    --------
    >>> import bayeskit as bk
    >>> m = bk.Model(coords={"arm": ["A", "B"]})
    >>> arm = m.index("arm", dims="obs")
    >>> p = m.latent("p", bk.Beta(1, 1), dims="arm")
    >>> y = m.observed("y", bk.Bernoulli(p[arm]), dims="obs")
    >>> m.condition({"y": bk.Summary(n=[1000, 1010], sum=[52, 71])})["p"].mean().values.round(4)
    array([0.0529, 0.0711])
    """

    def __init__(
        self,
        n: Any = None,
        *,
        mean: Any = None,
        sum: Any = None,
        sd: Any = None,
        var: Any = None,
        sum_sq: Any = None,
        counts: Any = None,
        exposure: Any = None,
    ) -> None:
        given = {"n": n, "mean": mean, "sum": sum, "sd": sd, "var": var, "sum_sq": sum_sq}
        given |= {"counts": counts, "exposure": exposure}
        self.given = {name: value for name, value in given.items() if value is not None}
        for group in (("mean", "sum"), _SQUARES):
            twice = [name for name in group if name in self.given]
            if len(twice) > 1:
                raise DataError(
                    f"A Summary must have one of {', '.join(group)}. Got {' and '.join(twice)}. Leave one out."
                )

    def __repr__(self) -> str:
        return f"Summary({', '.join(f'{n}={v!r}' for n, v in self.given.items())})"

    def labels(self) -> dict[str, Array]:
        """Return the labels that its DataArrays bear."""
        return {
            str(d): np.asarray(v.coords[d].values)
            for v in self.given.values()
            if hasattr(v, "coords")
            for d in v.dims
            if d in v.coords
        }


def level_dims(layout: Layout) -> tuple[str, ...]:
    """Return the dims whose labels tell summaries apart: those of latents, and those that index columns point into."""
    into = [c.into for c in layout.keys if isinstance(c.expression, Variable) and c.into is not None]
    return (*layout.plates, *into)


def sizes_of(summary: Summary, layout: Layout) -> dict[str, int]:
    """Return how long the dims of a summary's plain arrays are."""
    dims = level_dims(layout)
    sizes: dict[str, int] = {}
    for name, value in summary.given.items():
        own = dims if name != "counts" else (*dims, *_category_dims(layout))
        array = np.asarray(value)
        if not hasattr(value, "dims") and array.ndim == len(own):
            sizes |= dict(zip(own, array.shape, strict=True))
        elif hasattr(value, "dims"):
            sizes |= {str(d): n for d, n in zip(value.dims, value.shape, strict=True)}
    return sizes


def _category_dims(layout: Layout) -> tuple[str, ...]:
    statement = layout.statement
    into = statement.variable.into
    return statement.event or ((into,) if into is not None else ())


class _Reader:
    """The numbers of a summary along the dims of its levels, checked."""

    def __init__(self, summary: Summary, layout: Layout, labels: Coords) -> None:
        self.summary, self.layout, self.labels = summary, layout, labels
        self.dims = level_dims(layout)
        if len(set(self.dims)) < len(self.dims):
            self.refuse(f"its rows point into '{self.dims[0]}' twice")
        self.shape = tuple(labels.size(d) for d in self.dims)

    def refuse(self, why: str) -> NoReturn:
        raise RefusedError(
            f"'{self.layout.name}' ~ {self.layout.statement.distribution} must be given its rows, not a Summary: {why}."
        )

    def wrong(self, rule: str, got: object) -> NoReturn:
        raise DataError(f"The Summary of '{self.layout.name}' must have {rule}. Got {got}. Check the aggregates.")

    def allowed(self, *names: str) -> None:
        other = [n for n in self.summary.given if n not in names]
        if other:
            family = self.layout.statement.distribution.family
            self.wrong(f"{', '.join(names)} alone for rows of a {family}", other[0])

    def __call__(self, name: str, more: tuple[str, ...] = ()) -> Array:
        """Return one aggregate over all levels, ``(levels, *more)``."""
        if name not in self.summary.given:
            self.wrong(f"its {name}", f"{', '.join(self.summary.given) or 'nothing'}")
        value, dims = self.summary.given[name], (*self.dims, *more)
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            self.wrong(f"numbers for its {name}", array.dtype)
        array = array.astype(float)
        if hasattr(value, "dims"):
            array = self._by_label(name, value, array, dims)
        shape = tuple(self.labels.size(d) for d in dims)
        if array.shape not in (shape, ()) or (more and array.shape != shape):
            expected = f"dims {dims}, of sizes {shape}" if dims else "one number"
            self.wrong(f"{expected} for its {name}", f"an array of shape {array.shape}")
        return np.broadcast_to(array, shape).reshape(-1, *shape[len(self.dims) :])

    def _by_label(self, name: str, value: Any, array: Array, dims: tuple[str, ...]) -> Array:
        own = tuple(str(d) for d in value.dims)
        if set(own) != set(dims):
            self.wrong(f"dims {dims or 'none'} for its {name}", own or "none")
        array = array.transpose([own.index(d) for d in dims])
        for axis, d in enumerate(dims):
            if d in value.coords:
                place = {v: i for i, v in enumerate(keys(np.asarray(value.coords[d].values)))}
                absent = [v for v in keys(self.labels[d]) if v not in place]
                if absent:
                    self.wrong(f"a value for every label of '{d}'", f"none of {name} for {absent[0]!r}")
                array = array.take([place[v] for v in keys(self.labels[d])], axis=axis)
        return array

    def checked(self, name: str, *, where: Array | None = None, least: float = -np.inf, whole: bool = False) -> Array:
        """Return one aggregate that is finite, at least so large and, where it must be, whole."""
        values = self(name)
        some = np.ones(len(values), dtype=bool) if where is None else where
        bad = some & (~np.isfinite(values) | (values < least) | ((values != np.rint(values)) if whole else False))
        if bad.any():
            kind = "whole numbers" if whole else "finite numbers"
            bound = f" of at least {least:g}" if least > -np.inf else ""
            self.wrong(f"{kind}{bound} for its {name}", print_number(values[bad][0]))
        return np.where(some, values, 0.0)

    def count(self) -> Array:
        return self.checked("n", least=0, whole=True)

    def total(self, n: Array, **rules: Any) -> Array:
        """Return the sums of the values, as pairs."""
        if "sum" in self.summary.given:
            found = self.checked("sum", where=n > 0, **rules)
            if ((n == 0) & (np.nan_to_num(self("sum")) != 0)).any():
                self.wrong("a sum of 0 where n is 0", "another")
            return dd.from_float(found)
        rules.pop("whole", None)
        return dd.multiply(dd.from_float(self.checked("mean", where=n > 0, **rules)), dd.from_float(n))


def table_of_summary(summary: Summary, layout: Layout, binding: Binding) -> Table:
    """Return the statistics that aggregates say.

    Raises
    ------
    RefusedError
        Where the likelihood needs the rows.
    DataError
        Where no rows have such aggregates.
    """
    labels = binding.batches[0].labels
    read = _Reader(summary, layout, labels)
    columns = {c.name: _at_levels(c.expression, read, binding) for c in (*layout.keys, *layout.linear)}
    place = np.indices(read.shape).reshape(len(read.shape), -1).T if read.shape else np.zeros((1, 0))
    shapes = {n: c.shape[1:] for n, c in columns.items()}
    own = [columns[c.name].reshape(len(place), -1) for c in layout.keys]
    found = np.concatenate([place[:, : len(layout.plates)], *own], axis=1).astype(float)
    statement = layout.statement
    shapes[""] = tuple(labels.size(d) for d in statement.event)
    maker = _MAKERS.get(statement.distribution.family)
    if maker is None:
        read.refuse("its likelihood needs them one by one")
    linear = [columns[c.name].reshape(len(place), -1)[:, i] for c in layout.linear for i in range(prod(shapes[c.name]))]
    keys_, sums = maker(read, layout, found, linear, binding)
    kept = np.flatnonzero(sums.count > 0)
    return Table(layout, shapes, keys_[kept], sums.among(kept))


def _at_levels(e: Expression, read: _Reader, binding: Binding) -> Array:
    """Return a known part of a parameter at all levels, ``(levels, ...)``."""
    layout, local = read.layout, binding.batches[0]
    codes = {c.expression.name: c for c in layout.keys if isinstance(c.expression, Variable) and c.into is not None}
    numbers = {f"#{n}": np.arange(read.labels.size(str(c.into)))[np.newaxis] for n, c in codes.items()}
    stand: dict[str, Expression] = {
        n: Variable(f"#{n}", (str(c.into),), integer=True, into=c.into) for n, c in codes.items()
    }
    here = e.substitute(stand)
    more = tuple(d for d in here.dims if d not in read.dims)
    needs = [n for n in here.variables - numbers.keys() if n not in binding.env]
    rows = [d for d in more if d in layout.statement.plates]
    if rows or needs:
        read.refuse(f"its parameters read '{e}' row by row")
    here = binding.localised(layout.name, here, local)
    value = np.asarray(here.evaluate({**binding.env, **numbers}))[0]
    order = [here.dims.index(d) for d in (*(d for d in read.dims if d in here.dims), *more)]
    value = value.transpose(order)
    index = tuple(slice(None) if d in here.dims else None for d in read.dims)
    value = value[(*index, ...)]
    whole = (*read.shape, *value.shape[len(read.shape) :])
    return np.broadcast_to(value, whole).reshape(-1, *whole[len(read.shape) :])


# ---- families -------------------------------------------------------------------------------------------------------
Made = tuple[Array, Sums]


def _sums(first: Sequence[Array], second: Sequence[Array] = ()) -> Sums:
    """Return sums from pairs ``(2, cells)``."""
    cells = first[0].shape[-1]
    totals = [np.stack(s) if len(s) else np.zeros((0, 2, cells)) for s in (first, second)]
    return Sums(*totals, *(np.where(t[:, 0] == np.rint(t[:, 0]), 0.0, 8 * dd.UNIT * np.abs(t[:, 0])) for t in totals))


def _normal(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    read.allowed("n", "mean", "sum", *_SQUARES)
    n = read.count()
    count, total = dd.from_float(n), read.total(n)
    with np.errstate(all="ignore"):
        about = np.where(n > 0, dd.divide(dd.multiply(total, total), count), 0.0)
    if "sum_sq" in read.summary.given:
        squares = dd.from_float(read.checked("sum_sq", where=n > 0, least=0))
        short = squares[0] < about[0] * (1 - 1e-12)
        if short.any():
            read.wrong("a sum_sq of at least n * mean**2", print_number(squares[0][short][0]))
        squares = np.where(squares[0] < about[0], about, squares)
    else:
        name = "sd" if "sd" in read.summary.given else "var"
        spread = dd.from_float(read.checked(name, where=n > 1, least=0))
        if ((n == 1) & (np.nan_to_num(read(name)) != 0)).any():
            read.wrong(f"a {name} of 0 or NaN where n is 1", "another")
        spread = dd.multiply(spread, spread) if name == "sd" else spread
        squares = dd.add(dd.multiply(spread, dd.from_float(np.maximum(n - 1, 0.0))), about)
    known = [dd.from_float(x) for x in linear]
    second = []
    for i, x in enumerate(known):
        second += [dd.multiply(count, dd.multiply(x, z)) for z in known[i:]]
        second.append(dd.multiply(x, total))
    return found, _sums([count, *(dd.multiply(count, x) for x in known), total], [*second, squares])


def _positive(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    read.allowed("n", "mean", "sum")
    n = read.count()
    return found, _sums([dd.from_float(n), read.total(n, least=0)])


def _half_normal(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    read.allowed("n", "sum_sq")
    n = read.count()
    return found, _sums([dd.from_float(n), dd.from_float(read.checked("sum_sq", where=n > 0, least=0))])


def _bernoulli(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    read.allowed("n", "mean", "sum")
    n = read.count()
    ones = _whole_total(read, n)
    if (ones > n).any():
        raise SupportError(
            f"The Summary of '{layout.name}' ~ {layout.statement.distribution} must have a sum of at most n. "
            f"Got {print_number(ones[ones > n][0])}, where n is {print_number(n[ones > n][0])}."
        )
    return _by_value(found, [n - ones, ones])


def _whole_total(read: _Reader, n: Array) -> Array:
    total = read.total(n, least=0, whole=True)[0]
    whole = np.rint(total)
    if (np.abs(total - whole) > 1e-9 * np.maximum(1.0, whole)).any():
        read.wrong("a whole number for n times its mean", print_number(total[np.argmax(np.abs(total - whole))]))
    return whole


def _by_value(found: Array, counts: Sequence[Array]) -> Made:
    """Return one cell for each value 0, 1, ... of a level."""
    keys_ = [np.column_stack([found, np.full(len(found), float(k))]) for k in range(len(counts))]
    return np.concatenate(keys_), _sums([dd.from_float(np.concatenate(list(counts)))])


def _categorical(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    return _by_value(found, list(_counts(read, layout).T))


def _counts(read: _Reader, layout: Layout) -> Array:
    """Return counts by category, ``(levels, categories)``."""
    read.allowed("n", "counts", *(("exposure",) if layout.statement.event else ()))
    counts = read("counts", _category_dims(layout))
    bad = ~np.isfinite(counts) | (counts < 0) | (counts != np.rint(counts))
    if bad.any():
        read.wrong("whole numbers of at least 0 for its counts", print_number(counts[bad][0]))
    if not layout.statement.event and "n" in read.summary.given and (counts.sum(axis=1) != read.count()).any():
        read.wrong("counts whose sum is n", f"{print_number(counts.sum(axis=1)[0])} for an n of {read.count()[0]:g}")
    return counts


def _added_up(read: _Reader, layout: Layout, found: Array, linear: list[Array], binding: Binding) -> Made:
    how = layout.how
    if not isinstance(how, Exposed) or layout.exposure is None:
        read.refuse(
            f"its parameter {'n' if layout.statement.distribution.family != 'Poisson' else 'mu'} is no known number"
        )
    if layout.statement.event:
        y = list(_counts(read, layout).T)
        n = read.count() if "n" in read.summary.given else np.ones(len(found))
    else:
        read.allowed("n", "mean", "sum", "exposure")
        n = read.count() if "n" in read.summary.given or "mean" in read.summary.given else np.ones(len(found))
        y = [_whole_total(read, n)]
    if "exposure" in read.summary.given:
        c = read.checked("exposure", least=0, whole=how.parameter == "n")
    elif layout.statement.event:
        c = np.sum(y, axis=0)
    else:
        if "n" not in read.summary.given:
            read.wrong("its n or its exposure", ", ".join(read.summary.given))
        c = n * _at_levels(layout.exposure, read, binding)
    too_many = sum(y) > c if how.parameter == "n" else (sum(y) > 0) & (c == 0)
    if too_many.any():
        raise SupportError(
            f"The Summary of '{layout.name}' ~ {layout.statement.distribution} must have a sum of at most its "
            f"exposure. Got {print_number(sum(y)[too_many][0])}, where that is {print_number(c[too_many][0])}."
        )
    with np.errstate(all="ignore"):
        carrier = np.where(c > 0, how.carrier(y, c), 0.0)
    return found, _sums([dd.from_float(x) for x in (n, *y, c, carrier)])


_MAKERS = {
    "Normal": _normal,
    "Exponential": _positive,
    "HalfNormal": _half_normal,
    "Bernoulli": _bernoulli,
    "Categorical": _categorical,
    "Binomial": _added_up,
    "Poisson": _added_up,
    "Multinomial": _added_up,
}
