"""The bound problem: what inference works on. A model whose data are in place, as a product of factors.

Every array is ``(batch, *dims)``. The environment of known values has batch 1; a state adds the latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.expressions import Expression, Variable, aligner
from bayeskit.model.labels import Coords

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution
    from bayeskit.distributions.domains import Parameter
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
    weight : array, optional
        How often each cell occurs, laid along the plates: rows that are alike are one cell.
    """

    name: str
    distribution: Distribution
    value: Expression
    parameters: tuple[Expression, ...]
    layouts: tuple[tuple[str, ...], ...]
    plates: tuple[str, ...]
    event: tuple[str, ...]
    sizes: Mapping[str, int]
    weight: Array | None = None

    @cached_property
    def _aligners(self) -> tuple[Callable[[Array], Array], ...]:
        kinds = self.distribution.parameters
        return tuple(map(self._aligned, kinds, self.parameters, self.layouts))

    def _aligned(self, kind: Parameter, expression: Expression, layout: tuple[str, ...]) -> Callable[[Array], Array]:
        """Return what lays a parameter along dims; one number for a whole vector is as many."""
        lay = aligner(expression.dims, layout)
        if kind.event_ndim != 1 or layout[-1] in expression.dims:
            return lay
        size = self.sizes[layout[-1]]

        def repeated(values: Array) -> Array:
            laid = lay(values)
            return np.broadcast_to(laid, (*laid.shape[:-1], size))

        return repeated

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
        """Return the log density of every cell, as often as it occurs: ``(batch, *plates)``."""
        result = self.distribution._log_prob(self.value_array(env), *self.parameter_arrays(env))
        if result.shape[1:] != self.shape:
            result = np.broadcast_to(result, (result.shape[0], *self.shape))
        return self.weighed(result)

    def weighed(self, cells: Array) -> Array:
        """Return what cells ``(batch, *plates, ...)`` hold, as often as they occur; nothing for those that never do."""
        if self.weight is None:
            return cells
        weight = self.weight.reshape(self.shape + (1,) * (cells.ndim - 1 - len(self.plates)))
        return (np.where(weight > 0, cells, 0.0) if self._has_empty else cells) * weight

    @cached_property
    def _has_empty(self) -> bool:
        return self.weight is not None and not bool(self.weight.all())

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

    def empty(self, count: int) -> Array:
        """Return room for values ``(count, *dims)``: whole numbers where it takes no others."""
        return np.empty((count, *self.shape), dtype=np.int64 if self.prior.distribution.discrete else float)


@dataclass(frozen=True, eq=False)
class Observation:
    """What was observed of one variable in one batch of data, row by row: for export and prediction.

    Attributes
    ----------
    name : str
        The variable.
    factor : Factor
        Its distribution over all cells.
    values, is_missing : array
        What was observed, and where nothing was.
    known : Factor or None
        The term of the joint density that the observed cells are: ``factor`` itself where nothing is missing; None
        where everything is, or vectors are known in part.
    kept : dict
        What was found out about the rows of this batch, for its next binding with further batches.
    """

    name: str
    factor: Factor
    values: Array
    is_missing: Array
    known: Factor | None = None
    kept: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Problem:
    """A bound model: known values, unknowns, and the factors of their joint density.

    ``statistics`` stand for observations whose rows are not at hand; ``reduced`` tells, of those that are in cells, how
    many rows came down to how many.
    """

    model: Model
    coords: Coords
    env: Environment
    latents: Mapping[str, Latent]
    factors: tuple[Factor, ...]
    derived: Mapping[str, Expression]
    derived_later: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    potentials: Mapping[str, Expression] = field(default_factory=dict)
    conditions: Mapping[str, Expression] = field(default_factory=dict)
    observations: tuple[Observation, ...] = ()
    batch_coords: tuple[Coords, ...] = ()
    cell_labels: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    statistics: Any = None
    reduced: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dims."""
        return {d: self.coords.size(d) for d in self.coords}

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
