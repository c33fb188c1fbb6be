r"""Rows left out of a joint Gaussian block, its scales known, given, or one common one integrated.

With the scales known the predictive densities are normal. With every precision a known multiple of one
:math:`u \sim \mathrm{Gamma}(a, b)` a posteriori, a group of n rows whose squared distance from its prediction at
:math:`u = 1` is :math:`q`, and whose covariance there has the determinant :math:`d`, has the density of a t,

.. math:: p(y_g \mid y_{-g}) = (2\pi)^{-n/2} d^{-1/2} \frac{\Gamma(a)}{\Gamma(a - n/2)}
          \frac{(b - q/2)^{a - n/2}}{b^{a}},

and with the rows in it the same with :math:`a + n/2` and :math:`b + q/2` for a and b.
Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 3.3 and 14.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.special import gammaln, xlogy

from bayeskit.conjugate.arrow import Factored
from bayeskit.errors import ImproperError
from bayeskit.inference.block import LOG_2PI, BlockFactor, GaussianBlock
from bayeskit.inference.exact_gaussian import CommonScale, ExactGaussian, common_scale, well_conditioned
from bayeskit.model.problem import Problem
from bayeskit.posterior.checks.conjugate_scores import sum_by
from bayeskit.posterior.checks.downdate import LOST, Predicted, UnitRows, predicted
from bayeskit.posterior.checks.rows import Groups
from bayeskit.posterior.checks.sequential import one_by_one

Array = np.ndarray
Environment = Mapping[str, Array]


class GaussianScores:
    """Scores of the rows below a Gaussian block, given the rest.

    Parameters
    ----------
    problem : Problem
        The problem row by row, without what is drawn forward.
    names : sequence of str
        The latents of the block.
    groups : Groups
        Which rows are left out together.
    """

    def __init__(self, problem: Problem, block: GaussianBlock, groups: Groups) -> None:
        self.problem, self.block, self.groups = problem, block, groups
        found = [(bf, groups.group_of(bf.factor)) for bf in block.factors]
        self.rows = [(bf, g) for bf, g in found if g is not None]
        n = sum(bf.design.rows for bf, _ in self.rows)
        self.cost = 6 * block.layout.size + 3 * n * (block.layout.width + block.layout.rest + 3)
        self.work, self.memory = float(n + block.total) * block.total**2, (2 * n + 6 * block.total) * (block.total + 3)

    def system(self, env: Environment) -> tuple[Factored, Array]:
        """Return the factored system of all rows, and what it is about."""
        return self.block.factored(env)[0], self.block.pilot

    def key(self, bf: BlockFactor, group: Array) -> Array:
        """Return the key of every row of a factor: its group."""
        return np.repeat(group, bf.design.shape[1])

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return self.groups.count

    def score(self, env: Environment) -> tuple[Array, Array]:
        """Return the log densities of the groups given all rows, and given the others: each ``(batch, groups)``."""
        system, pilot = self.system(env)
        rows, key, carried = self.unit_rows(env, pilot)
        inside = self.density(predicted(system, rows, key, self.keys, 1), key, 1)
        out = predicted(system, rows, key, self.keys, -1)
        outside = self.density(out, key, -1)
        # at the extremes of a core digits are lost and do not count; where they are lost at all its values they do
        for k in np.flatnonzero(~(out.kept > LOST).any(axis=0)):
            outside[:, k] = self._without(env, int(k), rows.take(np.flatnonzero(key == k)))
        return self.by_group(inside) + carried, self.by_group(outside) + carried

    def by_group(self, values: Array) -> Array:
        """Sum what belongs to keys by group."""
        return values

    def sequence(self, env: Environment, upto: int) -> Array:
        """Return the log densities of the first groups, each given those before it: ``(batch, groups)``."""
        pilot = self.system(env)[1]
        rows, key, carried = self.unit_rows(env, pilot)
        order = np.argsort(self.time(key), kind="stable")
        order = order[self.time(key[order]) < upto]
        known = [bf for bf in self.block.factors if self.groups.group_of(bf.factor) is None]
        prior = [rows_at(self.block, bf, env, pilot)[0] for bf in known]
        each = one_by_one(self.block.layout, prior, rows.take(order), self.prior_scale)
        return sum_by(each, self.time(key[order]), self.groups.count) + carried

    def time(self, key: Array) -> Array:
        """Return the group of each key."""
        return key

    @property
    def prior_scale(self) -> tuple[Array, Array] | None:
        """Shape and rate of the common precision before any row; None where the scales are known."""
        return None

    def density(self, found: Predicted, key: Array, sign: int) -> Array:
        """Return log densities from squares and determinants: normal."""
        return log_normal(found, np.bincount(key, minlength=self.keys))

    def unit_rows(self, env: Environment, pilot: Array) -> tuple[UnitRows, Array, Array]:
        """Return the rows with their precisions, the key of each, and what else their densities carry by group."""
        parts, keys = [], []
        carried: Array = np.zeros((1, self.groups.count))
        for bf, group in self.rows:
            rows, shift = rows_at(self.block, bf, env, pilot)
            parts.append(rows)
            keys.append(self.key(bf, group))
            if bf.factor.distribution.family == "LogNormal":
                shift = shift - np.log(bf.factor.value_array(env)).reshape(1, -1)
            carried = carried + sum_by(np.broadcast_to(shift, (len(shift), len(group))), group, self.groups.count)
        return _joined(parts), np.concatenate(keys), carried

    def _without(self, env: Environment, key: int, rows: UnitRows) -> Array:
        """Return one group's density given the others alone, where taking it out would leave too few digits."""
        gone = {id(bf.factor): self.key(bf, g).reshape(len(g), -1)[:, 0] == key for bf, g in self.rows}
        factors = tuple(
            replace(f, weight=np.where(gone[id(f)], 0.0, 1.0).reshape(f.shape)) if id(f) in gone else f
            for f in self.problem.factors
        )
        try:
            return self._refitted(replace(self.problem, factors=factors), env, rows, key)
        except (ImproperError, np.linalg.LinAlgError):
            return np.full(1, -np.inf)

    def _refitted(self, problem: Problem, env: Environment, rows: UnitRows, key: int) -> Array:
        """Return the density of rows about this block's centre, from the system of another problem."""
        system, pilot, scale = self.fitted(problem, env)
        wide, dense = self.block.centre(pilot - self.system(env)[1])
        v = rows.v - (rows.D * dense).sum(axis=-1)
        if rows.W.shape[-1]:
            v = v - (rows.W * wide[rows.wide]).sum(axis=-1)
        found = predicted(system, replace(rows, v=v), np.zeros(len(rows.wide), dtype=np.int64), 1, 1)
        if scale is None:
            return log_normal(found, len(rows.wide))[:, 0]
        cell = [self.cell_of_key(key)]
        return log_t(found, np.array([len(rows.wide)]), scale[0][cell], scale[1][cell], 1)[:, 0]

    def cell_of_key(self, key: int) -> int:
        """Return the cell of the scale of a key."""
        return 0

    def fitted(self, problem: Problem, env: Environment) -> tuple[Factored, Array, tuple[Array, Array] | None]:
        """Return another problem's system, what it is about, and the shape and rate of the precision."""
        block = GaussianBlock(problem, self.block.names)
        system = block.factored(env)[0]
        flat = any(problem.latents[n].prior.distribution.family == "Flat" for n in block.names)
        if flat and not well_conditioned(system):
            raise np.linalg.LinAlgError("rank deficient")
        return system, block.pilot, None


class KnownScaleScores(GaussianScores):
    """The same where every scale is known: from the system that the posterior itself uses."""

    def __init__(self, problem: Problem, exact: ExactGaussian, groups: Groups) -> None:
        super().__init__(problem, exact.block, groups)
        self.exact = exact

    def system(self, env: Environment) -> tuple[Factored, Array]:
        """Return the factored system, and what it is about."""
        return self.exact.system, self.exact.pilot

    def fitted(self, problem: Problem, env: Environment) -> tuple[Factored, Array, tuple[Array, Array] | None]:
        """Return another problem's system, and what it is about."""
        exact = ExactGaussian(GaussianBlock(problem, self.block.names), None)
        return exact.system, exact.pilot, None


class CommonScaleScores(GaussianScores):
    """The same where one common scale, or one in each of some cells, is integrated with the block."""

    def __init__(self, problem: Problem, exact: ExactGaussian, groups: Groups) -> None:
        super().__init__(problem, exact.block, groups)
        assert exact.scale is not None
        self.exact, self.scale = exact, exact.scale
        pairs = [g * exact.cells + self.cells_of(bf) for bf, g in self.rows]
        self._pairs, place = np.unique(np.concatenate(pairs), return_inverse=True)
        ends = np.cumsum([len(p) for p in pairs])[:-1]
        self._place = {id(bf): own for (bf, _), own in zip(self.rows, np.split(place, ends), strict=True)}

    def cells_of(self, bf: BlockFactor) -> Array:
        """Return the cell of the scale that every plate of a factor has."""
        plates = np.broadcast_to(bf.precision.framed_cell, bf.factor.shape).reshape(-1)
        return plates if self.exact.cells > 1 else np.zeros_like(plates)

    def system(self, env: Environment) -> tuple[Factored, Array]:
        """Return the factored system at u = 1."""
        return self.exact.system, self.exact.pilot

    def key(self, bf: BlockFactor, group: Array) -> Array:
        """Return the pair of group and cell of every row."""
        return np.repeat(self._place[id(bf)], bf.design.shape[1])

    @property
    def keys(self) -> int:
        """How many pairs there are."""
        return len(self._pairs)

    def by_group(self, values: Array) -> Array:
        """Sum over the cells of each group."""
        return sum_by(values, self._pairs // self.exact.cells, self.groups.count)

    def density(self, found: Predicted, key: Array, sign: int) -> Array:
        """Return log densities from squares and determinants: t."""
        cell = self._pairs % self.exact.cells
        n = np.bincount(key, minlength=self.keys)
        return log_t(found, n, self.exact.shape[cell], self.exact.rate[cell], sign)

    def time(self, key: Array) -> Array:
        """Return the group of each pair."""
        return np.asarray(self._pairs[key] // self.exact.cells)

    @property
    def prior_scale(self) -> tuple[Array, Array] | None:
        """Shape and rate of the common precision before any row."""
        return self.scale.shape, self.scale.rate

    def cell_of_key(self, key: int) -> int:
        """Return the cell of the scale of a pair."""
        return int(self._pairs[key] % self.exact.cells)

    def fitted(self, problem: Problem, env: Environment) -> tuple[Factored, Array, tuple[Array, Array] | None]:
        """Return another problem's system at u = 1, what it is about, and the shape and rate of the precision."""
        block = GaussianBlock(problem, self.block.names)
        scale = common_scale(problem, self.scale.latent.name, block)
        assert isinstance(scale, CommonScale)
        exact = ExactGaussian(block, scale)
        return exact.system, exact.pilot, (exact.shape, exact.rate)


def log_normal(found: Predicted, n: Array | int) -> Array:
    """Return log densities of groups of n rows, normal."""
    return np.asarray(-0.5 * (n * LOG_2PI + found.log_det + found.squares))


def log_t(found: Predicted, n: Array, shape: Array, rate: Array, sign: int) -> Array:
    """Return log densities of groups of n rows at a gamma precision with the rows in it (-1) or not (1)."""
    small, large = (shape, shape + 0.5 * n) if sign > 0 else (shape - 0.5 * n, shape)
    after = rate + 0.5 * sign * found.squares
    low, high = (rate, after) if sign > 0 else (after, rate)
    with np.errstate(all="ignore"):
        value = gammaln(large) - gammaln(small) + xlogy(small, low) - xlogy(large, high)
        value = value - 0.5 * (n * LOG_2PI + found.log_det)
    return np.where((small > 0) & (low > 0), value, -np.inf)


def rows_at(block: GaussianBlock, bf: BlockFactor, env: Environment, pilot: Array) -> tuple[UnitRows, Array]:
    """Return a factor's rows about a pilot, whitened where they are vectors, and half the log determinant by plate."""
    n, d = bf.design.shape
    wide, W, D, v = _known_rows(block, bf, env, pilot) if bf.is_known else _moving_rows(block, bf, env, pilot)
    p = bf.precision
    if p.kind == "matrix":
        root = np.swapaxes(np.linalg.cholesky(p.values(env)), -1, -2)[:, p.cell]
        half = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        W, D, v = _whiten(root, n, d, W, D, v)
        return UnitRows(wide, W, D, v, np.ones((1, n * d))), half
    if p.root is not None:
        half = np.log(np.abs(np.diagonal(p.root, axis1=-2, axis2=-1))).sum(axis=-1)[None]
        return UnitRows(wide, W, D, v, np.ones((1, n * d))), half
    scales = p.values(env) if p.latent is not None and p.latent.variables <= env.keys() else np.ones((1, p.cells))
    return UnitRows(wide, W, D, v, scales[:, p.cell] * p.weight), np.zeros((1, n))


def _known_rows(block: GaussianBlock, bf: BlockFactor, env: Environment, pilot: Array) -> tuple[Array, ...]:
    """Return rows of a known design: every entry of a vector after the other."""
    n, d = bf.design.shape
    sets = bf.rows(block.centre(pilot))
    if len(sets) > 1:  # one set for each entry: put together plate by plate

        def laid(a: list[Array]) -> Array:
            return np.stack(a, axis=1).reshape(n * d, *a[0].shape[1:])
    else:

        def laid(a: list[Array]) -> Array:
            return a[0]

    wide, W, D, v = (laid([getattr(s, name) for s in sets]) for name in ("group", "W", "D", "v"))
    offsets = v[None]
    if not bf.design.known_offset:
        moved = bf.design.offset(env)
        if bf.precision.root is not None:
            moved = (bf.precision.root @ moved.reshape(len(moved), n, d, 1)).reshape(len(moved), -1)
        offsets = offsets + moved
    return wide, W[None], D[None], offsets


def _moving_rows(block: GaussianBlock, bf: BlockFactor, env: Environment, pilot: Array) -> tuple[Array, ...]:
    """Return rows of a design that other latents move: all unknowns are dense then."""
    n, d = bf.design.shape
    offset, entries = bf.design.offset(env), bf.design.triplets(env)
    batch = max(len(entries.values), len(entries.columns))
    columns = np.broadcast_to(entries.columns, (batch, entries.columns.shape[1]))
    values = np.broadcast_to(entries.values, columns.shape)
    flat = (np.arange(batch)[:, None] * (n * d) + entries.rows) * block.total + columns
    J = np.bincount(flat.ravel(), values.ravel(), batch * n * d * block.total).reshape(batch, n * d, block.total)
    v = offset - J @ pilot
    if bf.precision.root is not None:
        _, J, v = _whiten(bf.precision.root[None], n, d, np.zeros((1, n * d, 0)), J, v)
    return np.zeros(n * d, dtype=np.int64), np.zeros((1, n * d, 0)), J[..., block.layout.dense], v


def _whiten(root: Array, n: int, d: int, W: Array, D: Array, v: Array) -> tuple[Array, Array, Array]:
    """Multiply rows plate by plate with roots ``(b, n or 1, d, d)``."""

    def times(a: Array) -> Array:
        found = root @ a.reshape(len(a), n, d, -1)
        return found.reshape(len(found), n * d, -1)

    return times(W) if W.shape[-1] else W, times(D) if D.shape[-1] else D, times(v[..., None])[..., 0]


def _joined(parts: list[UnitRows]) -> UnitRows:
    """Put the rows of several factors one after the other."""
    if len(parts) == 1:
        return parts[0]

    def along(name: str) -> Array:
        arrays = [getattr(p, name) for p in parts]
        batch = max(len(a) for a in arrays)
        return np.concatenate([np.broadcast_to(a, (batch, *a.shape[1:])) for a in arrays], axis=1)

    return UnitRows(np.concatenate([p.wide for p in parts]), *(along(n) for n in ("W", "D", "v", "weight")))
