"""The joint Gaussian block: all Gaussian latents that reach Gaussian children linearly, as one.

Given the standard deviations (and whatever else lies outside the block) the block is an ``Arrow`` system. What depends
on the data alone is summed once, by noise cell and about a pilot fit, so that sums of squares do not cancel; then the
systems of all chains are one matrix product, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.arrow import Arrow, Factored, factor, factor_augmented
from bayeskit.inference.layout import choose_layout, group_of
from bayeskit.inference.loose import loose_system
from bayeskit.inference.wide_priors import find_wide_priors
from bayeskit.model.problem import Factor, Problem
from bayeskit.statistics.design import Design, Triplets
from bayeskit.statistics.gram import Rows, cross_sums
from bayeskit.statistics.precision import Precision

Array = np.ndarray
Environment = Mapping[str, Array]
LOG_2PI = float(np.log(2 * np.pi))
_CANCELLED = 1e-6  # a sum smaller than this, relative to its terms, is taken from the rows
_LOST = 1e-3  # an error of so much in a log density, or so much of it, is as good as none
_MOST_SUMS = 20_000_000  # numbers a factor's table of sums may hold; beyond, its rows are summed anew


@dataclass(eq=False)
class BlockFactor:
    """One factor of a block: its design, its precisions, and its rows or their sums where they are known."""

    factor: Factor
    design: Design
    precision: Precision
    rows: list[Rows]  # one set per entry of the event (one in all for numbers and for whitened vectors)
    sums: Array | None  # (cells, size), or (cells * d * d, size) for matrices; None where rows are summed anew

    @property
    def weights(self) -> Array:
        """Known weights of the rows: those of a vector's entries are whitened into the rows."""
        return self.precision.weight


class GaussianBlock:
    """The Gaussian latents ``names`` of a problem, given everything else.

    Parameters
    ----------
    problem : Problem
        The bound model.
    names : sequence of str
        The latents of the block; the plan has checked that they are jointly linear.
    """

    def __init__(self, problem: Problem, names: Sequence[str]) -> None:
        self.problem, self.names = problem, tuple(names)
        self.latents = [problem.latents[n] for n in names]
        starts = np.cumsum([0, *(latent.size for latent in self.latents)])
        self.columns = {n: int(s) for n, s in zip(self.names, starts[:-1], strict=True)}
        self.total = int(starts[-1])
        self._places = [
            (n, slice(self.columns[n], self.columns[n] + latent.size), latent.shape)
            for n, latent in zip(self.names, self.latents, strict=True)
        ]
        known = set(problem.env)
        touching = [f for f in problem.factors_of(names) if f.distribution.family != "Flat"]
        designs = [Design(f, self.columns, known, problem.latents) for f in touching]
        triplets = [d.triplets(problem.env) if d.known_design else None for d in designs]
        self.layout = choose_layout(self.latents, self.columns, list(zip(designs, triplets, strict=True)))
        self._group = group_of(self.layout, self.total)
        self._place = np.zeros(self.total, dtype=np.int64)
        self._place[self.layout.wide] = np.arange(self.layout.width)
        self._place[self.layout.dense] = np.arange(self.layout.rest)
        self.factors = [
            BlockFactor(f, d, Precision(f, known, problem.env), self._rows(d, t, problem.env), None)
            for f, d, t in zip(touching, designs, triplets, strict=True)
        ]
        for bf in self.factors:
            if bf.precision.root is not None:
                self._spread(bf)
                if bf.rows:
                    bf.rows = [_whitened(bf.rows, bf.precision.root)]
        self.pilot = np.zeros(self.total)
        self._sum_up()

    # ---- rows and their sums, once ------------------------------------------------------------------------------
    def _rows(self, design: Design, entries: Triplets | None, env: Environment) -> list[Rows]:
        """Lay a known design along the arrow: one set of rows per entry of the event."""
        if entries is None:
            return []
        n, d = design.shape
        k, r = self.layout.width, self.layout.rest
        v = design.offset(env)[0].reshape(n, d) if design.known_offset else np.zeros((n, d))
        column, value = entries.columns[0], entries.values[0]
        wide = self._group[column] >= 0
        W, D = np.zeros((n * d, k)), np.zeros((n * d, r))
        _add_at(W, entries.rows[wide], self._place[column[wide]], value[wide])
        _add_at(D, entries.rows[~wide], self._place[column[~wide]], value[~wide])
        group = np.zeros(n, dtype=np.int64)
        group[entries.rows[wide] // d] = self._group[column[wide]]
        return [Rows(group, W[i::d], D[i::d], v[:, i]) for i in range(d)]

    @staticmethod
    def _spread(bf: BlockFactor) -> None:
        """After whitening, every entry of a vector is a row of its own, with weight one."""
        d = bf.design.shape[1]
        p = bf.precision
        p.weight, p.cell = np.ones(p.plates * d), np.zeros(p.plates * d, dtype=np.int64)

    def _sum_up(self) -> None:
        """Find a pilot fit, centre every row about it, and sum."""
        still = [bf for bf in self.factors if bf.rows and bf.design.known_offset]
        if self.total and still and all(bf.rows for bf in self.factors):
            self.pilot = self._pilot_fit(still)
        wide, dense = self.layout.parts(self.pilot[None])
        for bf in self.factors:
            for i, rows in enumerate(bf.rows):
                shift = rows.residual(wide, dense)[0] - rows.v
                bf.rows[i] = Rows(rows.group, rows.W, rows.D, rows.v + shift)
            if bf.rows and bf.precision.cells * len(bf.rows) ** 2 * self.layout.size <= _MOST_SUMS:
                bf.sums = self._sums(bf, bf.weights, bf.precision.cell, bf.precision.cells)
        self.table = [bf for bf in self.factors if bf.sums is not None and bf.design.known_offset]
        self.loose = [bf for bf in self.factors if bf not in self.table]
        self._fixed = sum(
            (bf.sums[0] for bf in self.table if bf.precision.latent is None and bf.sums is not None),
            start=np.zeros(self.layout.size),
        )
        self.moving = [bf for bf in self.table if bf.precision.latent is not None]
        tables = [bf.sums for bf in self.moving if bf.sums is not None]
        self.sums = np.concatenate(tables) if tables else np.zeros((0, self.layout.size))
        self.is_static = not self.loose
        self._priors = find_wide_priors(self)
        self._cancelled = _CANCELLED * np.abs(self.sums[:, self.layout.diagonal]).T
        self._constant = self._log_constant()

    def _pilot_fit(self, still: list[BlockFactor]) -> Array:
        """Return a fit with every latent precision at a plain guess: it centres, it need not be good."""
        flat = np.zeros(self.layout.size)
        for bf in still:
            sums = self._sums(bf, bf.weights, np.zeros_like(bf.precision.cell), 1)
            d = len(bf.rows)
            flat = flat + (sums.reshape(d, d, -1)[np.arange(d), np.arange(d)].sum(axis=0))
        A, C, D, hw, hd, _ = self.layout.split(flat[None])
        try:
            wide, dense = factor(Arrow(A + _ridge(A), C, D + _ridge(D), hw, hd)).solve()
        except np.linalg.LinAlgError:
            return np.zeros(self.total)
        return self.layout.gather(wide, dense)[0]

    def _sums(self, bf: BlockFactor, weight: Array, cell: Array, cells: int) -> Array:
        """Return the sums of a factor by cell; for vectors with a latent matrix, by cell and pair of entries."""
        pairs = np.asarray([[cross_sums(self.layout, a, b, weight, cell, cells) for b in bf.rows] for a in bf.rows])
        pairs = 0.5 * (pairs + pairs.swapaxes(0, 1))  # so that each pair gives its own sum of products of residuals
        return pairs.transpose(2, 0, 1, 3).reshape(-1, self.layout.size)

    def sums_of(self, bf: BlockFactor, value: Array) -> Array:
        """Return the sums of a factor's rows at one chain's precisions: for factors too large for a table."""
        one = np.zeros_like(bf.precision.cell)
        if bf.precision.kind == "scalar":
            return cross_sums(self.layout, bf.rows[0], bf.rows[0], bf.weights * value[bf.precision.cell], one, 1)
        pairs = [
            cross_sums(self.layout, a, b, value[bf.precision.cell, i, j], one, 1)
            for i, a in enumerate(bf.rows)
            for j, b in enumerate(bf.rows)
        ]
        return np.asarray(sum(pairs))

    # ---- the system of every chain ------------------------------------------------------------------------------
    def precisions(self, env: Environment) -> list[Array]:
        """Return the latent precisions of the factors summed by cell, each ``(batch, entries)``."""
        return [_flat(bf.precision.values(env)) for bf in self.moving]

    def flat_system(self, env: Environment, precisions: list[Array] | None = None) -> Array:
        """Return the summed system of every chain as flat vectors ``(batch, size)``."""
        values = self.precisions(env) if precisions is None else precisions
        flat = self._fixed[None]
        if values:
            flat = flat + _joined(values) @ self.sums
        for bf in self.loose:
            flat = flat + loose_system(self, bf, env)
        return flat

    def factored(self, env: Environment, precisions: list[Array] | None = None) -> tuple[Factored, Array]:
        """Return the factored system of every chain, and ``v' Lambda v``."""
        values = self.precisions(env) if precisions is None else precisions
        A, B, E = self.layout.augmented(self.flat_system(env, values))
        try:
            system = factor_augmented(A, B, E)
            if self._priors is None or system.is_exact(E[:, :-1, :-1]):
                return system, E[:, -1, -1]
        except np.linalg.LinAlgError:
            if self._priors is None:
                raise
        return self._priors.factored(self, env, values), E[:, -1, -1]

    # ---- what a step asks for -----------------------------------------------------------------------------------
    def log_marginal(self, env: Environment) -> Array:
        """Return the log density of the block's children with the block integrated out: ``(batch,)``.

        Where precisions are so large that the least sum of squares is lost in rounding it is -inf, not noise.
        """
        values = self.precisions(env)
        system, vv = self.factored(env, values)
        gain = system.gain(vv)
        if system.net is None:
            error = vv * np.finfo(float).eps
            gain = np.where((error < _LOST) | (-gain > error / _LOST), gain, -np.inf)
        total = 0.5 * (gain - system.log_det()) + self._constant
        for bf, value in zip(self.moving, values, strict=True):
            shaped = value.reshape(value.shape[0], bf.precision.cells, len(bf.rows), -1)
            total = total + bf.precision.half_log_det(shaped if bf.precision.kind == "matrix" else value)
        for bf in self.loose:
            total = total + bf.precision.half_log_det(bf.precision.values(env))
            if bf.factor.distribution.family == "LogNormal":
                total = total - _flat(np.log(bf.factor.value_array(env))).sum(axis=1)
        return total

    def _log_constant(self) -> float:
        rows = sum(bf.design.rows for bf in self.factors)
        total = 0.5 * LOG_2PI * (self.total - rows)
        for bf in self.table:
            total += bf.precision.log_det if bf.precision.latent is None else 0.0
            if bf.factor.distribution.family == "LogNormal":
                total -= float(np.log(bf.factor.value_array(self.problem.env)).sum())
        return total

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw the block given the rest: values by name, and the columns about the pilot ``(batch, total)``."""
        x, _ = self._drawn(env, rng, batch)
        return self.values(x + self.pilot), x

    def draw_with_density(
        self, env: Environment, rng: np.random.Generator, batch: int
    ) -> tuple[dict[str, Array], Array]:
        """Draw the block given the rest: values by name, and the log density of the draw given it ``(batch,)``."""
        x, density = self._drawn(env, rng, batch)
        return self.values(x + self.pilot), density

    def _drawn(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[Array, Array]:
        system, _ = self.factored(env)
        zw = rng.standard_normal((batch, self.layout.groups, self.layout.width))
        zd = rng.standard_normal((batch, self.layout.rest))
        wide, dense = system.solve(zw, zd)
        squares = (zw * zw).sum(axis=(-2, -1)) + (zd * zd).sum(axis=-1)
        return self.layout.gather(wide, dense), 0.5 * (system.log_det() - squares - self.total * LOG_2PI)

    def log_density(self, env: Environment, x: Array) -> Array:
        """Return the log density of the block given the rest, at columns about the pilot: ``(batch,)``."""
        system, _ = self.factored(env)
        wide, dense = self.layout.parts(x)
        mean_wide, mean_dense = system.solve()
        distance = system.squared_distance(wide - mean_wide, dense - mean_dense)
        return 0.5 * (system.log_det() - distance - self.total * LOG_2PI)

    def log_prob_of_table(self, env: Environment) -> Array:
        """Return the log density of the factors in `table` at the state, from their sums: ``(batch,)``."""
        x = np.concatenate([_flat(env[n]) for n in self.names], axis=1) - self.pilot
        total = -0.5 * (self.layout.features(*self.layout.parts(x)) @ self._fixed)
        for bf in self.table:
            total = total - 0.5 * LOG_2PI * bf.design.rows
            total = total + (bf.precision.log_det if bf.precision.latent is None else 0.0)
        sums, start = self.residual_sums(x), 0
        for bf, value in zip(self.moving, self.precisions(env), strict=True):
            shaped = value.reshape(len(value), bf.precision.cells, len(bf.rows), -1)
            half = bf.precision.half_log_det(shaped if bf.precision.kind == "matrix" else value)
            total = total + half - 0.5 * (value * sums[:, start : start + value.shape[1]]).sum(axis=1)
            start += value.shape[1]
        return np.asarray(total)

    def values(self, x: Array) -> dict[str, Array]:
        """Return the latents by name from columns ``(batch, total)``."""
        return {n: x[:, place].reshape(len(x), *shape) for n, place, shape in self._places}

    def residual_sums(self, x: Array) -> Array:
        """Return the sums of squared residuals of the tabulated latent cells, at columns about the pilot."""
        wide, dense = self.layout.parts(x)
        features = self.layout.features(wide, dense)
        sums = features @ self.sums.T
        small = np.abs(sums) < features.take(self.layout.diagonal, axis=1) @ self._cancelled
        if small.any():
            self._from_rows(sums, small, wide, dense)
        return sums

    def _from_rows(self, sums: Array, small: Array, wide: Array, dense: Array) -> None:
        """Replace sums that cancelled by those of the residuals themselves."""
        start = 0
        for bf in self.moving:
            d, cells = len(bf.rows), bf.precision.cells
            stop = start + cells * d * d
            chains = np.flatnonzero(small[:, start:stop].any(axis=1))
            if len(chains):
                e = [rows.residual(wide[chains], dense[chains]) for rows in bf.rows]
                for i, chain in enumerate(chains):
                    pairs = [np.bincount(bf.precision.cell, bf.weights * p[i] * q[i], cells) for p in e for q in e]
                    sums[chain, start:stop] = np.stack(pairs, axis=1).ravel()
            start = stop


def _flat(values: Array) -> Array:
    return values.reshape(values.shape[0], -1)


def _joined(values: list[Array]) -> Array:
    batch = max(len(v) for v in values)
    return np.concatenate([v if len(v) == batch else np.repeat(v, batch, axis=0) for v in values], axis=1)


def _ridge(matrices: Array) -> Array:
    """Return a diagonal that makes semidefinite matrices definite, each entry in the units of its own unknown."""
    size = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.where(size > 0, 1e-10 * size, 1.0)[..., None] * np.eye(matrices.shape[-1])


def _add_at(target: Array, rows: Array, columns: Array, values: Array) -> None:
    """Add entries to a matrix; entries at one place sum up."""
    if target.size:
        flat = rows * target.shape[1] + columns
        target += np.bincount(flat, values, target.size).reshape(target.shape)


def _whitened(rows: list[Rows], root: Array) -> Rows:
    """Return the entries of vectors as independent rows of unit precision: ``root @ e``."""
    W, D = (np.stack([getattr(r, a) for r in rows], axis=1) for a in ("W", "D"))  # (n, d, .)
    v = np.stack([r.v for r in rows], axis=1)
    W, D = root @ W, root @ D
    v = (root @ v[..., None])[..., 0]
    n, d = v.shape
    return Rows(np.repeat(rows[0].group, d), W.reshape(n * d, W.shape[-1]), D.reshape(n * d, D.shape[-1]), v.ravel())
