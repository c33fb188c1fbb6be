"""Predictive distributions of normal children of a Gaussian block: normal, or Student t where its scale is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.matrices import solve_lower
from bayeskit.expressions import Constant, aligner
from bayeskit.expressions.linear import ONE, NotLinear, linear_form
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.exact_wishart import MatrixNormalWishart
from bayeskit.inference.predictive.cells import Environment, Labeller, NoClosedForm
from bayeskit.inference.predictive.weights import linear_weights
from bayeskit.model.problem import Factor, Problem
from bayeskit.statistics.precision import Precision

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray

_MOST = 40_000_000  # numbers of the weights of all rows


def linear_parts(
    problem: Problem, env: Environment, expression: Any, latents: Sequence[str], sizes: Any
) -> tuple[dict[str, Array], Array]:
    """Return the weights of a linear form of some latents and its offset, or say why it is none."""
    form = linear_form(expression, set(latents), sizes)
    if isinstance(form, NotLinear):
        raise NoClosedForm(str(form))
    unknown = sorted(n for n in expression.variables - set(latents) if n not in env or len(env[n]) > 1)
    if unknown:
        raise NoClosedForm(f"in {expression}, '{unknown[0]}' is not known")
    cells = int(np.prod([sizes[d] for d in expression.dims], dtype=int))
    total = sum(problem.latents[n].size for n in latents)
    if cells * total > _MOST:
        raise NoClosedForm(f"{cells} rows on {total} coefficients are too many to be held; give fewer rows at a time")
    return linear_weights(replace(problem, env=env), expression, latents, sizes)


def normal_predictive(
    problem: Problem,
    components: Sequence[ExactGaussian],
    factor: Factor,
    env: Environment,
    label: Labeller,
    *,
    noise: bool = True,
) -> Distribution:
    """Return the predictive of a child of exact blocks, independent ones; without its noise that of its mean."""
    component = components[0]
    if len(components) > 1 and (factor.event or any(c.scale is not None for c in components)):
        raise NoClosedForm("it depends on several blocks, which are not all normal")
    names = [n for c in components for n in c.block.names if n in factor.parameter("mu").variables]
    if factor.event:
        return _vector(problem, component, factor, names, env, label, noise)
    weights, offset = _weights(problem, factor, names, env)
    mean, variance = offset, np.zeros(())
    for c in components:
        centre, spread = c.linear({n: w for n, w in weights.items() if n in c.block.names})
        mean, variance = mean + centre, variance + spread
    centre, variance = _laid(factor, mean, variance)
    if noise:
        own, cell = _noise(component, factor, env)
        variance = variance + own
    else:
        cell = _cell_of(component, factor, weights)
    spread = variance
    if component.scale is None:
        return _normal(factor, centre, np.sqrt(spread), label)
    shape, rate = component.shape[cell], component.rate[cell]
    if noise:
        _must_stay_in_cells(component, factor, weights, cell)
    return _student(factor, 2 * shape, centre, np.sqrt(rate / shape * spread), label)


def _weights(
    problem: Problem, factor: Factor, names: Sequence[str], env: Environment
) -> tuple[dict[str, Array], Array]:
    return linear_parts(problem, env, factor.parameter("mu"), names, factor.sizes)


def _laid(factor: Factor, *arrays: Array) -> list[Array]:
    """Lay arrays over the cells of the mean, ``(..., cells)``, along the plates."""
    dims = factor.parameter("mu").dims
    lay = aligner(dims, factor.plates)
    sizes = [factor.sizes[d] for d in dims]
    return [lay(np.asarray(a).reshape(-1, *sizes)) for a in arrays]


def _own(factor: Factor, name: str, env: Environment) -> Array:
    """Return one parameter of a factor, laid along its plates."""
    place = [p.name for p in factor.distribution.parameters].index(name)
    return np.asarray(factor._aligners[place](factor.parameters[place].evaluate(env)), dtype=float)


def _normal(factor: Factor, mean: Array, sd: Array, label: Labeller) -> Distribution:
    from bayeskit.distributions import LogNormal, Normal

    family = LogNormal if factor.distribution.family == "LogNormal" else Normal
    return family(label(mean), label(sd))


def _student(factor: Factor, nu: Array, mean: Array, scale: Array, label: Labeller) -> Distribution:
    from bayeskit.distributions import StudentT
    from bayeskit.distributions.transformed import transformed

    one = float(nu.flat[0]) if np.all(nu == nu.flat[0]) else label(nu)
    result = StudentT(one, label(mean), label(scale))
    return transformed(result, "exp") if factor.distribution.family == "LogNormal" else result


def _noise(component: ExactGaussian, factor: Factor, env: Environment) -> tuple[Array, Array]:
    """Return a child's own variance at unit scale, and the element of the scale that is its own: over the plates."""
    precision = Precision(factor, {n for n in env if len(env[n]) == 1}, env)
    scale = component.scale
    noise = (1.0 / precision.weight).reshape(1, *factor.shape)
    if scale is None:
        if precision.latent is not None:
            raise NoClosedForm(f"its scale {factor.parameter('sigma')} is not known")
        return noise, np.zeros((1, *factor.shape), dtype=np.int64)
    name = scale.latent.name
    if precision.latent is None or precision.latent.variables != {name}:
        raise NoClosedForm(f"its scale {factor.parameter('sigma')} is no known multiple of '{name}'")
    form = power_form(precision.latent, name)
    plain = not isinstance(form, NotPower) and form.coefficient is ONE and -2.0 * form.exponent == scale.exponent
    if not plain or (component.cells > 1 and precision.dims != scale.latent.variable.dims):
        raise NoClosedForm(f"its scale {factor.parameter('sigma')} is no known multiple of '{name}'")
    cell = precision.cell if component.cells > 1 else np.zeros(precision.plates, dtype=np.int64)
    return noise, cell.reshape(1, *factor.shape)


def _cell_of(component: ExactGaussian, factor: Factor, weights: dict[str, Array]) -> Array:
    """Return the element of the scale that the coefficients of every row share, over the plates."""
    if component.cells == 1:
        return np.zeros((1, *factor.shape), dtype=np.int64)
    own = np.empty(component.block.total, dtype=np.int64)
    own[component.block.layout.wide] = np.arange(component.cells)[:, None]
    least, most = component.cells, -1
    for name, value in weights.items():
        start = component.block.columns[name]
        flat = value.reshape(len(value), -1)
        cells = own[start : start + flat.shape[1]]
        least = np.minimum(least, np.where(flat != 0, cells, component.cells).min(axis=1))
        most = np.maximum(most, np.where(flat != 0, cells, -1).max(axis=1))
    if np.any(least != most):
        raise NoClosedForm("its mean depends on coefficients of several scales, or of none")
    (laid,) = _laid(factor, np.asarray(least))
    return np.broadcast_to(laid, (1, *factor.shape))


def _must_stay_in_cells(component: ExactGaussian, factor: Factor, weights: dict[str, Array], cell: Array) -> None:
    """Refuse rows whose mean depends on coefficients of another scale than their own."""
    if np.any(_cell_of(component, factor, weights) != cell):
        raise NoClosedForm("its mean depends on coefficients of another scale than its own")


def _vector(
    problem: Problem,
    component: ExactGaussian,
    factor: Factor,
    names: Sequence[str],
    env: Environment,
    label: Labeller,
    noise: bool,
) -> Distribution:
    """Return the predictive of vectors under a block of known scales."""
    from bayeskit.distributions import MvNormal

    form = next(p.name for p in factor.distribution.parameters if p.name != "mu")
    matrix = factor.parameter(form)
    if component.scale is not None or (noise and not matrix.variables <= env.keys()):
        raise NoClosedForm(f"the matrix {matrix} of its noise is not known")
    weights, offset = _weights(problem, factor, names, env)
    mean, frame = factor.parameter("mu"), factor.plates + factor.event
    if mean.dims[-1:] != factor.event:
        raise NoClosedForm(f"its mean {mean} does not run along '{factor.event[0]}'")
    sizes = [factor.sizes[d] for d in mean.dims]
    centre, covariance = component.linear_vectors(weights, sizes[-1])
    centre = aligner(mean.dims, frame)((centre + offset).reshape(1, *sizes))
    covariance = aligner((*mean.dims, "other#"), (*frame, "other#"))(covariance.reshape(1, *sizes, sizes[-1]))
    if noise:
        own = _own(factor, form, env)
        if form == "tau":
            own = np.linalg.inv(own)
        elif form == "cholesky":
            own = own @ np.swapaxes(own, -1, -2)
        covariance = covariance + own
    return MvNormal(label(centre, 1), label(covariance, 2, matrix=True))


def piece_predictive(
    problem: Problem,
    piece: GaussianPiece,
    factor: Factor,
    known: Environment,
    env: Environment,
    label: Labeller,
    *,
    noise: bool = True,
) -> Distribution:
    """Return the predictive of a child of a block below a core, at the nodes of the core; or that of its mean."""
    names = [n for n in piece.names if n in factor.parameter("mu").variables]
    if factor.event:
        raise NoClosedForm("mixtures of vectors are not given as distributions")
    weights, offset = _weights(problem, factor, names, known)
    sigma = factor.parameter("sigma")
    if not sigma.variables <= env.keys():
        raise NoClosedForm(f"its scale {sigma} is not known given the core")
    sd = _own(factor, "sigma", env) if noise else np.zeros(())
    with np.errstate(all="ignore"):
        mean, variance = _linear(piece, weights, {**piece.block.problem.env, **env})
    variance = np.maximum(variance, 1e-24 * variance.max(axis=0))  # a contrast may vanish with the core's scale
    centre, spread = _laid(factor, mean + offset, variance)
    return _normal(factor, centre, np.sqrt(spread + sd * sd), label)


def _linear(piece: GaussianPiece, weights: dict[str, Array], env: Environment) -> tuple[Array, Array]:
    """Return means and variances of linear forms of a block, ``(nodes, forms)``; of many by its covariance matrices."""
    block, layout = piece.block, piece.block.layout
    forms, total = len(next(iter(weights.values()))), piece.block.total
    system, _ = block.factored(env)
    centre = layout.gather(*system.solve()) + block.pilot
    if forms <= total or len(centre) * total * total > _MOST:
        return piece.linear(weights, env)
    w = np.zeros((forms, total))
    for name, value in weights.items():
        start = block.columns[name]
        w[:, start : start + block.problem.latents[name].size] = value.reshape(forms, -1)
    covariance = np.empty((len(centre), total, total))
    for i, unit in enumerate(np.eye(total)):
        parts = (np.broadcast_to(p, (len(centre), *p.shape[1:])) for p in layout.parts(unit[None]))
        covariance[:, i] = layout.gather(*system.solve_right(*parts))
    variance = np.stack([((w @ own) * w).sum(axis=1) for own in covariance])
    return centre @ w.T, variance


def wishart_predictive(
    problem: Problem,
    component: MatrixNormalWishart,
    factor: Factor,
    env: Environment,
    label: Labeller,
    *,
    noise: bool = True,
) -> Distribution:
    """Return the predictive of vectors whose mean and matrix are both unknown: a multivariate t."""
    from bayeskit.distributions import MvStudentT
    from bayeskit.inference.conjugacy import Refusal
    from bayeskit.inference.vector_design import read_design

    columns = component.columns
    whole = replace(factor, value=Constant(0.0))
    read = read_design(replace(problem, env=env), whole, columns, component.matrix_name, component.family.name)
    if isinstance(read, Refusal):
        raise NoClosedForm(str(read))
    df = float(component.naturals[0][0]) - component.d + 1
    R, shape = component.naturals[1][0], factor.shape
    # read as rows of value zero: what is left of them is minus their mean
    centre = (read.design @ component.fit.centre - read.values).reshape(1, *shape, component.d)
    spread = (solve_lower(component.fit.root.T, read.design.T) ** 2).sum(axis=0)
    scale = ((noise / read.weights + spread) / df).reshape(1, *shape)
    return MvStudentT(df, label(centre, 1), label(scale[..., None, None] * R, 2, matrix=True))
