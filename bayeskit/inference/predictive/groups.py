"""Predictive distributions below a plate of one-number cores: every row has the core and the block of its own group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.expressions import aligner
from bayeskit.expressions.linear import NotLinear, Position, linear_form
from bayeskit.inference.collapsed.cells import CellsCore
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elementwise import one_place
from bayeskit.inference.predictive.cells import Environment, Labeller, NoClosedForm, gathered
from bayeskit.model.problem import Factor, Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def own_cells(problem: Problem, core: CellsCore, names: list[str], factor: Factor, env: Environment) -> Array:
    """Return the number of the core's element that every cell of a factor depends on, flat."""
    latent = core.density.latent
    cells = np.arange(latent.size).reshape(1, *latent.shape)
    found: list[Array] = []
    for name in names:
        places = one_place(factor, problem.latents[name])
        if isinstance(places, Refusal):
            raise NoClosedForm(f"of '{name}': {places}")
        own: Mapping[str, Position] = {d: places[d] for d in latent.variable.dims if d in places}
        if len(own) < len(latent.shape):
            raise NoClosedForm(f"'{name}' is not of one group")
        found.append(np.broadcast_to(gathered(cells, own, factor.plates, env)[0], factor.shape).reshape(-1))
    if any(np.any(f != found[0]) for f in found[1:]):
        raise NoClosedForm("a row depends on several groups")
    return found[0]


def grouped_predictive(
    core: CellsCore,
    factor: Factor,
    names: list[str],
    known: Environment,
    env: Environment,
    label: Labeller,
    *,
    noise: bool = True,
) -> Distribution:
    """Return the predictive of normal rows given the cores of their groups, at the nodes; or that of their means."""
    from bayeskit.distributions import LogNormal, Normal

    group = next((g for g in core.density.groups if set(names) <= set(g.names)), None)
    if group is None or factor.distribution.family not in ("Normal", "LogNormal"):
        raise NoClosedForm(f"'{factor.name}' is no normal child of one Gaussian block")
    sigma = factor.parameter("sigma")
    if sigma.variables & set(names):
        raise NoClosedForm(f"its scale {sigma} depends on what its mean does")
    coefficients, offset = _elementwise(core.problem, factor, names, known)
    entry = own_cells(core.problem, core, names, factor, known)
    with np.errstate(all="ignore"):
        here = {**core.problem.env, **env}
        means, covariances = group.moments(here)[0][:, entry], group.covariances(here)[:, entry]
    # by which number an unknown goes in its group
    number = group.by_name(np.broadcast_to(np.arange(float(group.width)), (1, group.groups, group.width)))
    columns = [int(number[n].flat[0]) for n in names]
    c = np.stack([v.reshape(-1) for v in coefficients], axis=-1)
    mean = np.einsum("bri,ri->br", means[..., columns], c) + offset.reshape(1, -1)
    spread = np.einsum("ri,brij,rj->br", c, covariances[..., columns, :][..., columns], c)
    mean, spread = (v.reshape(len(v), *factor.shape) for v in (mean, spread))
    place = [p.name for p in factor.distribution.parameters].index("sigma")
    sd = factor._aligners[place](np.asarray(sigma.evaluate(env), dtype=float)) if noise else np.zeros(())
    family = LogNormal if factor.distribution.family == "LogNormal" else Normal
    return family(label(mean), label(np.sqrt(np.maximum(spread, 0.0) + sd * sd)))


def _elementwise(problem: Problem, factor: Factor, names: list[str], known: Environment) -> tuple[list[Array], Array]:
    """Return the coefficient of each latent in the mean of a factor and the offset, over the plates."""
    expression = factor.parameter("mu")
    form = linear_form(expression, set(names), factor.sizes)
    if isinstance(form, NotLinear):
        raise NoClosedForm(str(form))

    def laid(part: Any) -> Array:
        if not part.variables <= known.keys():
            raise NoClosedForm(f"in {expression}, {part} is not known")
        value = aligner(part.dims, factor.plates)(np.asarray(part.evaluate(known), dtype=float))
        return np.broadcast_to(value, (1, *factor.shape))[0]

    if any(t.summed for t in form.terms) or any(set(problem.latents[n].shape) == set() for n in names):
        raise NoClosedForm(f"{expression} sums over elements of a latent")
    total = {n: np.zeros(factor.shape) for n in names}
    for term in form.terms:
        total[term.target] = total[term.target] + laid(term.coefficient)
    return [total[n] for n in names], laid(form.offset)
