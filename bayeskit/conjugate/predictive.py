r"""Predictive densities of conjugate pairs: one child's cell, with its parent integrated out.

A parent in a natural family with parameters :math:`\eta` and log normaliser :math:`A`, and a child's cell that adds
:math:`t(y)` to them and has the rest :math:`b(y)` of its log density, give

.. math:: \log p(y) = A(\eta + t(y)) - A(\eta) + b(y).

Source: Bernardo and Smith (1994), Bayesian Theory, prop. 5.5 (conjugate families and their predictive distributions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bayeskit.conjugate.families import Array, GammaFamily, NaturalFamily, Naturals, NormalFamily
from bayeskit.conjugate.rules import Rule, find_rule

__all__ = ["PairDensity", "log_predictive"]

_HELD = 2_000_000  # numbers of one array held at a time


def log_predictive(
    rule: Rule,
    family: NaturalFamily,
    naturals: Naturals,
    value: Array,
    others: Mapping[str, Array],
    coefficient: Array,
    offset: Array | float = 0.0,
    *,
    exponent: float = 1.0,
    swapped: bool = False,
) -> Array:
    """Return the log density of a child's values, each with its parent integrated out on its own.

    Parameters
    ----------
    rule : Rule
        A row whose child is a number.
    family : NaturalFamily
        The parent's.
    naturals : tuple of array
        What the parent's natural parameters are without the value, one set a cell. All arrays broadcast.
    value : array
        The child's values.
    others : mapping
        Its other parameters, by name.
    coefficient, offset : array
        Of the form in which its parameter depends on the parent; to the rule's exponent for powers.
    exponent : float
        Power of the parent in which the row is linear, for the gamma family.
    swapped : bool
        Whether the parameter is one minus the parent.

    Examples
    --------
    >>> from bayeskit.conjugate.families import BetaFamily
    >>> row = find_rule("Beta", "Geometric", "p")
    >>> np.exp(log_predictive(row, BetaFamily(), (np.array(1.0), np.array(1.0)), np.arange(1.0, 4), {}, 1.0)).round(9)
    array([0.5       , 0.16666667, 0.08333333])
    """
    read = rule.centred(value, np.asarray(offset))
    family = _after_data(family)
    if isinstance(family, NormalFamily):
        family, naturals, centre = _about_centre(family, naturals)
        read = read - coefficient * centre
    parts = rule.contribution(read, dict(others), coefficient)
    if swapped:
        parts = parts[::-1]
    if isinstance(family, GammaFamily):
        parts = family.along(exponent, *(np.asarray(p, dtype=float) for p in parts))
    rest = rule.base(read, dict(others), coefficient) + rule.log_jacobian(value)
    return np.asarray(family.log_gain(naturals, tuple(np.asarray(p, dtype=float) for p in parts)) + rest)


def _after_data(family: NaturalFamily) -> NaturalFamily:
    """Return the family of a posterior: of an improper prior the density is that of the kernel, of a posterior not."""
    if getattr(family, "kind", "") != "Flat":
        return family
    proper = copy(family)
    proper.kind = "Posterior"  # type: ignore[attr-defined]
    return proper


def _about_centre(family: NormalFamily, naturals: Naturals) -> tuple[NormalFamily, Naturals, Array]:
    """Return the same with zero at the parent's mean: no squares of large numbers are subtracted."""
    P, h = naturals
    centre = family.centre(naturals)
    bounds = (None if b is None else np.asarray(b) - centre for b in (family.lower, family.upper))
    return NormalFamily(family.kind, *bounds), (P, h - P * centre), centre


@dataclass(frozen=True, eq=False)
class PairDensity:
    """The predictive densities of many cells, each perhaps a mixture over nodes.

    Attributes
    ----------
    key : tuple of str
        Parent's natural family, child and parameter: of which row.
    family : NaturalFamily
        The parent's family.
    naturals, others, coefficient, offset
        As for `log_predictive`, every array ``(nodes or 1, cells)``.
    log_weights : array
        Of the nodes, ``(nodes, cells or 1)``.
    exponent, swapped
        As for `log_predictive`.
    """

    key: tuple[str, str, str]
    family: NaturalFamily
    naturals: Naturals
    others: Mapping[str, Array]
    coefficient: Array
    offset: Array
    log_weights: Array
    exponent: float = 1.0
    swapped: bool = False

    @property
    def rule(self) -> Rule:
        """The row."""
        found = find_rule(*self.key)
        assert found is not None
        return found

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(max(a.shape[-1] for a in (*self.naturals, *self.others.values(), self.coefficient, self.offset)))

    @property
    def nodes(self) -> int:
        """How many nodes each is a mixture over."""
        return len(self.log_weights)

    def take(self, cells: Array) -> PairDensity:
        """Return the densities of some cells."""

        def of(array: Array) -> Array:
            return array if array.shape[-1] == 1 else array[:, cells]

        return replace(
            self,
            naturals=tuple(of(n) for n in self.naturals),
            others={k: of(v) for k, v in self.others.items()},
            coefficient=of(self.coefficient),
            offset=of(self.offset),
            log_weights=of(self.log_weights),
        )

    def __call__(self, x: Array) -> Array:
        """Return the log densities at values ``(n, cells)``, which lie in the support: ``(n, cells)``."""
        result = np.empty(x.shape)
        for part in self._chunks(len(x)):
            result[part] = self._log_density(x[part])
        return result

    def _chunks(self, count: int) -> Iterator[slice]:
        step = max(1, _HELD // (self.nodes * self.cells))
        return (slice(start, start + step) for start in range(0, count, step))

    def _log_density(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            each = log_predictive(
                self.rule, self.family, self.naturals, x[:, None], self.others, self.coefficient, self.offset,
                exponent=self.exponent, swapped=self.swapped,
            )  # fmt: skip
            if self.nodes == 1:
                return np.asarray(each[:, 0])
            weighed = np.where(np.isneginf(self.log_weights), -np.inf, each + self.log_weights)
            return np.asarray(logsumexp(weighed, axis=1))

    def at(self, x: Any, cell: Array) -> Array:
        """Return the log densities at values of numbered cells, which broadcast."""
        x, cell = np.broadcast_arrays(np.asarray(x, dtype=float), cell)
        return self.take(cell.reshape(-1))(x.reshape(1, -1)).reshape(x.shape)
