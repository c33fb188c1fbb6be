"""What a row of the table demands of a child beyond the form of one parameter: its other parameters, and its cells."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from bayeskit.conjugate.rules import Rule
from bayeskit.expressions.linear import Position
from bayeskit.model.problem import Environment, Factor, Latent

Array = np.ndarray


def unmet(
    rule: Rule, child: Factor, latent: Latent, positions: Mapping[str, Position], env: Environment, children: int
) -> str | None:
    """Return which demand of a row a child does not meet; None where it meets all.

    Parameters
    ----------
    rule, child, latent : Rule, Factor, Latent
        The row, and what it is to be read from.
    positions : mapping
        For each dim of the latent, where a cell of the child points to.
    env : mapping
        What is known.
    children : int
        How many children the latent has.
    """
    for name, number in rule.fixed.items():
        other = child.parameter(name)
        if other.variables or np.any(other.evaluate({}) != number):
            return f"in '{child.name}' ~ {child.distribution}, {name} is not {number:g}"
    if not rule.population:
        return None
    if children > 1 or not _one_each(child, latent, positions):
        return f"'{child.name}' is not one sample for each of its elements"
    size = child.parameter(rule.population)
    if not size.variables <= env.keys() or not _is_upper_bound(rule, child, latent, positions, env):
        return f"the population of '{child.name}', {size}, is not that of its prior {latent.prior.distribution}"
    return None


def _one_each(child: Factor, latent: Latent, positions: Mapping[str, Position]) -> bool:
    """Whether every element of the latent has one cell of the child, that occurs once."""
    straight = all(isinstance(p, str) for p in positions.values())
    once = child.weight is None or bool(np.all(child.weight == 1))
    return straight and once and prod(child.shape) == latent.size


def _is_upper_bound(
    rule: Rule, child: Factor, latent: Latent, positions: Mapping[str, Position], env: Environment
) -> bool:
    """Whether the population of the child is the largest value that the prior allows, element by element."""
    prior = latent.prior
    upper = prior.distribution._bounds(*known_parameters(prior, env))[1]
    place = [p.name for p in child.distribution.parameters].index(rule.population)
    size = np.broadcast_to(known_parameters(child, env)[place], (1, *child.shape))
    along = [child.plates.index(p) for p in positions.values() if isinstance(p, str)]
    rest = [i for i in range(len(child.plates)) if i not in along]
    size = size.transpose([0, *(1 + i for i in [*along, *rest])]).reshape(1, *latent.shape)
    return bool(np.all(size == upper))


def known_parameters(factor: Factor, env: Environment) -> list[Array]:
    """Return the parameters of a factor, along its plates; NaN where one is not known."""
    return [
        np.asarray(lay(e.evaluate(env)), dtype=float) if e.variables <= env.keys() else np.asarray(np.nan)
        for lay, e in zip(factor._aligners, factor.parameters, strict=True)
    ]
