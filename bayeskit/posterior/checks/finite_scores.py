r"""Rows left out of a finite latent, by enumeration.

.. math:: p(y_g \mid y_{-g}) = \frac{\sum_k p(z = k, y)}{\sum_k p(z = k, y_{-g})}, \qquad
          p(\tilde y_g = y_g \mid y) = \sum_k p(z = k \mid y)\, p(y_g \mid z = k),

element by element of the latent. Terms are added up anew without the group, never divided out: a row may rule a value
out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from bayeskit.conjugate.pull_back import along_frame
from bayeskit.inference.elementwise import Places
from bayeskit.inference.enumeration import Enumeration
from bayeskit.model.problem import Factor
from bayeskit.posterior.checks.conjugate_scores import sum_by, sums_before
from bayeskit.posterior.checks.rows import Groups

Array = np.ndarray
Environment = Mapping[str, Array]


class FiniteScores:
    """Scores of the rows below one finite latent whose elements are independent given the rest."""

    def __init__(self, found: Enumeration, groups: Groups) -> None:
        self.found, self.groups = found, groups
        self.latent = found.conditional.latent
        self.total = max(1, self.latent.size)
        self.rows = []
        for factor, places in found.conditional.children:
            group = groups.group_of(factor)
            if group is not None:
                self.rows.append((factor, group, cell_of(factor, places, self.latent.shape, self.groups.problem.env)))
        keys = [group * self.total + cell for _, group, cell in self.rows]
        self.pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
        self._place = np.split(place, np.cumsum([len(g) for _, g, _ in self.rows])[:-1])
        self.cost = len(found.values) * (self.total + sum(2 * len(g) for _, g, _ in self.rows))
        self.work, self.memory = float(self.cost), self.cost

    @staticmethod
    def serves(found: Enumeration, groups: Groups) -> bool:
        """Whether it is known which element each row touches, and each touches one."""
        latent, env = found.conditional.latent, groups.problem.env
        for _, places in found.conditional.children:
            for (_, p), size in zip(places.items(), latent.shape if places else (), strict=True):
                if not isinstance(p, str) and not (p.variables <= env.keys() and np.all(p.evaluate(env) < size)):
                    return False
        return True

    def score(self, env: Environment) -> tuple[Array, Array]:
        """Return the log densities of the groups given all rows, and given the others: each ``(batch, groups)``."""
        finite, barred = self.weights(env)
        own, ruled_out = self.by_pair(env)
        cell = self.pairs % self.total
        at, barred_at = finite[:, cell], barred[:, cell]
        full = np.where(barred_at > 0, -np.inf, at)
        rest = np.where(barred_at - ruled_out > 0, -np.inf, at - own)
        each = np.where(ruled_out > 0, -np.inf, own)
        evidence = logsumexp(full, axis=-1)
        with np.errstate(all="ignore"):
            outside = evidence - logsumexp(rest, axis=-1)
            inside = logsumexp(full + each, axis=-1) - evidence
        group = self.pairs // self.total
        return sum_by(inside, group, self.groups.count), sum_by(outside, group, self.groups.count)

    def sequence(self, env: Environment, upto: int) -> Array:
        """Return the log densities of the groups, each given those before it: ``(batch, groups)``."""
        own, ruled_out = self.by_pair(env)
        group, cell = self.pairs // self.total, self.pairs % self.total
        order = np.lexsort((group, cell))
        begin = np.flatnonzero(np.diff(cell[order], prepend=-1))
        finite, barred = self.weights(env)
        totals = [sum_by_cell(a, cell, self.total) for a in (own, ruled_out)]
        start = finite - totals[0], barred - totals[1]
        before = [s[:, cell] + sums_before(a, order, begin) for s, a in zip(start, (own, ruled_out), strict=True)]
        prior = np.where(before[1] > 0, -np.inf, before[0])
        each = np.where(ruled_out > 0, -np.inf, own)
        with np.errstate(all="ignore"):
            found = logsumexp(prior + each, axis=-1) - logsumexp(prior, axis=-1)
        return sum_by(found, group, self.groups.count)

    def weights(self, env: Environment) -> tuple[Array, Array]:
        """Return, for each element and value, the sum of finite log terms and how many are minus infinity."""
        finite, barred = self._prior(env)
        for factor, places in self.found.conditional.children:
            more, infinite = self._terms(
                factor, cell_of(factor, places, self.latent.shape, self.groups.problem.env), self.total, env
            )
            finite, barred = finite + more, barred + infinite
        return finite, barred

    def _prior(self, env: Environment) -> tuple[Array, Array]:
        logs = [
            self.latent.prior.log_prob({**env, self.latent.name: self._filled(v)}).reshape(-1, self.total)
            for v in self.found.values
        ]
        return split(np.stack(logs, axis=-1))

    def by_pair(self, env: Environment) -> tuple[Array, Array]:
        """Return the same for what each pair of group and element adds."""
        parts = [
            self._terms(factor, place, len(self.pairs), env)
            for (factor, _, _), place in zip(self.rows, self._place, strict=True)
        ]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)  # type: ignore[return-value]

    def _terms(self, factor: Factor, key: Array, count: int, env: Environment) -> tuple[Array, Array]:
        """Return one child's terms summed by a key of its rows, value by value: ``(batch, count, values)``."""
        found = []
        for v in self.found.values:
            logs = factor.log_prob({**env, self.latent.name: self._filled(v)})
            found.append([sum_by(part, key, count) for part in split(logs.reshape(len(logs), -1))])
        return np.stack([f[0] for f in found], axis=-1), np.stack([f[1] for f in found], axis=-1)

    def _filled(self, value: int) -> Array:
        return np.full((1, *self.latent.shape), value, dtype=np.int64)


def split(logs: Array) -> tuple[Array, Array]:
    """Return log terms with zero where they are minus infinity, and where they are."""
    barred = np.isneginf(logs)
    return np.where(barred, 0.0, logs), barred.astype(float)


def sum_by_cell(values: Array, cell: Array, count: int) -> Array:
    """Sum ``(batch, pairs, values)`` by element."""
    return np.stack([sum_by(v, cell, count) for v in np.moveaxis(values, -1, 0)], axis=-1)


def cell_of(factor: Factor, places: Places, shape: tuple[int, ...], known: Environment) -> Array:
    """Return the element of a latent that each row of a factor touches: ``(rows,)``."""
    cell: Array = np.zeros((1,) * (1 + len(factor.plates)), dtype=np.int64)
    for p, size in zip(places.values(), shape if places else (), strict=True):
        code = p if isinstance(p, str) else (p.evaluate(known).astype(np.int64), p.dims)
        cell = cell * size + along_frame(code, factor.plates, factor.shape)
    return np.broadcast_to(cell[0], factor.shape).reshape(-1)
