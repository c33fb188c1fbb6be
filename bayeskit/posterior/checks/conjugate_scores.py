r"""Rows left out of a conjugate latent: the difference of log normalisers.

With natural parameters :math:`\eta` of the posterior, :math:`A` the log normaliser and :math:`t_g` what the rows of a
group contribute,

.. math:: \log p(y_g \mid y_{-g}) = b_g + A(\eta) - A(\eta - t_g), \qquad
          \log p(\tilde y_g = y_g \mid y) = b_g + A(\eta + t_g) - A(\eta),

summed over the elements of the latent that the group touches. Source: Bernardo and Smith (1994), Bayesian Theory,
sec. 5.2.2 (predictive densities of conjugate families).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.conjugate.families import (
    BetaFamily,
    DirichletFamily,
    GammaFamily,
    Naturals,
    NormalFamily,
    WishartFamily,
)
from bayeskit.conjugate.pull_back import along_frame
from bayeskit.expressions import Constant
from bayeskit.expressions.linear import Position
from bayeskit.inference.conjugacy import ConjugateUpdate, natural_parts
from bayeskit.inference.contribution import Contribution
from bayeskit.posterior.checks.rows import Groups

Array = np.ndarray
Environment = Mapping[str, Array]
ADDITIVE = (BetaFamily, DirichletFamily, GammaFamily, NormalFamily, WishartFamily)  # what was added can be taken out
PAIR = "pair of a group and an element"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Groups with the elements of the latent that they touch: ``group`` and ``cell`` of every pair."""

    group: Array
    cell: Array

    @property
    def count(self) -> int:
        """Count them."""
        return len(self.group)


class ConjugateScores:
    """Scores of the rows below one conjugate latent, given whatever else its children depend on.

    Parameters
    ----------
    update : ConjugateUpdate
        The latent, in the problem row by row.
    groups : Groups
        Which rows are left out together.
    """

    def __init__(self, update: ConjugateUpdate, groups: Groups) -> None:
        self.update, self.groups, self.family = update, groups, update.family
        latent = update.latent
        self.shape = latent.shape[: len(latent.shape) - len(latent.prior.event)]
        self.rows = [(c, g) for c in update.contributions if (g := groups.group_of(c.factor)) is not None]
        self.pairs, self.children = self._pair_up()
        self.cost = 4 * latent.size + sum(4 * g.size for _, g in self.rows)
        self.work, self.memory = float(self.cost), self.cost

    @staticmethod
    def serves(update: ConjugateUpdate, groups: Groups) -> bool:
        """Whether contributions are sums, and it is known which element each row touches: no other latent moves it."""
        if not isinstance(update.family, ADDITIVE):
            return False
        known = groups.problem.env.keys()
        positions = [p for c in update.contributions for p in c.positions.values() if not isinstance(p, str)]
        return all(p.variables <= known for p in positions)

    def _pair_up(self) -> tuple[Pairs, list[Contribution]]:
        """Number the pairs of a group and an element that some row makes, and read the children through them."""
        latent, plates, known = self.update.latent, len(self.shape), self.groups.problem.env
        total = max(1, int(np.prod(self.shape, dtype=int)))
        keys = [group * total + self._cell_of(c, known) for c, group in self.rows]
        present, place = np.unique(np.concatenate(keys), return_inverse=True)
        ends = np.cumsum([len(k) for k in keys])[:-1]
        children = []
        for (c, _), own in zip(self.rows, np.split(place, ends), strict=True):
            pair: Position = Constant(own.reshape(c.factor.shape), c.factor.plates)
            event = {d: c.positions[d] for d in latent.variable.dims[plates:]}
            children.append(replace(c, positions={PAIR: pair, **event}))
        return Pairs(present // total, present % total), children

    def _cell_of(self, c: Contribution, known: Environment) -> Array:
        """Return the element (over the plates of the latent) that each row touches: ``(rows,)``."""
        cell: Array = np.zeros((1,) * (1 + len(c.factor.plates)), dtype=np.int64)
        plates = self.update.latent.variable.dims[: len(self.shape)]
        for dim, size in zip(plates, self.shape, strict=True):
            p = c.positions[dim]
            code = p if isinstance(p, str) else (p.evaluate(known).astype(np.int64), p.dims)
            cell = cell * size + along_frame(code, c.factor.plates, c.factor.shape)
        return np.broadcast_to(cell[0], c.factor.shape).reshape(-1)

    def _given(self, env: Environment) -> Naturals:
        """Return what every pair contributes: ``(batch, pairs, *event)``."""
        sizes = {**self.update.sizes, PAIR: self.pairs.count}
        parts = [natural_parts(self.family, c, env, sizes) for c in self.children]
        return tuple(sum(p[1:], p[0]) for p in zip(*parts, strict=True))

    def _measure(self, env: Environment, full: Naturals) -> tuple[Array, Array | None]:
        """Return what the groups' densities carry beside gains ``(batch, groups)``, and the point gains are taken at.

        Gains of a normal are differences of squares, which far from zero lose their digits: for it they are ratios of
        densities at the centre, and what they leave is the density of the rows there.
        """
        count, carried = self.groups.count, np.zeros((1, self.groups.count))
        if not isinstance(self.family, NormalFamily):
            for c, group in self.rows:
                cells = c.base_cells(env)
                carried = carried + sum_by(cells.reshape(len(cells), -1), group, count)
            return carried, None
        x = self.family.centre(full)
        here = {**env, self.update.latent.name: x}
        for c, group in self.rows:
            cells = c.factor.log_prob(here)
            carried = carried + sum_by(cells.reshape(len(cells), -1), group, count)
        return carried, self.at_pairs((x,))[0]

    def _gain(self, before: Naturals, gained: Naturals, x: Array | None) -> Array:
        """Return the log of what the rows of each pair integrate to, but for what they carry."""
        with np.errstate(all="ignore"):
            if x is None:
                return np.asarray(self.family.log_gain(before, gained))
            after = tuple(b + g for b, g in zip(before, gained, strict=True))
            return np.asarray(self.family.log_density(x, before) - self.family.log_density(x, after))

    def _where_proper(self, gain: Array, before: Naturals, otherwise: float) -> Array:
        with np.errstate(all="ignore"):
            proper = np.asarray(self.family.is_proper(before))
        return np.where(np.broadcast_to(proper, gain.shape), gain, otherwise)

    def score(self, env: Environment) -> tuple[Array, Array]:
        """Return the log densities of the groups given all rows, and given the others: each ``(batch, groups)``."""
        gained, naturals = self._given(env), self.update.naturals(env)
        carried, x = self._measure(env, naturals)
        full = self.at_pairs(naturals)
        rest = tuple(f - g for f, g in zip(full, gained, strict=True))
        outside = self._where_proper(self._gain(rest, gained, x), rest, -np.inf)
        found = [
            carried + sum_by(a, self.pairs.group, self.groups.count) for a in (self._gain(full, gained, x), outside)
        ]
        return found[0], found[1]

    def sequence(self, env: Environment, upto: int) -> Array:
        """Return the log densities of the groups, each given those before it: ``(batch, groups)``; NaN if improper."""
        gained, naturals = self._given(env), self.update.naturals(env)
        carried, x = self._measure(env, naturals)
        own = {id(c) for c, _ in self.rows}
        start = self.update.prior(env)
        for c in self.update.contributions:
            if id(c) not in own:
                part = natural_parts(self.family, c, env, self.update.sizes)
                start = tuple(a + b for a, b in zip(start, part, strict=True))
        order = np.lexsort((self.pairs.group, self.pairs.cell))
        begin = np.flatnonzero(np.diff(self.pairs.cell[order], prepend=-1))
        before = tuple(
            a + _sums_before(np.asarray(g), order, begin, self.pairs.count)
            for a, g in zip(self.at_pairs(start), gained, strict=True)
        )
        each = self._where_proper(self._gain(before, gained, x), before, np.nan)
        return np.asarray(carried + sum_by(each, self.pairs.group, self.groups.count))

    def at_pairs(self, naturals: Naturals) -> Naturals:
        """Return natural parameters of the elements at every pair: ``(batch, pairs, *event)``."""
        plates = 1 + len(self.shape)
        return tuple(n.reshape(n.shape[0], -1, *n.shape[plates:])[:, self.pairs.cell] for n in naturals)


def _sums_before(values: Array, order: Array, begin: Array, count: int) -> Array:
    """Return, for every pair, the sum over the pairs of its element that come before it: ``(batch, pairs, *event)``."""
    if values.ndim < 2:
        return np.zeros(())
    values = np.broadcast_to(values, (len(values), count, *values.shape[2:]))
    return sums_before(values, order, begin)


def sums_before(values: Array, order: Array, begin: Array) -> Array:
    """Return running sums ``(batch, n, ...)``, each value its own left out, anew from each of ``begin`` in an order."""
    running = np.cumsum(values[:, order], axis=1) - values[:, order]
    lengths = np.diff(begin, append=len(order))
    running = running - np.repeat(running[:, begin], lengths, axis=1)
    result = np.empty(running.shape)
    result[:, order] = running
    return result


def sum_by(values: Array, key: Array, count: int) -> Array:
    """Sum ``(batch, n)`` by a key of the last axis: ``(batch, count)``."""
    if len(key) == count and np.array_equal(key, np.arange(count)):
        return values
    batch = len(values)
    flat = np.arange(batch)[:, None] * count + key
    return np.bincount(flat.ravel(), np.ravel(values), batch * count).reshape(batch, count)
