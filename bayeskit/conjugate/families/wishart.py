"""Precision and covariance matrices: the Wishart families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import multigammaln

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, density_of, difference, kernels, where_proper

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class WishartFamily:
    """Matrices: ``|X|**((nu - d - 1)/2) exp(-tr(R X)/2)``, or for covariances the inverse of such an X.

    ``rate`` says that the prior was given R itself (the Wishart of BUGS), not its inverse.
    """

    def __init__(self, name: str, *, rate: bool = False) -> None:
        self.name, self.rate = name, rate

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(nu, R)``: for a Wishart R is the inverse of its scale, for an inverse Wishart its scale."""
        nu, matrix = parameters
        if self.name == "Wishart" and not self.rate:
            matrix = _inverse(matrix)
        return nu, matrix

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``nu d log(2) / 2 + log Gamma_d(nu/2) - nu log|R| / 2``."""
        nu, R = naturals
        d = R.shape[-1]
        proper = self.is_proper(naturals)
        nu = np.where(proper, nu, d + 1.0)
        log_det = np.linalg.slogdet(R)[1]
        with np.errstate(all="ignore"):
            total = 0.5 * nu * d * np.log(2) + multigammaln(0.5 * nu, d) - 0.5 * nu * log_det
        return np.where(proper, total, np.inf)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same."""
        return where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return the difference of the log normalisers."""
        return difference(self, prior, gained)

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the kernel at X."""
        nu, R = naturals
        d = R.shape[-1]
        log_det = np.linalg.slogdet(x)[1]
        if self.name == "Wishart":
            return np.asarray(0.5 * (nu - d - 1) * log_det - 0.5 * (R * x).sum(axis=(-2, -1)))
        x, R = np.broadcast_arrays(x, R)
        trace = np.trace(np.linalg.solve(x, R), axis1=-2, axis2=-1)
        return np.asarray(-0.5 * (nu + d + 1) * log_det - 0.5 * trace)

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""
        return density_of(self, x, naturals)

    def centre(self, naturals: Naturals) -> None:
        """Return None: its evidence is a difference of normalisers that keeps its digits."""

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw a matrix for every batch and cell."""
        nu, R = naturals
        return kernels(self.name, R.shape[-1])._sample(rng, np.broadcast_shapes(nu.shape, R.shape[:-2]), nu, R)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Wishart(nu, inverse of R) or InverseWishart(nu, R); with ``rate`` Wishart(nu, rate=R)."""
        from bayeskit.distributions import InverseWishart, Wishart

        nu, R = naturals
        if self.name == "InverseWishart":
            return InverseWishart(wrap(nu), wrap(R))
        return Wishart(wrap(nu), rate=wrap(R)) if self.rate else Wishart(wrap(nu), wrap(_inverse(R)))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where ``nu > d - 1`` and R is positive definite."""
        nu, R = naturals
        return np.asarray((nu > R.shape[-1] - 1) & (np.linalg.eigvalsh(R)[..., 0] > 0))


def _inverse(matrix: Array) -> Array:
    """Return the inverse, symmetric to the last bit."""
    inverse = np.linalg.solve(matrix, np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape))
    return 0.5 * (inverse + np.swapaxes(inverse, -1, -2))
