r"""Exact Gaussian components: known precisions, or one common variance.

With precisions known the block is Normal. With every precision a known multiple of one :math:`u`, and
:math:`u \sim \mathrm{Gamma}(a, r)`, the pair is normal-gamma (for a variance, normal-inverse-gamma):

.. math:: u \mid y \sim \mathrm{Gamma}\bigl(a + (n - p)/2,\; r + S/2\bigr), \qquad
          x \mid y \sim t_{2 a'}\bigl(m,\; (r'/a') P^{-1}\bigr),

with ``n`` rows (priors on the common scale among them), ``p`` unknowns and ``S`` the least sum of squares.
Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 14.2 and 14.8; O'Hagan and Forster (2004), sec. 11.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln

from bayeskit.conjugate.arrow import Arrow, Factored, factor
from bayeskit.conjugate.families import GammaFamily, natural_family
from bayeskit.errors import ImproperError
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.inference.block import LOG_2PI, GaussianBlock
from bayeskit.inference.conjugacy import Refusal, _ordered
from bayeskit.model.problem import Latent, Problem
from bayeskit.statistics.refinement import refined, refined_inverse

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
_MOST_INVERTED = 2_000  # unknowns, of which the inverse is written out where more linear forms are asked for
_NOTHING = 1e-29  # relative to the data's own squares, those of rounding errors
_CANCELLED = 1e-14  # what eliminating the groups leaves of a coefficient's precision, relative to it, is rounding
_SMALL_PIVOT = 0.5  # of a column against its length: below, coefficients have lost digits that are worth getting back
_TINY_PIVOT = 1e-3  # below, standard deviations have too
_MOST_REFINED = 1_000_000  # numbers of a design that is read again in twice the precision
_ADVICE = "an InverseGamma prior on the variance, or a Gamma prior on the precision, would make it exact"


@dataclass(frozen=True)
class CommonScale:
    """The one unknown scale of a component: precision ``u = scale**exponent``, a priori Gamma(shape, rate)."""

    latent: Latent
    family: GammaFamily
    exponent: float
    shape: Array  # (cells,)
    rate: Array

    def naturals(self, shape: Array, rate: Array) -> tuple[Array, Array, Array]:
        """Return the natural parameters on the family's own power of the scale."""
        zero = np.zeros_like(shape)
        return (shape, 2 * rate, zero) if self.exponent > 0 else (-shape, zero, 2 * rate)

    def log_gain(self, shape: Array, rate: Array) -> Array:
        """Return the log of what ``u**(shape - prior) exp(-u (rate - prior))`` integrates to under the prior."""
        prior = self.family.log_prior_normaliser(self.naturals(self.shape, self.rate))
        return np.asarray(gammaln(shape) - shape * np.log(rate) - prior)


def shared_power(problem: Problem, name: str, block: GaussianBlock, *, multiple: str = "known") -> float | Refusal:
    """Return the power of a scale that is the precision of every row of a block, up to multiples, or what breaks it.

    Parameters
    ----------
    problem, name, block
        The model, the scale, and the block.
    multiple : {"known", "any"}
        Whether the multiples must be known from data, or may depend on latents outside the block.
    """
    latent = problem.latents[name]
    if not any(bf.precision.latent is not None and name in bf.precision.latent.variables for bf in block.factors):
        return Refusal(
            f"of '{name}': {latent.prior.distribution} is not a normal prior, and it enters the mean of a normal"
        )
    exponents: set[float] = set()
    inside = {id(bf.factor) for bf in block.factors}
    for child in problem.children_of(name):
        if id(child) not in inside:
            return Refusal(f"'{name}' also has the child '{child.name}' outside the Gaussian block")
    for bf in sorted(block.factors, key=lambda bf: bool(bf.factor.value.variables)):
        part = bf.precision.latent
        if name in bf.factor.parameter("mu").variables | bf.factor.value.variables:
            return Refusal(f"'{name}' also enters the mean of '{bf.factor.name}'")
        if bf.precision.kind == "matrix" or part is None:
            if not bf.factor.value.variables:
                return Refusal(
                    f"'{name}' lies above the data: '{bf.factor.name}' ~ {bf.factor.distribution} has another scale"
                )
            advice = f"an exact posterior needs a prior scaled by a known multiple of '{name}'"
            return Refusal(f"'{bf.factor.name}' ~ {bf.factor.distribution} does not scale with '{name}'", advice)
        form = power_form(part, name)
        if isinstance(form, NotPower) or (multiple == "known" and form.coefficient.variables):
            return Refusal(f"the scale of '{bf.factor.name}' is not a known multiple of '{name}'")
        if form.coefficient.variables & set(block.names):
            return Refusal(f"the scale of '{bf.factor.name}' depends on the block itself")
        own = bf.precision.cells == latent.size or (multiple == "any" and latent.size == 1)
        if not own or list(_ordered(form.positions, latent).values()) != list(latent.variable.dims):
            return Refusal(f"the rows of '{bf.factor.name}' do not share '{name}' group by group")
        exponents.add(-2.0 * form.exponent)
    if len(exponents) != 1:
        return Refusal(f"the rows are scaled by different powers of '{name}'")
    (exponent,) = exponents
    return exponent


def common_scale(
    problem: Problem, name: str, block: GaussianBlock, *, multiple: str = "known"
) -> CommonScale | Refusal:
    """Return how every row of a block shares one unknown scale, or the row that does not; see `shared_power`."""
    exponent = shared_power(problem, name, block, multiple=multiple)
    if isinstance(exponent, Refusal):
        return exponent
    latent = problem.latents[name]
    family = natural_family(latent.prior.distribution, "Gamma", {exponent})
    if isinstance(family, str):
        return Refusal(family, _ADVICE)
    assert isinstance(family, GammaFamily)
    if not latent.prior.parents <= problem.env.keys():
        return Refusal(f"the prior of '{name}' is not known")
    p, a, b = (n.reshape(-1) for n in family.prior(*latent.prior.parameter_arrays(problem.env)))
    other, rate, shape = (b, a / 2, p) if exponent > 0 else (a, b / 2, -p)
    if np.any(other) or family.truncated:
        return Refusal(
            f"{latent.prior.distribution} is not an inverse gamma on the variance",
            _ADVICE,
        )
    size = latent.size
    return CommonScale(latent, family, exponent, np.broadcast_to(shape, (size,)), np.broadcast_to(rate, (size,)))


class ExactGaussian:
    """A Gaussian block whose precisions are known, or known up to one common scale per group."""

    def __init__(self, block: GaussianBlock, scale: CommonScale | None) -> None:
        self.block, self.scale = block, scale
        self.names = [*block.names, *([scale.latent.name] if scale else [])]
        layout = block.layout
        self.reason = self._reason()
        self.cells = 1 if scale is None else scale.latent.size
        # where the rows themselves are factored, a fit to some of them centres them well enough
        self.by_rows = layout.groups == 0 and all(bf.is_known and bf.design.known_offset for bf in block.factors)
        self.pilot = block.first_pilot if self.by_rows else block.pilot
        self.system = self._solve()
        wide, dense = self.system.solve()
        self.mean = layout.gather(wide, dense)[0] + self.pilot
        self.squares, self.rows = self._residuals(wide, dense)
        self._refined_variances: Array | None = None
        if self.by_rows and self.cells == 1 and self._pivot < _SMALL_PIVOT:
            self._refine()
        unknowns = np.full(self.cells, layout.width if self.cells > 1 else block.total)
        if scale is not None:
            self.shape = scale.shape + 0.5 * (self.rows - unknowns)
            floor = _NOTHING * self._raw_squares()
            self.rate = np.maximum(scale.rate + 0.5 * self.squares, floor)
            if np.any(self.rate <= floor):
                self.reason += f". The rows are fitted without error: '{scale.latent.name}' is zero, but for rounding"
            bad = (self.shape <= 0) | (self.rate <= 0)
            if bad.any():
                raise ImproperError(
                    f"The posterior of '{scale.latent.name}' is improper: the data leave shape "
                    f"{self.shape[bad][0]:g} and rate {self.rate[bad][0]:g}, which must both be positive. "
                    "Give more rows than coefficients, or a proper prior."
                )

    def _reason(self) -> str:
        children = ", ".join(dict.fromkeys(f"'{bf.factor.name}'" for bf in self.block.factors))
        if self.scale is None:
            return f"joint Gaussian: normal priors and children linear in them, every scale known ({children})"
        name = self.scale.latent.name
        kind = "normal-gamma" if self.scale.exponent > 0 else "normal-inverse-gamma"
        return f"{kind}: every row of {children} is scaled by '{name}' alone"

    def _unit_sums(self) -> Array:
        """Return the summed system at u = 1: the noise cells need not be told apart."""
        block, flat = self.block, np.zeros((1, self.block.layout.size))
        for bf in block.factors:
            if bf.sums is not None and bf.entries == 1:
                flat = flat + bf.sums.sum(axis=0)
            else:
                flat = flat + bf.sum_all(block.centre(self.pilot))
        return flat

    def _solve(self) -> Factored:
        block = self.block
        try:
            if self.by_rows:
                return self._by_qr()
            A, C, D, hw, hd, _ = block.layout.split(self._unit_sums())
            system = factor(Arrow(A, C, D, hw, hd))
            left = np.diagonal(system.LS, axis1=-2, axis2=-1) ** 2
            if np.any(left <= _CANCELLED * np.diagonal(D, axis1=-2, axis2=-1)):  # the groups take up all of it
                raise np.linalg.LinAlgError
        except np.linalg.LinAlgError:
            system = None
        if system is None or not well_conditioned(system):
            flat = [n for n in block.names if block.problem.latents[n].prior.distribution.family == "Flat"]
            raise ImproperError(
                f"The posterior of {', '.join(repr(n) for n in block.names)} is improper: the data do not determine "
                f"{', '.join(repr(n) for n in flat) or 'every coefficient'}. Give more or other data, or proper priors."
            )
        return system

    def _by_qr(self) -> Factored:
        """Factor the scaled rows themselves: twice the digits of their sums."""
        block, r = self.block, self.block.total
        R = np.zeros((r + 1, r + 1))
        for bf in block.factors:
            R = bf.triangle(block.centre(self.pilot), R)
        scale = np.sqrt((R * R).sum(axis=0))
        scale[scale == 0] = 1.0
        size = np.abs(np.diagonal(R / scale)[:r])
        self._pivot = float(size.min(initial=1.0))
        rows = max(r + 1, sum(bf.design.rows for bf in block.factors))
        if r and size.min() <= 1e-14 * np.sqrt(rows):
            raise np.linalg.LinAlgError("rank deficient")
        R = R * np.where(np.diagonal(R) < 0, -1.0, 1.0)[:, None]
        none = np.zeros((1, 0, 0, max(r, 1)))  # no wide part
        return Factored(none[..., :0], none[..., :r], none[..., 0], R[:r, :r].T[None].copy(), R[None, :r, r].copy())

    def _refine(self) -> None:
        """Correct what the condition of the rows has cost, where there are not too many of them."""
        block, r = self.block, self.block.total
        rows = [(bf.laid, bf.precision.framed_weight) for bf in block.factors if bf.laid is not None]
        numbers = sum(laid.rows for laid, _ in rows) * r
        if len(rows) < len(block.factors) or numbers > _MOST_REFINED:
            return

        def solve(h: Array) -> Array:
            return self.system.solve_right(np.zeros((1, 0, 0)), h[None])[1][0]

        norms = np.sqrt((self.system.LS[0] ** 2).sum(axis=1))
        with np.errstate(all="ignore"):
            mean, squares = refined(rows, solve, self.mean, norms)
            if not np.isfinite([squares, *mean]).all():
                return  # halves of numbers beyond 1e290 overflow
            self.mean, self.squares = mean, np.array([squares])
            if self._pivot < _TINY_PIVOT and numbers * r <= _MOST_REFINED:
                self._refined_variances = refined_inverse(rows, solve, r)

    def _residuals(self, wide: Array, dense: Array) -> tuple[Array, Array]:
        """Return, by cell of the scale, the least sums of squares and the counts of rows."""
        squares, count = np.zeros(self.cells), np.zeros(self.cells)
        about_wide, about_dense = self.block.centre(self.pilot)
        for bf in self.block.factors:
            found = bf.squares(wide + about_wide, dense + about_dense)[0].reshape(-1, bf.entries, bf.entries)
            each = np.trace(found, axis1=1, axis2=2)
            squares += each if self.scale is not None else each.sum()
            count += bf.precision.counts * bf.entries if self.scale is not None else bf.precision.rows
        return squares, count

    def _raw_squares(self) -> Array:
        """Return the sums of squares of the data themselves: against them, squares of rounding errors are nothing."""
        total, layout = np.zeros(self.cells), self.block.layout
        for bf in self.block.factors:
            if bf.laid is not None:
                total += bf.squares(np.zeros((1, *layout.wide.shape)), np.zeros((1, layout.rest)))[0]
        return total

    # ---- answers ------------------------------------------------------------------------------------------------
    def log_evidence(self) -> float:
        """Return the log density of the data, the component integrated out."""
        total = sum(bf.precision.log_det for bf in self.block.factors)
        for bf in self.block.factors:
            if bf.factor.distribution.family == "LogNormal":
                total -= float(bf.factor.weighed(np.log(bf.factor.value_array(self.block.problem.env))).sum())
        total += 0.5 * LOG_2PI * (self.block.total - float(self.rows.sum())) - 0.5 * float(self.system.log_det()[0])
        if self.scale is None:
            return float(total - 0.5 * self.squares.sum())
        return float(total + self.scale.log_gain(self.shape, self.rate).sum())

    def _per_unknown(self, values: Array) -> Array:
        """Return a number of the scale's cells for every unknown of the block."""
        if self.cells == 1:
            return np.full(self.block.total, values[0])
        result = np.empty(self.block.total)
        result[self.block.layout.wide] = values[:, None]
        return result

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return the marginal of one latent: Normal or Student-t, a vector's jointly, or the scale's own family."""
        from bayeskit.distributions import MvNormal, MvStudentT, Normal, StudentT

        if self.scale is not None and name == self.scale.latent.name:
            n = self.scale.naturals(self.shape, self.rate)
            return self.scale.family.distribution(tuple(q.reshape(self.scale.latent.shape) for q in n), wrap)
        latent = self.block.problem.latents[name]
        columns = np.arange(self.block.columns[name], self.block.columns[name] + latent.size)
        mean = wrap(self.mean[columns].reshape(latent.shape))
        spread = np.ones(latent.size)
        if self.scale is not None:
            spread = self._per_unknown(self.rate / self.shape)[columns]
            nu = wrap((2 * self._per_unknown(self.shape)[columns]).reshape(latent.shape))
        if latent.prior.event and latent.missing_from is None:
            cov = self.covariance(columns.reshape(-1, latent.shape[-1]))
            cov = (cov * spread.reshape(-1, latent.shape[-1])[:, :1, None]).reshape(*latent.shape, latent.shape[-1])
            matrix = wrap(cov, matrix=True)
            if self.scale is None:
                return MvNormal(mean, matrix)
            per_vector = (2 * self._per_unknown(self.shape)[columns]).reshape(latent.shape)[..., 0]
            return MvStudentT(wrap(per_vector), mean, matrix)
        sd = wrap(np.sqrt(self.variances()[columns] * spread).reshape(latent.shape))
        return Normal(mean, sd) if self.scale is None else StudentT(nu, mean, sd)

    def variances(self) -> Array:
        """Return the diagonal of ``P^-1``."""
        if self._refined_variances is not None:
            return self._refined_variances
        wide, dense = self.system.variances()
        return self.block.layout.gather(wide, dense)[0]

    def covariance(self, columns: Array) -> Array:
        """Return the blocks of ``P^-1`` at sets of columns: ``(sets, k, k)``."""
        sets, k = columns.shape
        layout, system = self.block.layout, self.system
        unit = np.zeros((sets * k, self.block.total))
        unit[np.arange(sets * k), columns.ravel()] = 1.0
        hw, hd = layout.parts(unit)
        ones = Factored(
            *(
                np.broadcast_to(a, (sets * k, *a.shape[1:]))
                for a in (system.LA, system.XC, system.xw, system.LS, system.xd)
            )
        )
        solved = layout.gather(*ones.solve_right(hw, hd))
        return np.stack([solved[s * k : (s + 1) * k][:, columns[s]] for s in range(sets)])

    def linear(self, weights: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return mean and variance (at u = 1) of linear forms: weights by name ``(forms, *dims)``."""
        w, solved = self._solved(weights)
        return w @ self.mean, (w * solved).sum(axis=1)

    def linear_vectors(self, weights: Mapping[str, Array], entries: int) -> tuple[Array, Array]:
        """Return the means of linear forms, and covariances (at u = 1) among every so many in a row."""
        w, solved = self._solved(weights)
        parts = (a.reshape(len(a) // entries, entries, self.block.total) for a in (w, solved))
        return w @ self.mean, np.einsum("nit,njt->nij", *parts)

    def _solved(self, weights: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the weights of linear forms ``(forms, unknowns)``, and these times ``P^-1``."""
        forms = len(next(iter(weights.values())))
        w = np.zeros((forms, self.block.total))
        for name, value in weights.items():
            start = self.block.columns[name]
            w[:, start : start + self.block.problem.latents[name].size] = value.reshape(forms, -1)
        if self.block.total < min(forms, _MOST_INVERTED):
            return w, w @ self._times_inverse(np.eye(self.block.total))
        return w, self._times_inverse(w)

    def _times_inverse(self, w: Array) -> Array:
        """Return rows ``(rows, unknowns)`` times ``P^-1``."""
        hw, hd = self.block.layout.parts(w)
        s = self.system
        many = Factored(*(np.broadcast_to(a, (len(w), *a.shape[1:])) for a in (s.LA, s.XC, s.xw, s.LS, s.xd)))
        return self.block.layout.gather(*many.solve_right(hw, hd))

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw the component jointly and independently: ``(draws, *dims)``."""
        layout = self.block.layout
        values: dict[str, Array] = {}
        root = np.ones((draws, 1))
        if self.scale is not None:
            u = rng.standard_gamma(self.shape, (draws, self.cells)) / self.rate
            values[self.scale.latent.name] = (u ** (1.0 / self.scale.exponent)).reshape(draws, *self.scale.latent.shape)
            root = 1.0 / np.sqrt(u)
        zw = rng.standard_normal((draws, layout.groups, layout.width)) * root[:, :, None]
        zd = rng.standard_normal((draws, layout.rest)) * root[:, :1]
        s = self.system
        centre = layout.gather(*s.solve())
        x = layout.gather(*s.solve(zw, zd)) - centre + self.mean
        return values | self.block.values(x)

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the joint posterior log density of the component at values ``(batch, *dims)``."""
        block, problem = self.block, self.block.problem
        env = {**problem.env, **values}
        total: Array = np.asarray(0.0)
        factors = [bf.factor for bf in block.factors]
        if self.scale is not None:
            factors.append(self.scale.latent.prior)
        for f in factors:
            total = total + f.total(env)
        return total - self.log_evidence()


def well_conditioned(system: Factored) -> bool:
    """Whether no pivot is lost in rounding."""
    for lower in (system.LA, system.LS):
        if lower.shape[-1]:
            pivots = np.diagonal(lower, axis1=-2, axis2=-1)
            if not np.all(np.isfinite(pivots)) or pivots.min() <= 1e-9 * pivots.max(axis=-1).min():
                return False
    return True
