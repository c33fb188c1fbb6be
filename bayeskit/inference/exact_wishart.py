r"""Normal-Wishart and normal-inverse-Wishart: a mean vector and a matrix, both unknown.

With rows :math:`e_i = v_i - c_i \mu` of precision :math:`w_i T` (the prior of :math:`\mu` among them; rows in cells as
often as they occur) and :math:`\kappa = \sum w_i c_i^2`, :math:`m = \sum w_i c_i v_i / \kappa`:

.. math:: T \mid y \sim \mathrm{Wishart}\bigl(\nu + n - 1,\; R + \textstyle\sum w_i (v_i - c_i m)(v_i - c_i m)'\bigr),
          \qquad \mu \mid T, y \sim N\bigl(m, (\kappa T)^{-1}\bigr).

Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families import WishartFamily, natural_family
from bayeskit.errors import ImproperError
from bayeskit.expressions import aligner
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Factor, Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def normal_wishart(problem: Problem, gaussian: list[str], matrix: str) -> NormalWishart | Refusal:
    """Return the joint posterior of one mean vector and one matrix, or why it is not of this form."""
    latent = problem.latents[matrix]
    kind = latent.prior.distribution.family
    if kind not in ("Wishart", "InverseWishart"):
        return Refusal(f"{latent.prior.distribution} is not a Wishart or InverseWishart prior")
    if latent.prior.plates:
        return Refusal(f"'{matrix}' has plates: a mean and its matrix have a joint closed form one pair at a time")
    if len(gaussian) != 1:
        others = ", ".join(f"'{n}'" for n in gaussian)
        return Refusal(f"{others} go together under '{matrix}', which has a joint closed form with one mean alone")
    mean = problem.latents[gaussian[0]]
    if len(mean.shape) != 1:
        return Refusal(f"'{gaussian[0]}' is not one vector")
    family = natural_family(latent.prior.distribution, kind, set())
    assert isinstance(family, WishartFamily)
    rows = []
    for factor in problem.factors_of(gaussian):
        if factor.distribution.family == "Flat":
            continue
        found = _read_rows(problem, factor, gaussian[0], matrix, kind)
        if isinstance(found, Refusal):
            return found
        rows.append(found)
    outside = [c.name for c in problem.children_of(matrix) if gaussian[0] not in c.variables]
    if outside:
        return Refusal(f"'{matrix}' also has the child '{outside[0]}', which does not depend on '{gaussian[0]}'")
    return NormalWishart(problem, gaussian[0], matrix, family, rows)


def _read_rows(
    problem: Problem, factor: Factor, mean: str, matrix: str, kind: str
) -> tuple[Array, Array, Array, Array] | Refusal:
    """Read one factor as rows: v (n, d), c (n,), w (n,), and how often each occurs (n,)."""
    if factor.distribution.family != "MvNormal":
        return Refusal(f"'{factor.name}' ~ {factor.distribution} does not scale with '{matrix}'", _advice(matrix))
    parameter = "tau" if kind == "Wishart" else "cov"
    names = [p.name for p in factor.distribution.parameters]
    if parameter not in names:
        return Refusal(f"'{factor.name}' is not given by its {parameter}")
    scale = linear_form(factor.parameter(parameter), {matrix}, factor.sizes)
    if isinstance(scale, NotLinear) or not scale.is_elementwise or not scale.terms:
        return Refusal(f"'{factor.name}' ~ {factor.distribution} does not scale with '{matrix}'", _advice(matrix))
    forms = [linear_form(e, {mean}, factor.sizes) for e in (factor.parameter("mu"), factor.value)]
    env, frame = problem.env, factor.plates + factor.event
    n, d = int(np.prod(factor.shape, dtype=int)), factor.sizes[factor.event[0]]
    c, v = np.zeros((1, n)), np.zeros((n, d))
    for sign, form in zip((1.0, -1.0), forms, strict=True):
        if isinstance(form, NotLinear) or any(t.summed for t in form.terms):
            return Refusal(f"the mean of '{factor.name}' is not a known multiple of '{mean}', vector by vector")
        for term in form.terms:
            if term.positions != {factor.event[0]: factor.event[0]} or set(term.coefficient.dims) - set(factor.plates):
                return Refusal(f"the mean of '{factor.name}' is not a known multiple of '{mean}', vector by vector")
            if not term.coefficient.variables <= env.keys():
                return Refusal(f"the coefficient of '{mean}' in '{factor.name}' is unknown")
            value = aligner(term.coefficient.dims, factor.plates)(np.asarray(term.coefficient.evaluate(env), float))
            c = c + sign * np.broadcast_to(value, (1, *factor.shape)).reshape(1, n)
        offset = aligner(form.offset.dims, frame)(np.asarray(form.offset.evaluate(env), float))
        v = v - sign * np.broadcast_to(offset, (1, *factor.shape, d)).reshape(n, d)
    (term,) = scale.terms
    if set(term.coefficient.dims) - set(factor.plates) or not term.coefficient.variables <= env.keys():
        return Refusal(f"the scale of '{factor.name}' is not a known multiple of '{matrix}'")
    w = aligner(term.coefficient.dims, factor.plates)(np.asarray(term.coefficient.evaluate(env), float))
    w = np.broadcast_to(w, (1, *factor.shape)).reshape(n)
    occurs = factor.weighed(np.ones((1, *factor.shape))).reshape(n)
    return v, c[0], w if kind == "Wishart" else 1.0 / w, occurs


def _advice(matrix: str) -> str:
    return f"an exact posterior needs a MvNormal scaled by a known multiple of '{matrix}'"


class NormalWishart:
    """A mean vector and its precision or covariance matrix, given data alone."""

    def __init__(
        self,
        problem: Problem,
        mean: str,
        matrix: str,
        family: WishartFamily,
        rows: list[tuple[Array, Array, Array, Array]],
    ) -> None:
        self.problem, self.mean_name, self.matrix_name, self.family = problem, mean, matrix, family
        self.names = [mean, matrix]
        v, c, w, occurs = (np.concatenate([r[i] for r in rows]) for i in range(4))
        self.count, self.d = float(occurs.sum()), v.shape[1]
        self.log_weights = float(occurs @ np.log(w))
        w = w * occurs
        self.kappa = float((w * c * c).sum())
        self.m = (w * c) @ v / self.kappa if self.kappa > 0 else np.zeros(self.d)
        e = v - c[:, None] * self.m
        latent = problem.latents[matrix]
        self.prior = family.prior(*latent.prior.parameter_arrays(problem.env))
        nu, R = (np.asarray(q, dtype=float) for q in self.prior)
        self.naturals = (nu.reshape(1) + self.count - 1, R.reshape(1, self.d, self.d) + (e * w[:, None]).T @ e)
        kind = "inverse-Wishart" if family.name == "InverseWishart" else "Wishart"
        self.reason = f"normal-{kind}: '{mean}' and '{matrix}' jointly, every row scaled by '{matrix}'"
        if self.kappa <= 0 or not np.all(family.is_proper(self.naturals)):
            raise ImproperError(
                f"The posterior of '{mean}' and '{matrix}' is improper: {self.count:g} rows of {self.d} entries do not "
                "determine them. Give more rows, or proper priors."
            )

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw the matrix, then the mean given it."""
        matrix = self.family.sample(tuple(np.broadcast_to(n, (draws, *n.shape[1:])) for n in self.naturals), rng)
        z = rng.standard_normal((draws, self.d))
        root = np.linalg.cholesky(matrix)
        if self.family.name == "Wishart":
            step = np.linalg.solve(np.swapaxes(root, -1, -2), z[..., None])[..., 0]
        else:
            step = (root @ z[..., None])[..., 0]
        return {self.mean_name: self.m + step / np.sqrt(self.kappa), self.matrix_name: matrix}

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return the matrix's own family, or a multivariate t for the mean."""
        from bayeskit.distributions import MvStudentT

        nu, R = self.naturals[0][0], self.naturals[1][0]
        if name == self.matrix_name:
            from bayeskit.distributions import InverseWishart, Wishart

            if self.family.name == "InverseWishart":
                return InverseWishart(float(nu), wrap(R))
            return Wishart(float(nu), wrap(np.linalg.solve(R, np.eye(self.d))))
        df = float(nu - self.d + 1)
        return MvStudentT(df, wrap(self.m), wrap(R / (self.kappa * df), matrix=True))

    def log_evidence(self) -> float:
        """Return the difference of log normalisers, and what the rows carry."""
        prior = tuple(
            np.asarray(n, dtype=float).reshape(1, *np.shape(n)[np.ndim(n) - k :])
            for n, k in zip(self.prior, (0, 2), strict=True)
        )
        gain = float((self.family.log_normaliser(self.naturals) - self.family.log_normaliser(prior)).sum())
        half = 0.5 * self.d
        return gain + half * float(self.log_weights - (self.count - 1) * np.log(2 * np.pi) - np.log(self.kappa))

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the joint density over the evidence."""
        env = {**self.problem.env, **values}
        factors = self.problem.factors_of(self.names)
        return np.asarray(sum(f.total(env) for f in factors) - self.log_evidence())
