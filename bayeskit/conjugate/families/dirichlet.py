"""Shares of several categories: the Dirichlet family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlogy

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, difference, kernels, where_proper
from bayeskit.distributions.gammafunctions import log_beta, log_rising
from bayeskit.distributions.tables import by_cell

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class DirichletFamily:
    """Kernel ``prod x_k**(alpha_k - 1)`` on the simplex; a zero is a category that cannot occur."""

    name = "Dirichlet"

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``alpha``."""
        return (parameters[0],)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``sum log B(alpha_k, sum of those before)``: no sum of large log gammas is subtracted."""
        (alpha,) = naturals
        before = np.cumsum(alpha, axis=-1)[..., :-1]
        both = (alpha[..., 1:] > 0) & (before > 0)
        with np.errstate(all="ignore"):
            steps = np.where(both, log_beta(np.where(both, alpha[..., 1:], 1.0), np.where(both, before, 1.0)), 0.0)
            return np.where(self.is_proper(naturals), steps.sum(axis=-1), np.inf)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same."""
        return where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return that for ``alpha + n`` less that for ``alpha``: by rising factorials where alpha is the larger."""
        (alpha,), (n,) = prior, gained
        total = n.sum(axis=-1)
        positive = (alpha > 0).all(axis=-1) & (total < alpha.sum(axis=-1))
        if not positive.any():
            return difference(self, prior, gained)
        with np.errstate(all="ignore"):
            gain = np.asarray(log_rising(alpha, n).sum(axis=-1) - log_rising(alpha.sum(axis=-1), total))
        return gain if positive.all() else np.where(positive, gain, difference(self, prior, gained))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``sum (alpha_k - 1) log x_k`` over the categories that can occur."""
        (alpha,) = naturals
        return np.asarray(np.where(alpha > 0, xlogy(alpha - 1, np.where(alpha > 0, x, 1.0)), 0.0).sum(axis=-1))

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""
        return np.asarray(kernels("Dirichlet")._log_prob(x, *naturals))

    def centre(self, naturals: Naturals) -> Array:
        """Return the mean."""
        (alpha,) = naturals
        return alpha / alpha.sum(axis=-1, keepdims=True)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw from Dirichlet(alpha)."""
        (alpha,) = naturals
        return kernels("Dirichlet")._sample(rng, alpha.shape[:-1], alpha)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Dirichlet(alpha)."""
        from bayeskit.distributions import Dirichlet

        return Dirichlet(wrap(naturals[0]))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where no entry is negative and one is positive."""
        return (naturals[0] >= 0).all(axis=-1) & (naturals[0] > 0).any(axis=-1)


class DirichletTableFamily:
    """The same over the cells of tables, on the last two axes."""

    name = "Dirichlet"

    def __init__(self) -> None:
        self.cells = DirichletFamily()

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``alpha``."""
        return self.cells.prior(*parameters)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.log_normaliser(_by_cell(naturals))

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.log_prior_normaliser(_by_cell(naturals))

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.log_gain(_by_cell(prior), _by_cell(gained))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.log_kernel(by_cell(x), _by_cell(naturals))

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.log_density(by_cell(x), _by_cell(naturals))

    def centre(self, naturals: Naturals) -> Array:
        """Return that of the cells."""
        return self.cells.centre(_by_cell(naturals)).reshape(naturals[0].shape)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw tables."""
        return self.cells.sample(_by_cell(naturals), rng).reshape(naturals[0].shape)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return the Dirichlet over tables."""
        from bayeskit.distributions.tables import DirichletTable

        return DirichletTable(wrap(naturals[0]))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the cells are proper."""
        return self.cells.is_proper(_by_cell(naturals))


def _by_cell(naturals: Naturals) -> Naturals:
    return tuple(by_cell(n) for n in naturals)
