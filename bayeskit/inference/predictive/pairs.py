"""Predictive distributions of conjugate pairs: under a name where the field has one, by their density else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.predictive import PairDensity
from bayeskit.distributions.elementwise import elementwise_transform
from bayeskit.inference.predictive.cells import Cells, Labeller, NoClosedForm
from bayeskit.inference.predictive.compound import CompoundCounts, CompoundNumbers
from bayeskit.inference.predictive.named import named

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution
    from bayeskit.distributions.panels import Panels

Array = np.ndarray
_SEED, _DRAWS = 20270118, 64  # of the values that say where a predictive lies
_MOST = 4_000_000  # numbers of one parameter, over nodes and cells


def pair_predictive(cells: Cells, label: Labeller, weights: Panels | Array | None) -> tuple[Distribution, bool]:
    """Return the predictive of a child, and whether the nodes are in it already.

    Parameters
    ----------
    cells : Cells
        The child's cells.
    label : Labeller
        Labels arrays over them.
    weights : Panels, array or None
        Of the nodes ``(nodes, cells or 1)``; None where there is one.
    """
    found = named(cells, label)
    if found is not None:
        return found, False
    rule = cells.contribution.rule
    if cells.factor.event or rule.form == "matrix" or rule.child == "Categorical":
        raise NoClosedForm(f"{rule.child} with a {rule.prior} parent has no predictive family here")
    if label.nodes * int(np.prod(label.plates, dtype=int)) > _MOST:
        raise NoClosedForm(f"there are {int(np.prod(label.plates, dtype=int))} cells at {label.nodes} nodes")
    return compound(cells, label, weights), True


def compound(cells: Cells, label: Labeller, weights: Panels | Array | None) -> Distribution:
    """Return the predictive by the density of its pair."""
    shape = label.plates
    count = int(np.prod(shape, dtype=int))

    def flat(array: Array) -> Array:
        array = np.asarray(array, dtype=float)
        array = array.reshape((1,) * (1 + len(shape) - array.ndim) + array.shape)
        return np.broadcast_to(array, (len(array), *shape)).reshape(len(array), count)

    matrix = np.ones((1, 1)) if weights is None else np.asarray(getattr(weights, "probabilities", weights))
    contribution, rule = cells.contribution, cells.contribution.rule
    with np.errstate(divide="ignore"):
        density = PairDensity(
            (rule.prior, rule.child, rule.parameter),
            cells.family,
            tuple(flat(n) for n in cells.naturals),
            {k: flat(v) for k, v in cells.others.items()},
            flat(cells.coefficient),
            flat(cells.offset),
            np.log(matrix),
            contribution.exponent,
            contribution.swapped,
        )
    child = cells.factor.distribution
    numbers = label.wrap(np.arange(count).reshape(shape))
    parameters = _parameters(child, rule.parameter, density.others, np.full((1, count), np.nan))
    with np.errstate(all="ignore"):
        lower, upper = (np.broadcast_to(e, (1, count))[0] for e in child._bounds(*parameters))
    # an end that depends on the parent may lie anywhere
    lower, upper = np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
    if child.discrete:
        if np.any(np.isfinite(upper)) or np.any(lower != lower[:1]):
            raise NoClosedForm(f"{rule.child} is bounded, and its predictive has no family here")
        return CompoundCounts(density, int(lower[0]), numbers)
    start, scale = _whereabouts(cells, density, elementwise_transform(lower, upper))
    return CompoundNumbers(density, (lower, upper), start, scale, numbers)


def _parameters(child: Distribution, parameter: str, others: Any, value: Array) -> list[Array]:
    return [value if p.name == parameter else others[p.name] for p in child.parameters]


def _whereabouts(cells: Cells, density: PairDensity, transform: Any) -> tuple[Array, Array]:
    """Return a rough centre and spread of every cell on the unconstrained scale, from a few draws."""
    rng = np.random.default_rng(_SEED)
    rule, exponent = density.rule, density.exponent
    # of a mixture the heaviest node will do
    top = np.broadcast_to(density.log_weights.argmax(axis=0), (density.cells,))

    def heaviest(array: Array) -> Array:
        if len(array) > 1:
            array = np.take_along_axis(np.broadcast_to(array, (len(array), density.cells)), top[None], 0)
        return np.broadcast_to(array, (_DRAWS, density.cells))

    parent = density.family.sample(tuple(heaviest(n) for n in density.naturals), rng)
    c, offset = heaviest(density.coefficient), heaviest(density.offset)
    with np.errstate(all="ignore"):
        if rule.form == "power":
            value = (c * parent**exponent) ** (1.0 / rule.exponent)
        else:
            value = c * parent + offset if rule.form == "linear" else 1.0 - parent if density.swapped else parent
        others = {k: heaviest(v) for k, v in density.others.items()}
        child = cells.factor.distribution
        drawn = child._sample(rng, value.shape, *_parameters(child, rule.parameter, others, value))
        u = transform.forward(drawn)
    low, start, high = np.nanquantile(np.where(np.isfinite(u), u, np.nan), [0.25, 0.5, 0.75], axis=0)
    spread = high - low
    start = np.where(np.isfinite(start), start, 0.0)
    return start, np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
