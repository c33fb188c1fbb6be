"""The joint Gaussian block: all Gaussian latents that reach Gaussian children linearly, as one.

Given the standard deviations (and whatever else lies outside the block) the block is an ``Arrow`` system. What depends
on the data alone is summed once, by noise cell and about a pilot fit, so that sums of squares do not cancel; then the
systems of all chains are one matrix product, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from bayeskit.conjugate.arrow import Arrow, Factored, factor, factor_augmented
from bayeskit.inference.block_classes import BlockClasses, block_classes, trusted
from bayeskit.inference.block_factors import BlockFactor as BlockFactor
from bayeskit.inference.block_factors import Summary, read_factor
from bayeskit.inference.block_pencil import BlockPencil, block_pencil
from bayeskit.inference.layout import choose_layout
from bayeskit.inference.loose import loose_system
from bayeskit.inference.nearer import approach, nearer_step
from bayeskit.inference.wide_priors import WidePriors, find_wide_priors
from bayeskit.model.problem import Problem
from bayeskit.statistics.design import Design
from bayeskit.statistics.gram import Rows

Array = np.ndarray
Environment = Mapping[str, Array]
LOG_2PI = float(np.log(2 * np.pi))
_CANCELLED = 1e-6  # a sum smaller than this, relative to its terms, is taken from the rows
_FAR = 1e-7  # least squares so much smaller than what they are found from have lost half their digits
_MANY, _MANY_DRAWS = 1_000, 10_000  # wide unknowns of a batch: from so many on, equal groups are eliminated once
_NUMBERS = 20_000_000  # held at once
_OFF_CENTRE = 1e-2  # residuals so much smaller than those about a first fit are summed about a better one
_MOST_SUMS = 20_000_000  # numbers a factor's table of sums may hold; beyond, its rows are summed anew


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
        self._written: dict[int, list[Rows]] = {}
        self._places = [
            (n, slice(self.columns[n], self.columns[n] + latent.size), latent.shape)
            for n, latent in zip(self.names, self.latents, strict=True)
        ]
        known = set(problem.env)
        touching = [f for f in problem.factors_of(names) if f.distribution.family != "Flat"]
        designs = [Design(f, self.columns, known, problem.latents) for f in touching]
        terms = [d.known_terms(problem.env) if d.known_design else None for d in designs]
        self.layout = choose_layout(self.latents, self.columns, list(zip(designs, terms, strict=True)))
        self.factors = [
            read_factor(f, d, t, self.layout, known, problem.env)
            for f, d, t in zip(touching, designs, terms, strict=True)
        ]

    # ---- rows and their sums, once ------------------------------------------------------------------------------
    @cached_property
    def first_pilot(self) -> Array:
        """A fit to a sample of the rows, every latent precision at a plain guess: it centres, it need not be good."""
        still = [bf for bf in self.factors if bf.is_known and bf.design.known_offset]
        if not self.total or not still or not all(bf.is_known for bf in self.factors):
            return np.zeros(self.total)
        return self._fit(sum((bf.sum_all(None, bf.every) for bf in still), start=np.zeros((1, self.layout.size))))

    def _fit(self, flat: Array) -> Array:
        """Return the fit to some sums; zero where they do not determine one."""
        A, C, D, hw, hd, _ = self.layout.split(flat)
        try:
            wide, dense = factor(Arrow(A + _ridge(A), C, D + _ridge(D), hw, hd)).solve()
        except np.linalg.LinAlgError:
            return np.zeros(self.total)
        return self.layout.gather(wide, dense)[0]

    def centre(self, pilot: Array) -> tuple[Array, Array]:
        """Return the wide and the dense part of a pilot."""
        wide, dense = self.layout.parts(pilot[None])
        return wide[0], dense[0]

    @cached_property
    def summary(self) -> Summary:
        """The sums of all rows, about a fit that leaves them their digits."""
        pilot = self.first_pilot
        self._sum_up(pilot)
        if any(bf.every > 1 for bf in self.factors):
            better = self._better(pilot)
            if better is not None:
                pilot = better
                self._sum_up(pilot)
        pilot = approach(pilot, lambda: nearer_step(self.factors, self.layout, self._fit), self._sum_up)
        table = [bf for bf in self.factors if bf.sums is not None and bf.design.known_offset]
        loose = [bf for bf in self.factors if bf not in table]
        moving = [bf for bf in table if bf.precision.latent is not None]
        fixed = [bf.sums[0] for bf in table if bf.precision.latent is None and bf.sums is not None]
        tables = [bf.sums for bf in moving if bf.sums is not None]
        sums = np.concatenate(tables) if tables else np.zeros((0, self.layout.size))
        return Summary(pilot, table, loose, moving, sum(fixed, start=np.zeros(self.layout.size)), sums)

    def _sum_up(self, pilot: Array) -> None:
        """Sum the rows of every factor about a pilot, where there is room for its table."""
        centre = self.centre(pilot) if pilot.any() else None
        for bf in self.factors:
            if bf.is_known and bf.cells * self.layout.size <= _MOST_SUMS:
                bf.sums = bf.sum_by_cell(centre)

    def _better(self, pilot: Array) -> Array | None:
        """Return a fit to all rows, where the squares of some noise cell about the pilot are far from the least."""
        summed = [bf for bf in self.factors if bf.sums is not None and bf.design.known_offset]
        step = self._fit(
            sum((np.asarray(bf.sums).sum(axis=0) for bf in summed), start=np.zeros(self.layout.size))[None]
        )
        features = self.layout.features(*self.layout.parts(step[None]))[0]
        for bf in summed:
            if bf.entries == 1 and bf.sums is not None:
                about = bf.sums[:, -1]
                if np.any(bf.sums @ features < _OFF_CENTRE * about):
                    return pilot + step
        return None

    @cached_property
    def pilot(self) -> Array:
        """The unknowns that rows are centred about: ``(columns,)``."""
        return self.summary.pilot

    @cached_property
    def table(self) -> list[BlockFactor]:
        """Factors whose rows are summed once."""
        return self.summary.table

    @cached_property
    def loose(self) -> list[BlockFactor]:
        """Factors whose rows are summed anew for every state."""
        return self.summary.loose

    @cached_property
    def moving(self) -> list[BlockFactor]:
        """Factors whose rows are summed once, by noise cell, for their precision is latent."""
        return self.summary.moving

    @cached_property
    def sums(self) -> Array:
        """The sums of the noise cells of `moving`, one after the other: ``(cells, size)``."""
        return self.summary.sums

    @cached_property
    def is_static(self) -> bool:
        """Whether no rows are summed anew."""
        return not self.loose

    @cached_property
    def priors(self) -> WidePriors | None:
        """The priors of the wide part, where they are apart from the data."""
        return find_wide_priors(self)

    @cached_property
    def classes(self) -> BlockClasses | BlockPencil | None:
        """The systems for many precisions at once: by classes of groups, or as two matrices diagonalised."""
        return block_classes(self) if self.layout.groups else block_pencil(self)

    @cached_property
    def _cost(self) -> int:
        """Numbers held for one entry of a batch."""
        rows = sum(bf.design.rows * (self.total + 3 if not bf.is_known else 4) for bf in self.loose)
        return 6 * self.layout.size + rows

    @cached_property
    def _cancelled(self) -> Array:
        return np.asarray(_CANCELLED * np.abs(self.sums[:, self.layout.diagonal]).T)

    def rows_of(self, bf: BlockFactor) -> list[Rows]:
        """Return the rows of a factor as dense arrays about the pilot: one set per entry of a vector."""
        if id(bf) not in self._written:
            self._written[id(bf)] = bf.rows(self.centre(self.pilot))
        return self._written[id(bf)]

    def sums_of(self, bf: BlockFactor, value: Array) -> Array:
        """Return the sums of a factor's rows at one chain's precisions: for factors too large for a table."""
        return bf.sum_weighted(value, self.centre(self.pilot))

    # ---- the system of every chain ------------------------------------------------------------------------------
    def precisions(self, env: Environment) -> list[Array]:
        """Return the latent precisions of the factors summed by cell, each ``(batch, entries)``."""
        return [_flat(bf.precision.values(env)) for bf in self.moving]

    def flat_system(self, env: Environment, precisions: list[Array] | None = None) -> Array:
        """Return the summed system of every chain as flat vectors ``(batch, size)``."""
        values = self.precisions(env) if precisions is None else precisions
        flat = self.summary.fixed[None]
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
            if self.priors is None or system.is_exact(E[:, :-1, :-1]):
                return system, E[:, -1, -1]
        except np.linalg.LinAlgError:
            if self.priors is None:
                raise
        return self.priors.factored(self, env, values), E[:, -1, -1]

    # ---- what a step asks for -----------------------------------------------------------------------------------
    def log_marginal(self, env: Environment) -> Array:
        """Return the log density of the block's children with the block integrated out: ``(batch,)``.

        Where precisions are so large that the least sum of squares is lost in rounding it is -inf, not noise; and where
        a matrix loses its digits.
        """
        values = self.precisions(env)
        return self._log_integral(env, values) + self.log_normalisers(env, values)

    def log_normalisers(self, env: Environment, values: list[Array] | None = None) -> Array:
        """Return what of the log marginal is no part of the least squares and their determinant: ``(batch,)``."""
        values = self.precisions(env) if values is None else values
        total: Array = np.asarray([self._constant])
        for bf, value in zip(self.moving, values, strict=True):
            shaped = value.reshape(value.shape[0], bf.precision.cells, bf.entries, -1)
            total = total + bf.precision.half_log_det(shaped if bf.precision.kind == "matrix" else value)
        for bf in self.loose:
            total = total + bf.precision.half_log_det(bf.precision.values(env))
            if bf.factor.distribution.family == "LogNormal":
                total = total - _flat(bf.factor.weighed(np.log(bf.factor.value_array(env)))).sum(axis=1)
        return total

    def _log_integral(self, env: Environment, values: list[Array]) -> Array:
        """Return the log of the integral over the block but for constants: ``(batch,)``."""
        batch = self._batch(env, values)
        if self._is_bulk(batch, _MANY) and self.classes is not None:
            result, good = self.classes.log_integral(_joined(values).T)
            for at in _parts(np.flatnonzero(~good), self._cost):
                result[at] = self._integrated(env, _some(values, at))
            return result
        if batch * self._cost <= _NUMBERS:
            result = self._integrated(env, values)
            if self.is_static and np.isneginf(result).any() and self.classes is not None:
                other, good = self.classes.log_integral(_joined(values).T)
                result = np.where(np.isneginf(result) & good, other, result)
            return result
        parts = [
            self._integrated(self._here(env, at), _some(values, at)) for at in _parts(np.arange(batch), self._cost)
        ]
        return np.concatenate(parts)

    def _is_bulk(self, batch: int, least: int) -> bool:
        """Whether a batch is so large that what its systems share is better computed once."""
        return self.is_static and batch > 1 and batch * (self.layout.wide.size or self.layout.rest) >= least

    def _batch(self, env: Environment, values: list[Array]) -> int:
        moving = {n for bf in self.loose for n in bf.factor.variables if n not in self.columns}
        return max([1, *(len(v) for v in values), *(len(env[n]) for n in moving)])

    def _here(self, env: Environment, at: Array) -> Environment:
        """Return some entries of the batch."""
        return {n: v if len(v) == 1 else v[at] for n, v in env.items()} if self.loose else env

    def _integrated(self, env: Environment, values: list[Array]) -> Array:
        """Return the log integrals; -inf for each whose matrix is not positive definite."""
        squares, log_det = self.least_squares(env, values)
        return np.asarray(-0.5 * (squares + log_det))

    def least_squares(self, env: Environment, values: list[Array] | None = None) -> tuple[Array, Array]:
        """Return least sums of squares and log determinants of the systems, ``(batch,)`` each.

        The former are infinite where a matrix is not positive definite, or the least is lost in rounding.
        """
        values = self.precisions(env) if values is None else values
        try:
            system, vv = self.factored(env, values)
        except np.linalg.LinAlgError:
            batch = self._batch(env, values)
            if batch == 1:
                return np.array([np.inf]), np.zeros(1)
            halves = np.array_split(np.arange(batch), 2)
            found = [self.least_squares(self._here(env, at), _some(values, at)) for at in halves]
            return np.concatenate([s for s, _ in found]), np.concatenate([d for _, d in found])
        gain = system.gain(vv)
        if system.net is None and self.priors is not None and not (-gain >= _FAR * vv).all():
            system = self.priors.factored(self, env, values)
            gain = system.gain(vv)
        squares = trusted(-gain, vv if system.size is None else system.size)
        return squares, np.broadcast_to(system.log_det(), squares.shape)

    @cached_property
    def _constant(self) -> float:
        rows = sum(bf.precision.rows for bf in self.factors)
        total = 0.5 * LOG_2PI * (self.total - rows)
        for bf in self.table:
            total += bf.precision.log_det if bf.precision.latent is None else 0.0
            if bf.factor.distribution.family == "LogNormal":
                total -= float(bf.factor.weighed(np.log(bf.factor.value_array(self.problem.env))).sum())
        return total

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw the block given the rest: values by name, and the columns about the pilot ``(batch, total)``."""
        values = self.precisions(env)
        if self._is_bulk(batch, _MANY_DRAWS) and self.classes is not None:
            x, _ = self._drawn_in_bulk(env, values, rng, batch, np.zeros(self.total))
        else:
            system, _ = self.factored(env, values)
            zw = rng.standard_normal((batch, self.layout.groups, self.layout.width))
            zd = rng.standard_normal((batch, self.layout.rest))
            x = self.layout.gather(*system.solve(zw, zd))
        return self.values(x + self.pilot), x

    def draw_with_density(
        self, env: Environment, rng: np.random.Generator, batch: int
    ) -> tuple[dict[str, Array], Array]:
        """Draw the block given the rest: values by name, and the log density of the draw given it ``(batch,)``."""
        values = self.precisions(env)
        if self._is_bulk(batch, _MANY_DRAWS) and self.classes is not None:
            x, density = self._drawn_in_bulk(env, values, rng, batch, self.pilot)
        else:
            x, density = self._drawn(env, values, rng, batch, self.pilot)
        return self.values(x), density

    def _drawn_in_bulk(
        self, env: Environment, values: list[Array], rng: np.random.Generator, batch: int, about: Array
    ) -> tuple[Array, Array]:
        """Return columns ``(batch, total)`` about some, and their log density, all systems at once."""
        assert self.classes is not None
        precisions = np.broadcast_to(_joined(values).T, (len(self.sums), batch))
        x, density, good = self.classes.draw(precisions, rng, about)
        for at in _parts(np.flatnonzero(~good), self._cost):
            x[at], density[at] = self._drawn(env, _some(values, at), rng, len(at), about)
        return x, density

    def _drawn(
        self, env: Environment, values: list[Array], rng: np.random.Generator, batch: int, about: Array
    ) -> tuple[Array, Array]:
        """Do the same chain by chain."""
        system, _ = self.factored(env, values)
        zw = rng.standard_normal((batch, self.layout.groups, self.layout.width))
        zd = rng.standard_normal((batch, self.layout.rest))
        x = self.layout.gather(*system.solve(zw, zd)) + about
        squares = (zw * zw).sum(axis=(-2, -1)) + (zd * zd).sum(axis=-1)
        return x, 0.5 * (system.log_det() - squares - self.total * LOG_2PI)

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
        total = -0.5 * (self.layout.features(*self.layout.parts(x)) @ self.summary.fixed)
        for bf in self.table:
            total = total - 0.5 * LOG_2PI * bf.precision.rows
            total = total + (bf.precision.log_det if bf.precision.latent is None else 0.0)
        sums, start = self.residual_sums(x), 0
        for bf, value in zip(self.moving, self.precisions(env), strict=True):
            shaped = value.reshape(len(value), bf.precision.cells, bf.entries, -1)
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
            stop = start + bf.cells
            chains = np.flatnonzero(small[:, start:stop].any(axis=1))
            if len(chains):
                about_wide, about_dense = self.centre(self.pilot)
                sums[chains, start:stop] = bf.squares(wide[chains] + about_wide, dense[chains] + about_dense)
            start = stop


def _parts(indices: Array, cost: int) -> Iterator[Array]:
    """Yield some of the indices at a time, as many as there is room for."""
    step = max(1, _NUMBERS // max(1, cost))
    for start in range(0, len(indices), step):
        yield indices[start : start + step]


def _some(values: list[Array], at: Array) -> list[Array]:
    return [v if len(v) == 1 else v[at] for v in values]


def _flat(values: Array) -> Array:
    return values.reshape(values.shape[0], -1)


def _joined(values: list[Array]) -> Array:
    batch = max(len(v) for v in values)
    return np.concatenate([v if len(v) == batch else np.repeat(v, batch, axis=0) for v in values], axis=1)


def _ridge(matrices: Array) -> Array:
    """Return a diagonal that makes semidefinite matrices definite, each entry in the units of its own unknown."""
    size = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.where(size > 0, 1e-10 * size, 1.0)[..., None] * np.eye(matrices.shape[-1])
