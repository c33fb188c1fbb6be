"""The bound problem: what inference works on. A model whose data are in place, as a product of factors.

Every array is ``(batch, *dims)``. The environment of known values has batch 1; a state adds the latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.expressions import Expression, Variable, aligner

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution
    from bayeskit.model.model import Model

Array = np.ndarray
Environment = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Factor:
    """One term ``value ~ distribution(parameters)`` of the joint density.

    Attributes
    ----------
    name : str
        The statement it comes from.
    value : Expression
        A latent, known numbers, or numbers with some cells latent.
    parameters, layouts : tuple
        Parameters as expressions, and the dims each is laid along.
    sizes : mapping
        Sizes of the dims of this factor (those of data alone differ between batches of data).
    """

    name: str
    distribution: Distribution
    value: Expression
    parameters: tuple[Expression, ...]
    layouts: tuple[tuple[str, ...], ...]
    plates: tuple[str, ...]
    event: tuple[str, ...]
    sizes: Mapping[str, int]

    @cached_property
    def _aligners(self) -> tuple[Callable[[Array], Array], ...]:
        return tuple(aligner(p.dims, lay) for p, lay in zip(self.parameters, self.layouts, strict=True))

    @cached_property
    def _value_aligner(self) -> Callable[[Array], Array]:
        return aligner(self.value.dims, self.plates + self.event)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names it depends on, its value's included."""
        return self.value.variables.union(*(p.variables for p in self.parameters))

    @cached_property
    def parents(self) -> frozenset[str]:
        """Names its parameters depend on."""
        return frozenset().union(*(p.variables for p in self.parameters))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the plates."""
        return tuple(self.sizes[d] for d in self.plates)

    def parameter(self, name: str) -> Expression:
        """Return one canonical parameter by name."""
        names = [p.name for p in self.distribution.parameters]
        return self.parameters[names.index(name)]

    def parameter_arrays(self, env: Environment) -> list[Array]:
        """Return the parameters, aligned with the plates."""
        return [lay(p.evaluate(env)) for lay, p in zip(self._aligners, self.parameters, strict=True)]

    def value_array(self, env: Environment) -> Array:
        """Return the value, aligned with plates and event."""
        return self._value_aligner(self.value.evaluate(env))

    def log_prob(self, env: Environment) -> Array:
        """Return the log density of every cell: ``(batch, *plates)``."""
        result = self.distribution._log_prob(self.value_array(env), *self.parameter_arrays(env))
        return result if result.shape[1:] == self.shape else np.broadcast_to(result, (result.shape[0], *self.shape))

    def total(self, env: Environment) -> Array:
        """Return the log density summed over the plates: ``(batch,)``."""
        cells = self.log_prob(env)
        return cells.reshape(cells.shape[0], -1).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Latent:
    """An unknown: its variable, its shape, and the factor that is its prior.

    ``missing_from`` names the observed variable whose open cells it fills.
    """

    name: str
    variable: Variable
    shape: tuple[int, ...]
    prior: Factor
    missing_from: str | None = None

    @property
    def size(self) -> int:
        """Count its numbers."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Observation:
    """What was observed of one variable in one batch of data, for export and prediction."""

    name: str
    factor: Factor
    values: Array
    is_missing: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """A bound model: known values, unknowns, and the factors of their joint density."""

    model: Model
    coords: Mapping[str, Array]
    env: Environment
    latents: Mapping[str, Latent]
    factors: tuple[Factor, ...]
    derived: Mapping[str, Expression]
    derived_later: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    potentials: Mapping[str, Expression] = field(default_factory=dict)
    conditions: Mapping[str, Expression] = field(default_factory=dict)
    observations: tuple[Observation, ...] = ()
    batch_coords: tuple[Mapping[str, Array], ...] = ()
    cell_labels: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dims."""
        return {d: len(labels) for d, labels in self.coords.items()}

    def factors_of(self, names: Iterable[str]) -> list[Factor]:
        """Return the factors that depend on any of the names."""
        wanted = set(names)
        return [f for f in self.factors if f.variables & wanted]

    def children_of(self, name: str) -> list[Factor]:
        """Return the factors that a latent is a parent of (its own prior left out)."""
        prior = self.latents[name].prior
        return [f for f in self.factors if name in f.variables and f is not prior]

    def terms_of(self, name: str) -> list[str]:
        """Return the names of potentials and conditions that depend on a latent."""
        both = {**self.potentials, **self.conditions}
        return [label for label, e in both.items() if name in e.variables]

    def extra_log_density(self, env: Environment) -> Array | float:
        """Return the potentials, and -inf where a condition fails: ``(batch,)``."""
        total: Array | float = 0.0
        for expression in self.potentials.values():
            total = total + _flat(expression.evaluate(env)).sum(axis=1)
        for expression in self.conditions.values():
            holds = _flat(expression.evaluate(env)).astype(bool).all(axis=1)
            total = total + np.where(holds, 0.0, -np.inf)
        return total

    def log_joint(self, state: Environment) -> Array:
        """Return the log density of data and latents together: ``(batch,)``."""
        env = {**self.env, **state}
        total = self.extra_log_density(env)
        for factor in self.factors:
            total = total + factor.total(env)
        return np.asarray(total)


def _flat(values: Array) -> Array:
    return np.asarray(values).reshape(values.shape[0], -1)
