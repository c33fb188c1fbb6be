"""Gradient and Hessian of a core that is made of log-concave regressions and of Gaussian factors alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bayeskit.distributions.transforms import Identity, transform_of
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.inference.core.linear_rows import LinearRows, layout
from bayeskit.model.problem import Factor, Problem
from bayeskit.statistics.design import Design
from bayeskit.statistics.precision import Precision

Array = np.ndarray
Newton = Callable[[Array], tuple[Array, Array]]

_LARGEST = 25_000_000  # numbers of a Gaussian factor's design


def newton_of(problem: Problem, names: Sequence[str], rows: Sequence[LinearRows]) -> Newton | None:
    """Return the derivatives of the log density of some latents given all known values, or None.

    Parameters
    ----------
    problem : Problem
        The bound model.
    names : sequence of str
        The core's latents: all unknowns that their factors depend on.
    rows : sequence of LinearRows
        The regressions among these factors, read for the same names.

    Returns
    -------
    callable or None
        ``u (d,) -> (gradient (d,), Hessian (d, d))``, u being the elements of the latents in the order of
        `Unconstrained`, where no latent is transformed. The density is log-concave. None where a factor is neither a
        regression, nor flat on the whole line, nor normal with a known design, offset and precision; or where other
        terms touch a latent.

    Notes
    -----
    A normal factor is ``e = v - J u`` with precision W, so it adds ``J'W (v - J u)`` and ``-J'W J``, summed once.
    """
    order, size, places = layout(problem, names)
    if any(problem.terms_of(n) for n in order):
        return None
    regressions = {r.factor: r for r in rows if r.names == order}
    used: list[LinearRows] = []
    gram, pull = np.zeros((size, size)), np.zeros(size)
    for factor in problem.factors_of(order):
        if factor in regressions:
            used.append(regressions[factor])
        elif factor.distribution.family == "Flat":
            if not _is_whole_line(factor, problem):
                return None
        else:
            sums = _gaussian(problem, factor, {n: p.start for n, p in places.items()}, size)
            if sums is None:
                return None
            gram, pull = gram + sums[0], pull + sums[1]

    def newton(u: Array) -> tuple[Array, Array]:
        gradient, hessian = pull - gram @ u, -gram
        for r in used:
            slope, curvature = r.derivatives(u)
            gradient, hessian = gradient + slope, hessian + curvature
        return gradient, hessian

    return newton


def _is_whole_line(factor: Factor, problem: Problem) -> bool:
    known = factor.parents <= problem.env.keys()
    return known and isinstance(transform_of(factor.distribution, *factor.parameter_arrays(problem.env)), Identity)


def _gaussian(problem: Problem, factor: Factor, columns: dict[str, int], size: int) -> tuple[Array, Array] | None:
    """Return ``J'W J`` and ``J'W v`` of a normal factor, or None."""
    known, targets = set(problem.env), columns.keys()
    if factor.distribution.family not in ("Normal", "MvNormal") or not factor.variables <= known | targets:
        return None
    if factor.weight is not None:  # rows of normal factors stay rows
        return None
    scale = next(n for n in [p.name for p in factor.distribution.parameters] if n != "mu")
    forms = [linear_form(e, targets, factor.sizes) for e in (factor.value, factor.parameter("mu"))]
    if not factor.parameter(scale).variables <= known or any(isinstance(f, NotLinear) for f in forms):
        return None
    design = Design(factor, columns, known, problem.latents)
    if not (design.known_design and design.known_offset) or design.rows * size > _LARGEST:
        return None
    entries, precision = design.triplets(problem.env), Precision(factor, known, problem.env)
    place = entries.rows * size + entries.columns[0]
    J = np.bincount(place, entries.values[0], design.rows * size).reshape(-1, size)
    v = design.offset(problem.env)[0]
    if precision.root is not None:
        J = (precision.root @ J.reshape(*design.shape, size)).reshape(-1, size)
        v = (precision.root @ v.reshape(*design.shape, 1)).reshape(-1)
    weighted = J.T * np.repeat(precision.weight, design.shape[1])
    return weighted @ J, weighted @ v
