r"""A joint Gaussian block and the one scale of all its rows, integrated out together: normal-inverse-gamma.

Given the core every row's precision is a known multiple of one :math:`u \sim \mathrm{Gamma}(a, r)`. With S(c) the least
sum of squares and P(c) the precision of the p unknowns at u = 1, and n rows (priors on the common scale among them),

.. math:: p(y \mid c) \propto |P(c)|^{-1/2}\, \frac{\Gamma(a + (n - p)/2)}{\Gamma(a)}\,
          \frac{r^a}{(r + S(c)/2)^{a + (n - p)/2}}.

A g in a mixture of g-priors is so left alone in the core, and so is the ratio of a prior's scale to that of the noise.
Source: O'Hagan and Forster (2004), Kendall's Advanced Theory of Statistics 2B, sec. 11.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.gammadraws import standard_gamma
from bayeskit.errors import ImproperError
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.exact_gaussian import CommonScale, common_scale
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]


def with_scale(problem: Problem, block: GaussianBlock, names: list[str]) -> GaussianPiece:
    """Return the piece of a block, with its scale where one of some latents is common to all its rows."""
    for name in names:
        if problem.latents[name].size != 1 or problem.terms_of(name):
            continue
        scale = common_scale(problem, name, block, multiple="any")
        if isinstance(scale, CommonScale):
            return ScaledGaussianPiece(block, scale)
    return GaussianPiece(block)


class ScaledGaussianPiece(GaussianPiece):
    """A joint Gaussian block with the scale that all its rows share, integrated out given the rest."""

    def __init__(self, block: GaussianBlock, scale: CommonScale) -> None:
        super().__init__(block)
        self.scale = scale
        self.names = (*block.names, scale.latent.name)
        self.factors = (*self.factors, scale.latent.prior)
        rows = sum(float((bf.precision.counts * bf.entries).sum()) for bf in block.factors)
        self.shape = float(scale.shape[0]) + 0.5 * (rows - block.total)
        if self.shape <= 0:
            raise ImproperError(
                f"The posterior of '{scale.latent.name}' is improper: {rows:g} rows for {block.total} coefficients "
                f"leave it the shape {self.shape:g}, which must be positive. Give more rows, or a proper prior."
            )

    @property
    def reason(self) -> str:
        """Which rows the scale is common to."""
        children = ", ".join(dict.fromkeys(f"'{bf.factor.name}'" for bf in self.block.factors))
        kind = "normal-gamma" if self.scale.exponent > 0 else "normal-inverse-gamma"
        return f"{kind}: given the core every row of {children} is scaled by '{self.scale.latent.name}' alone"

    def _at_unit(self, env: Environment) -> dict[str, Array]:
        """Return the environment at u = 1."""
        return {**env, self.scale.latent.name: np.ones((1, *self.scale.latent.shape))}

    def _rate(self, env: Environment) -> Array:
        """Return the rate of u given the core, ``(batch,)``."""
        return np.asarray(self.scale.rate[0] + 0.5 * self.block.least_squares(self._at_unit(env))[0])

    def _marginal(self, env: dict[str, Array], batch: int) -> Array:
        at_unit = self._at_unit(env)
        squares, log_det = self.block.least_squares(at_unit)
        rate = self.scale.rate[0] + 0.5 * squares
        with np.errstate(all="ignore"):
            total = self.block.log_normalisers(at_unit) - 0.5 * log_det
            total = total + self.scale.log_gain(np.full(rate.shape, self.shape), rate)
        return np.where(np.isfinite(squares) & (rate > 0), total, -np.inf)

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw the scale, and the block given it."""
        latent = self.scale.latent
        rate = np.broadcast_to(self._rate(env), (batch,))
        u = standard_gamma(rng, np.full(batch, self.shape), (batch,)) / rate
        x = (u ** (1.0 / self.scale.exponent)).reshape(batch, *latent.shape)
        naturals = self.scale.naturals(np.full(batch, self.shape), rate)
        values, density = self.block.draw_with_density({**env, latent.name: x}, rng, batch)
        return {**values, latent.name: x}, density + self.scale.family.log_density(x.reshape(batch), naturals)

    def linear_distribution(
        self, weights: Mapping[str, Array], offset: Array, env: Environment, wrap: Callable[..., Any]
    ) -> Distribution:
        """Return linear forms of the block given the rest: Student-t."""
        from bayeskit.distributions import StudentT

        mean, variance = self.linear(weights, self._at_unit(env))
        spread = np.sqrt(variance * (self._rate(env) / self.shape)[:, None])
        return StudentT(2 * self.shape, wrap(mean + offset), wrap(spread))

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return the scale's own family, or Student-t: element by element, of vectors jointly."""
        from bayeskit.distributions import MvStudentT, StudentT

        rate = self._rate(env)
        latent = self.scale.latent
        if name == latent.name:
            naturals = self.scale.naturals(np.full(rate.shape, self.shape), rate)
            return self.scale.family.distribution(tuple(n.reshape(-1, *latent.shape) for n in naturals), wrap)
        found = self.moments(name, self._at_unit(env))
        if isinstance(found, Refusal):
            return found
        mean, spread, joint = found
        spread = spread * (rate / self.shape).reshape(-1, *(1,) * (spread.ndim - 1))
        if joint:
            return MvStudentT(2 * self.shape, wrap(mean), wrap(spread, matrix=True))
        return StudentT(2 * self.shape, wrap(mean), wrap(np.sqrt(spread)))
