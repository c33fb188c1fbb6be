"""What a model is made of: data, indices, random variables, derived quantities, and terms of the density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ModelError
from bayeskit.expressions import Constant, Expression, Variable, as_expression
from bayeskit.model.simplexes import simplex_dims

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


@dataclass(frozen=True, eq=False)
class DataColumn:
    """Known numbers whose values come with ``condition``."""

    name: str
    variable: Variable


@dataclass(frozen=True, eq=False)
class IndexColumn:
    """A categorical column: its labels point into the dim ``into``."""

    name: str
    variable: Variable
    into: str


@dataclass(frozen=True, eq=False)
class RandomVariable:
    """A variable with a distribution, latent or observed.

    ``parameters`` are the distribution's canonical parameters as expressions, each to be laid along ``layouts``: the
    plates, then the dims of the parameter's own event.
    """

    name: str
    variable: Variable
    distribution: Distribution
    observed: bool
    plates: tuple[str, ...]
    event: tuple[str, ...]
    parameters: tuple[Expression, ...]
    layouts: tuple[tuple[str, ...], ...]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of the value: plates, then event."""
        return self.plates + self.event


@dataclass(frozen=True, eq=False)
class Derived:
    """An expression recorded under a name."""

    name: str
    expression: Expression


@dataclass(frozen=True, eq=False)
class DensityTerm:
    """A term of the log density: an expression added to it, or a condition that must hold."""

    name: str
    expression: Expression
    is_condition: bool


def matrix_dims(dims: tuple[str, ...], event_ndim: int) -> tuple[str, ...]:
    """Dims of a value: a matrix over ``d`` has dims ``(d, d_)``, which the user may leave unsaid."""
    if event_ndim == 2 and dims and not (len(dims) > 1 and dims[-1] == dims[-2] + "_"):
        return (*dims, dims[-1] + "_")
    return dims


def random_variable(
    name: str, distribution: Distribution, dims: tuple[str, ...], *, observed: bool, owner: object
) -> RandomVariable:
    """Lay out a random variable: which dims are its plates and how each parameter runs along them."""
    distribution = _over_its_dims(distribution, dims, getattr(owner, "random", {}))
    rank = distribution.event_ndim
    dims = matrix_dims(dims, rank if distribution.square else 0)
    if len(dims) < rank:
        raise ModelError(
            f"'{name}' ~ {distribution.family} must have a dim for its {'vector' if rank == 1 else 'matrix'} values. "
            f'Got dims {dims or "none"}. Write dims="..." with the event dim last.'
        )
    plates, event = dims[: len(dims) - rank], dims[len(dims) - rank :]
    parameters, layouts, into = [], [], None
    for parameter in distribution.parameters:
        value = distribution.canonical[parameter.name]
        own = event if parameter.axis is None else (event[parameter.axis], event[parameter.axis] + "_")
        names = _event_names(name, value, parameter.event_ndim, plates, own)
        expression = _as_parameter(value, names)
        layout = plates + names
        extra = [d for d in expression.dims if d not in layout]
        if extra:
            raise ModelError(
                f"'{name}' must have the dim '{extra[0]}' of its parameter {parameter.name} = {expression}. "
                f"Got dims {dims or 'none'}. Write dims={_written((*plates, *extra, *event))}."
            )
        parameters.append(expression)
        layouts.append(layout)
        if parameter.event_ndim == 1 and rank == 0 and not isinstance(value, np.ndarray):
            into = names[-1] if names else None  # a Categorical points into the dim of its probabilities
    variable = Variable(name, dims, owner=owner, integer=distribution.discrete, into=into)
    return RandomVariable(name, variable, distribution, observed, plates, event, tuple(parameters), tuple(layouts))


def _over_its_dims(distribution: Distribution, dims: tuple[str, ...], random: Mapping[str, Any]) -> Distribution:
    """Return a Multinomial over a table where that is what its probabilities sum to one over."""
    from bayeskit.distributions import Multinomial

    p = distribution.canonical.get("p")
    if not isinstance(distribution, Multinomial) or not isinstance(p, Expression) or len(dims) < 2:
        return distribution
    summed = simplex_dims(p, random)
    return distribution.over_table() if len(summed) == 2 and summed == set(dims[-2:]) else distribution


def _written(dims: tuple[str, ...]) -> str:
    names = tuple(dict.fromkeys(dims))
    return repr(names[0] if len(names) == 1 else names)


def _event_names(
    name: str, value: Any, event_ndim: int, plates: tuple[str, ...], event: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of a parameter's own event axes."""
    if event_ndim == 0:
        return ()
    if event_ndim <= len(event):
        return event[-event_ndim:]
    if event_ndim == 2:
        return (event[-1], event[-1] + "_")
    own = [d for d in getattr(value, "dims", ()) if d not in plates]
    if isinstance(value, np.ndarray):
        return (f"{name}_category",)
    if len(own) != 1:
        raise ModelError(
            f"'{name}' must get probabilities with exactly one dim beyond its own dims {plates or 'none'}. "
            f"Got dims {getattr(value, 'dims', ())} in '{value}'. That dim holds the categories."
        )
    return (str(own[0]),)


def _as_parameter(value: Any, names: tuple[str, ...]) -> Expression:
    if isinstance(value, Expression) or hasattr(value, "dims"):
        return as_expression(value)
    array = np.asarray(value)
    return Constant(array, names[len(names) - array.ndim :] if array.ndim else ())
