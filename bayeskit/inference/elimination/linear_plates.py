"""A plate of normal latents whose rows are log odds or log rates that are linear in them: read from the model.

What depends on the core alone is evaluated once for every core point; the rows are sorted by element once and for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.gammafunctions import log_choose
from bayeskit.expressions import Expression, aligner
from bayeskit.expressions.linear import NotLinear, Position, linear_form
from bayeskit.expressions.nodes import Apply
from bayeskit.inference.core.links import link_of
from bayeskit.inference.elementwise import Elementwise
from bayeskit.inference.elimination.cell_modes import Cells, find_modes
from bayeskit.inference.elimination.general_cells import REFERENCES, GeneralPlate, Starter, rows_of
from bayeskit.inference.elimination.linear_cells import Layout, LinearCells, LogitRows, LogRows, Rows
from bayeskit.inference.elimination.mode_map import guess, mode_map
from bayeskit.model.problem import Factor, Latent, Problem

Array = np.ndarray
Environment = Mapping[str, Array]

_LARGEST_COUNT = 1e7  # beyond it too many digits are lost between the parts of a row's density
_WORTH_A_MAP = 15_000  # numbers of a batch: with fewer, modes are found sooner than a map of them is made
_LEAST = -1e300  # what stands for log 0


@dataclass(frozen=True, eq=False)
class RowsOf:
    """One child as rows, sorted by element.

    Attributes
    ----------
    kind : type
        The cumulant.
    offset, coefficient : Expression
        Predictor: offset + coefficient * element.
    dims : tuple of str
        Along which the predictor is laid.
    order : array (rows,) or None
        What sorts them; None where they are sorted.
    owner : array (rows,)
        The element of each, sorted.
    y, weight : array (rows,)
        Successes or counts, and trials or occurrences.
    constant : float
        What their log densities have beside ``y eta - weight * cumulant``.
    """

    kind: type[Rows]
    offset: Expression
    coefficient: Expression
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    order: Array | None
    owner: Array
    y: Array
    weight: Array
    constant: float
    _layouts: dict[int, Layout] = field(default_factory=dict)

    def _layout(self, batch: int, width: int) -> Layout:
        """Return which rows belong to which cell, for a batch; the last few are kept."""
        found = self._layouts.get(batch)
        if found is None:
            found = Layout(np.tile(np.bincount(self.owner, minlength=width), batch))
            if len(self._layouts) > 3:
                self._layouts.clear()  # which another thread may do at any time
            self._layouts[batch] = found
        return found

    def laid(self, expression: Expression, env: Environment) -> Array:
        """Return an expression by sorted row: ``(batch or 1, rows)``."""
        with np.errstate(divide="ignore"):
            values = aligner(expression.dims, self.dims)(expression.evaluate(env))
        values = np.asarray(np.broadcast_to(values, (values.shape[0], *self.shape)), dtype=float)
        values = values.reshape(values.shape[0], -1)
        return values if self.order is None else values[:, self.order]

    def at(self, env: Environment, batch: int, width: int) -> tuple[Rows, Array]:
        """Return the rows of all entries of a batch, and what does not depend on the elements ``(batch,)``."""
        a = np.maximum(self.laid(self.offset, env), _LEAST)
        rest = a @ self.y + self.constant
        layout = self._layout(batch, width)
        c, unit, y = self._coefficients(env, batch, width, layout)
        weight = None if (self.weight == 1.0).all() else np.tile(self.weight, batch)
        a = np.broadcast_to(a, (batch, a.shape[1])).ravel()
        return self.kind(layout, a, y, weight, c, unit), np.broadcast_to(rest, (batch,))

    def some(self, which: Array) -> RowsOf:
        """Return some of the rows, without the constant."""
        order = np.flatnonzero(which) if self.order is None else self.order[which]
        rows = {"owner": self.owner[which], "y": self.y[which], "weight": self.weight[which]}
        return replace(self, order=order, constant=0.0, _layouts={}, **rows)

    def _coefficients(
        self, env: Environment, batch: int, width: int, layout: Layout
    ) -> tuple[Array | None, Array | None, Array]:
        """Return coefficients by row or by cell, and the sums of y (times c, where c differs within a cell)."""
        c = self.laid(self.coefficient, env)
        sums = np.tile(np.bincount(self.owner, self.y, width), batch)
        if not self.owner.size or (c == 1.0).all():
            return None, None, sums
        some, first = np.unique(self.owner, return_index=True)
        unit = np.ones((c.shape[0], width))
        unit[:, some] = c[:, first]
        if (unit[:, self.owner] == c).all():
            return None, np.broadcast_to(unit, (batch, width)).ravel(), sums
        c = np.broadcast_to(c, (batch, c.shape[1])).ravel()
        return c, None, layout.sum(c * np.tile(self.y, batch))


class LinearPlate:
    """A plate of normal (or log-normal) latents under such rows; it answers as ``GeneralPlate`` does.

    Parameters
    ----------
    general : GeneralPlate
        The same plate under any densities.
    rows : tuple of RowsOf
        Its children.
    """

    def __init__(self, general: GeneralPlate, rows: tuple[RowsOf, ...]) -> None:
        self.general, self.rows = general, rows
        self.width, self.latent = general.width, general.latent
        self.numbers = self.width + sum(r.owner.size for r in rows)
        self.description = "each by adaptive quadrature"

    def cells(self, env: Environment, batch: int) -> tuple[LinearCells, Array]:
        """Return the cells of all entries of a batch, one entry after another, and what does not depend on them."""
        mu, sigma = self.latent.prior.parameter_arrays(env)
        shape = (batch, *self.latent.shape)
        centre, spread = (np.asarray(np.broadcast_to(p, shape), dtype=float).ravel() for p in (mu, sigma))
        parts = [r.at(env, batch, self.width) for r in self.rows]
        rest = np.zeros(batch)
        for _, part in parts:
            rest = rest + part
        return LinearCells(centre, spread, tuple(rows for rows, _ in parts)), rest

    def starter(self, env: Environment, batch: int) -> Starter:
        """Return where modes are looked for: by a map about the median of a few entries of the batch."""
        few = min(batch, REFERENCES)
        if batch < 2 * REFERENCES or batch * self.numbers < _WORTH_A_MAP:
            return _guessed
        cells, _ = self.cells(rows_of(env, slice(few)), few)
        middle = _median(cells, few)
        modes = find_modes(middle, np.zeros(self.width), np.ones(self.width), near=1e-3)
        towards = mode_map(middle, np.clip(np.nan_to_num(modes.at), -10.0, 10.0))

        def start(cells: Cells) -> tuple[Array, Array]:
            assert isinstance(cells, LinearCells)
            return towards(cells), np.ones(cells.size)

        return start

    def values(self, env: Environment, z: Array) -> tuple[Array, Array]:
        """Return the latent where the standardised numbers are z ``(batch, *dims)``, and the logs of dx/dz."""
        return self.general.values(env, z)


def _guessed(cells: Cells) -> tuple[Array, Array]:
    assert isinstance(cells, LinearCells)
    return guess(cells), np.ones(cells.size)


def _median(cells: LinearCells, batch: int) -> LinearCells:
    """Return the plate of one entry whose numbers are the medians of those of all."""

    def middle(values: Array | None) -> Array | None:
        return None if values is None else np.median(values.reshape(batch, -1), axis=0)

    def one(rows: Rows) -> Rows:
        counts = rows.layout.counts.reshape(batch, -1)[0]
        a, y, weight, c, unit = (middle(v) for v in (rows.a, rows.y, rows.weight, rows.c, rows.unit))
        assert a is not None
        assert y is not None
        return type(rows)(Layout(counts), a, y, weight, c, unit)

    centre, spread = middle(cells.centre), middle(cells.spread)
    assert centre is not None
    assert spread is not None
    return LinearCells(centre, spread, tuple(one(r) for r in cells.rows))


# ---- reading ------------------------------------------------------------------------------------------------------
def linear_plate(general: GeneralPlate) -> LinearPlate | None:
    """Return the plate with fast kernels, or None where its prior or one of its children has none."""
    conditional = general.conditional
    if general.family not in ("Normal", "LogNormal"):
        return None
    rows = tuple(_read(conditional, factor, places) for factor, places in conditional.children)
    found = tuple(r for r in rows if r is not None)
    return LinearPlate(general, found) if len(found) == len(rows) else None


def _read(conditional: Elementwise, factor: Factor, places: Mapping[str, Position]) -> RowsOf | None:
    """Return one child as rows, or None."""
    problem, latent = conditional.problem, conditional.latent
    known = problem.env.keys()
    counts = _counts(problem, factor)
    if counts is None or any(not isinstance(p, str) and not p.variables <= known for p in places.values()):
        return None
    if latent.prior.distribution.family == "LogNormal":  # then its log is what is standardised
        exponential = {latent.name: Apply(np.exp, (latent.variable,))}
        factor = replace(factor, parameters=tuple(p.substitute(exponential) for p in factor.parameters))
    found = link_of(factor, {*known, *factor.variables} - {latent.name})
    if found is None or found[0].kind not in ("logit", "log"):
        return None
    link, dims = found
    form = linear_form(link.predictor, {latent.name}, factor.sizes)
    if isinstance(form, NotLinear) or not form.terms or any(t.summed for t in form.terms):
        return None
    coefficient = form.terms[0].coefficient
    for term in form.terms[1:]:
        coefficient = coefficient + term.coefficient
    if not {*coefficient.dims, *form.offset.dims} <= set(dims) or dims != factor.plates:
        return None
    owner = _owners(problem, factor, latent, places)
    order = None if (np.diff(owner) >= 0).all() else np.argsort(owner, kind="stable")
    y, weight, constant = counts
    sort = slice(None) if order is None else order
    kind = LogitRows if link.kind == "logit" else LogRows
    return RowsOf(
        kind, form.offset, coefficient, dims, factor.shape, order, owner[sort], y[sort], weight[sort], constant
    )


def _counts(problem: Problem, factor: Factor) -> tuple[Array, Array, float] | None:
    """Return successes, trials and the constant of known counts by cell; None for other families and huge counts."""
    family = factor.distribution.family
    if family not in ("Bernoulli", "Binomial", "Poisson") or not factor.value.variables <= problem.env.keys():
        return None
    shape = (1, *factor.shape)
    y = np.asarray(np.broadcast_to(factor.value_array(problem.env), shape), dtype=float).ravel()
    trials = np.ones_like(y)
    if family == "Binomial":
        n = factor.parameter("n")
        if not n.variables <= problem.env.keys():
            return None
        laid = aligner(n.dims, factor.plates)(n.evaluate(problem.env))
        trials = np.asarray(np.broadcast_to(laid, shape), dtype=float).ravel()
    highest = np.inf if family == "Poisson" else trials
    if max(y.max(initial=0), trials.max(initial=0)) > _LARGEST_COUNT or not ((y >= 0) & (y <= highest)).all():
        return None
    constants = -gammaln(y + 1.0) if family == "Poisson" else log_choose(trials, y)
    if factor.weight is not None:
        occurs = np.broadcast_to(factor.weight, factor.shape).ravel()
        y, trials, constants = y * occurs, trials * occurs, constants * occurs
    return y, trials, float(np.sum(constants))


def _owners(problem: Problem, factor: Factor, latent: Latent, places: Mapping[str, Position]) -> Array:
    """Return the element of every cell; cells that touch none have coefficient 0, and are counted with some element."""
    flat: Array = np.zeros((1,) * (1 + len(factor.plates)), dtype=np.int64)
    for dim, size in zip(latent.variable.dims, latent.shape, strict=True):
        place = places[dim]
        if isinstance(place, str):
            codes = aligner((place,), factor.plates)(np.arange(size)[None])
        else:
            codes = aligner(place.dims, factor.plates)(place.evaluate(problem.env).astype(np.int64))
        flat = flat * size + np.minimum(codes, size - 1)
    return np.broadcast_to(flat, (1, *factor.shape)).ravel()
