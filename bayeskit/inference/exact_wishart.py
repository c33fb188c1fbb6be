r"""Matrix-normal-Wishart: coefficients of vectors and the matrix that scales all of them, both unknown.

Means and coefficients that enter linearly, vector by vector, are the rows of one matrix B. With rows
:math:`e_i = v_i - B' c_i` of precision :math:`w_i T` (the priors of B among them; those in cells as often as they
occur), :math:`K = \sum w_i c_i c_i'`, :math:`\hat B = K^{-1} \sum w_i c_i v_i'` and p rows of B,

.. math:: T \mid y \sim \mathrm{Wishart}\bigl(\nu + n - p,\; R + \textstyle\sum w_i \hat e_i \hat e_i'\bigr),
          \qquad B \mid T, y \sim MN\bigl(\hat B, K^{-1}, T^{-1}\bigr),

so that B is matrix t. One mean vector is the normal-Wishart pair; Sigma = T^-1 is then inverse Wishart.
Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 3.6; Rossi, Allenby and McCulloch (2005), Bayesian Statistics
and Marketing, sec. 2.8.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families import WishartFamily, natural_family
from bayeskit.distributions.matrices import cholesky, log_determinant, solve_lower, solve_upper
from bayeskit.errors import ImproperError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.vector_design import Columns, VectorDesign, columns_of, read_design
from bayeskit.model.problem import Factor, Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
_LOST = 1e-13  # a pivot so far below the largest of its column has lost its digits


def normal_wishart(problem: Problem, gaussian: list[str], matrix: str) -> MatrixNormalWishart | Refusal:
    """Return the joint posterior of coefficients of vectors and one matrix, or why it is not of this form."""
    latent = problem.latents[matrix]
    kind = latent.prior.distribution.family
    if kind not in ("Wishart", "InverseWishart"):
        return Refusal(f"{latent.prior.distribution} is not a Wishart or InverseWishart prior")
    if latent.prior.plates:
        return Refusal(f"'{matrix}' has plates: a mean and its matrix have a joint closed form one pair at a time")
    outside = [c.name for c in problem.children_of(matrix) if not c.variables & set(gaussian)]
    if outside:
        return Refusal(f"'{matrix}' also has the child '{outside[0]}', which does not depend on '{gaussian[0]}'")
    family = natural_family(latent.prior.distribution, kind, set())
    assert isinstance(family, WishartFamily)
    if not latent.prior.parents <= problem.env.keys():
        return Refusal(f"the prior of '{matrix}' is not known")
    columns = columns_of(problem, gaussian, matrix)
    if isinstance(columns, Refusal):
        return columns
    designs = []
    for factor in problem.factors_of(gaussian):
        if factor.distribution.family == "Flat":
            continue
        found = read_design(problem, factor, columns, matrix, kind)
        if isinstance(found, Refusal):
            return found
        designs.append(found)
    return MatrixNormalWishart(problem, columns, matrix, family, designs)


@dataclass(frozen=True)
class _Fit:
    """Least squares of all rows: ``K = root' root``, ``centre`` is B, ``residual`` the sum of products left."""

    root: Array
    centre: Array
    residual: Array


class MatrixNormalWishart:
    """Coefficients of vectors and their precision or covariance matrix, given data alone."""

    def __init__(
        self, problem: Problem, columns: Columns, matrix: str, family: WishartFamily, designs: list[VectorDesign]
    ) -> None:
        self.problem, self.columns, self.matrix_name, self.family = problem, columns, matrix, family
        self.names = [*columns.first, matrix]
        self.count = sum(float(d.occurs.sum()) for d in designs)
        self.log_weights = sum(float(d.occurs @ np.log(d.weights)) for d in designs)
        self.d, self.p = columns.entries, columns.total
        kind = "inverse-Wishart" if family.name == "InverseWishart" else "Wishart"
        means = ", ".join(f"'{n}'" for n in columns.first)
        plain = len(columns.first) == 1 and self.p == 1
        self.reason = f"{'normal' if plain else 'matrix-normal'}-{kind}: {means} and '{matrix}' jointly, every row "
        self.reason += f"scaled by '{matrix}'"
        fit = self._fit(designs)
        latent = problem.latents[matrix]
        self.prior = family.prior(*latent.prior.parameter_arrays(problem.env))
        nu, R = (np.asarray(q, dtype=float) for q in self.prior)
        R = np.broadcast_to(R, (*R.shape[:-2], self.d, self.d))  # of an improper prior it is the number zero
        if fit is not None:
            self.fit = fit
            added = self.count - self.p
            self.naturals = (nu.reshape(1) + added, R.reshape(1, self.d, self.d) + fit.residual)
        if fit is None or not np.all(family.is_proper(self.naturals)):
            raise ImproperError(
                f"The posterior of {means} and '{matrix}' is improper: {self.count:g} rows of {self.d} entries do not "
                "determine them. Give more rows, or proper priors."
            )

    def _fit(self, designs: list[VectorDesign]) -> _Fit | None:
        """Fit all rows by their triangular factor; None where they do not determine B."""
        merged = np.zeros((0, self.p + self.d))
        for design in designs:
            for rows in design.weighted_rows():
                merged = np.linalg.qr(np.concatenate([merged, rows]), mode="r")
        if len(merged) < self.p:
            return None
        root = merged[: self.p, : self.p]
        root = root * (sign := np.where(np.diagonal(root) < 0, -1.0, 1.0))[:, None]
        size = np.sqrt((root * root).sum(axis=0))
        if np.any(np.diagonal(root) <= _LOST * np.sqrt(max(self.count, 1.0)) * size):
            return None
        centre = solve_upper(root.T, merged[: self.p, self.p :] * sign[:, None])
        left = merged[self.p :, self.p :]
        return _Fit(root, centre, left.T @ left)

    # ---- answers ------------------------------------------------------------------------------------------------
    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw the matrix, then the coefficients given it."""
        matrix = self.family.sample(tuple(np.broadcast_to(n, (draws, *n.shape[1:])) for n in self.naturals), rng)
        z = rng.standard_normal((draws, self.p, self.d))
        root = np.linalg.cholesky(matrix)
        if self.family.name == "Wishart":
            across = np.swapaxes(solve_upper(root, np.swapaxes(z, -1, -2)), -1, -2)
        else:
            across = z @ np.swapaxes(root, -1, -2)
        flat = np.swapaxes(across, 0, 1).reshape(self.p, -1)
        step = solve_upper(self.fit.root.T, flat).reshape(self.p, draws, self.d)
        B = self.fit.centre + np.swapaxes(step, 0, 1)
        return self.columns.split(B) | {self.matrix_name: matrix}

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return the matrix's own family, or a t for coefficients: of numbers, of vectors, or of the matrix jointly."""
        from bayeskit.distributions import MatrixStudentT, MvStudentT, StudentT

        nu, R = self.naturals[0][0], self.naturals[1][0]
        if name == self.matrix_name:
            return self._marginal_of_matrix(wrap)
        df = float(nu - self.d + 1)
        latent = self.problem.latents[name]
        rows = self.columns.rows(name)
        half = solve_lower(self.fit.root.T, np.eye(self.p)[:, rows])
        spread = half.T @ half  # the rows' own block of K^-1
        mean = self.columns.split(self.fit.centre[None])[name][0]
        event = len(self.problem.model.random[name].event)
        if event == 2:
            return MatrixStudentT(df, wrap(mean), wrap(spread, axis=0), wrap(R, axis=1))
        each = np.diagonal(spread)
        if event == 1:
            cov = (each[:, None, None] * R / df).reshape(*latent.shape, self.d)
            return MvStudentT(df, wrap(mean), wrap(cov, matrix=True))
        scale = np.sqrt(np.outer(each, np.diagonal(R)) / df)
        return StudentT(df, wrap(mean), wrap(self.columns.laid(name, scale[None])[0]))

    def _marginal_of_matrix(self, wrap: Any) -> Distribution:
        from bayeskit.distributions import InverseWishart, Wishart

        nu, R = self.naturals[0][0], self.naturals[1][0]
        if self.family.name == "InverseWishart":
            return InverseWishart(float(nu), wrap(R))
        return Wishart(float(nu), wrap(np.linalg.solve(R, np.eye(self.d))))

    def log_evidence(self) -> float:
        """Return the difference of log normalisers, and what the rows carry."""
        prior = tuple(
            np.asarray(n, dtype=float).reshape(1, *np.shape(n)[np.ndim(n) - k :])
            for n, k in zip(self.prior, (0, 2), strict=True)
        )
        gain = float((self.family.log_normaliser(self.naturals) - self.family.log_prior_normaliser(prior)).sum())
        log_det = 2.0 * float(np.log(np.diagonal(self.fit.root)).sum())
        half = 0.5 * self.d
        return gain + half * float(self.log_weights - (self.count - self.p) * np.log(2 * np.pi) - log_det)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Every factor it holds."""
        return tuple(self.problem.factors_of(self.names))

    def log_joint(self, values: Mapping[str, Array]) -> Array:
        """Return the joint density of its latents and the data; of an improper prior that of the bare kernel."""
        return self.log_density(values) + self.log_evidence()

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the density in closed form: the rows are not looked at again."""
        matrix = np.asarray(values[self.matrix_name], dtype=float)
        step = self.fit.root @ (self.columns.joined(values) - self.fit.centre)
        root = cholesky(matrix)
        half = log_determinant(root)
        if self.family.name == "Wishart":
            white = step @ root
        else:
            half = -half
            white = solve_lower(root, np.swapaxes(step, -1, -2))
        total = self.family.log_density(matrix, self.naturals) + self.p * half
        total = total + self.d * np.log(np.diagonal(self.fit.root)).sum() - 0.5 * (white * white).sum(axis=(-2, -1))
        return np.asarray(total - 0.5 * self.p * self.d * np.log(2 * np.pi))
