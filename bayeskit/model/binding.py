"""Binding: data meet a model, are checked, and give the problem that inference works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.structure import Index, Scatter
from bayeskit.model.checks import check_indices, check_numbers, check_parameters, check_support
from bayeskit.model.labels import encode, resolve_labels
from bayeskit.model.problem import Factor, Latent, Observation, Problem
from bayeskit.model.reading import Given, read_data
from bayeskit.model.statements import IndexColumn, RandomVariable

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


def bind(model: Model, batches: Sequence[Mapping[str, Given]], *, draw_observed: bool = False) -> Problem:
    """Bind one or more batches of data to a model.

    The first batch holds everything the latents' priors need; each further one holds new observations of the same
    latents. Dims that latents bear match by label, dims of data alone are the batch's own.

    With ``draw_observed``, observed variables without data are unknowns, to be drawn forward.
    """
    return _Binder(model, draw_observed).bind(batches)


def read(model: Model, data: Any, more: Mapping[str, Any]) -> dict[str, Given]:
    """Read data for a model, refusing names it does not know."""
    return read_data(data, more, {*model.columns, *model.random})


class _Binder:
    """The state of one binding; nothing of it outlives ``bind``."""

    def __init__(self, model: Model, draw_observed: bool) -> None:
        self.model, self.draw_observed = model, draw_observed
        self.env: dict[str, Array] = {}
        self.latents: dict[str, Latent] = {}
        self.factors: list[Factor] = []
        self.observations: list[Observation] = []
        self.derived: dict[str, Expression] = {}
        self.terms: dict[str, Expression] = {}
        self.cell_labels: dict[str, dict[str, Array]] = {}
        self.batch_coords: list[Mapping[str, Array]] = []

    def bind(self, batches: Sequence[Mapping[str, Given]]) -> Problem:
        model, first = self.model, batches[0]
        unknown = [r for r in model.random.values() if not r.observed and r.name not in first]
        latent_dims = {d for r in unknown for d in r.dims}
        latent_dims |= {c.into for c in model.columns.values() if isinstance(c, IndexColumn)}
        coords: dict[str, Array] = {}
        for given in batches:
            labels = resolve_labels(model, given, coords, latent_dims)
            self.batch_coords.append(labels)
            coords |= {d: v for d, v in labels.items() if d in latent_dims or d not in coords}
        for number, given in enumerate(batches):
            self._bind_batch(number, given, coords, latent_dims)
        conditions = {n: e for n, e in self.terms.items() if model.terms[n].is_condition}
        return Problem(
            model=model,
            coords=coords,
            env=self.env,
            latents=self.latents,
            factors=tuple(self.factors),
            derived=self.derived,
            potentials={n: e for n, e in self.terms.items() if n not in conditions},
            conditions=conditions,
            observations=tuple(self.observations),
            batch_coords=tuple(self.batch_coords),
            cell_labels=self.cell_labels,
        )

    # ---- one batch ----------------------------------------------------------------------------------------------
    def _bind_batch(
        self, number: int, given: Mapping[str, Given], coords: Mapping[str, Array], latent_dims: set[str]
    ) -> None:
        labels = dict(coords) if number == 0 else self.batch_coords[number]
        local = _Batch(number, labels, {d: len(v) for d, v in labels.items()})
        self._place_columns(local, given)
        if number:
            self._localise(local, coords, latent_dims)
        observed = [r for r in self.model.random.values() if r.observed]
        absent = [r.name for r in observed if r.name not in given]
        if absent and len(absent) < len(observed) and not self.draw_observed:
            raise DataError(
                f"The observed variable '{absent[0]}' must have data. Got data for "
                f"{sorted(r.name for r in observed if r.name in given)} only. Give all observations, or none for the prior."
            )
        for statement in self.model.random.values():
            if statement.name in given:
                self._place_observation(local, statement, given[statement.name])
            elif (number == 0 and not statement.observed) or (statement.observed and self.draw_observed):
                self._place_latent(local, statement)
        if number == 0:
            visible = {*self.env, *self.latents}
            for derivation in self.model.derivations.values():
                expression = derivation.expression.substitute(local.names)
                if expression.variables <= visible:
                    self.derived[derivation.name] = expression
            for term in self.model.terms.values():
                self.terms[term.name] = term.expression.substitute(local.names)
        check_indices(self.factors, list(self.derived.items()), self.env)

    def _place_columns(self, local: _Batch, given: Mapping[str, Given]) -> None:
        for name, column in self.model.columns.items():
            if name not in given:
                if local.number and self._fits_again(local, column.variable):
                    continue
                if not self._is_needed(name, given):
                    continue
                raise DataError(
                    f"The data '{name}' must be given to condition. Got {sorted(given) or 'nothing'}. "
                    f'Add "{name}": values with dims {column.variable.dims or "none"}.'
                )
            value = given[name]
            if isinstance(column, IndexColumn):
                codes = encode(name, value.values, local.labels[column.into])
                array = check_numbers(name, Given(codes, value.dims, value.coords), column.variable.dims, local)
                if np.isnan(array).any():
                    raise DataError(
                        f"The index '{name}' must be known everywhere. Got {int(np.isnan(array).sum())} unknown labels. "
                        "Give unknown labels a prior: m.latent(..., bk.Categorical(...))."
                    )
                array = array.astype(np.int64)
            else:
                array = check_numbers(name, value, column.variable.dims, local)
                if not np.isfinite(array).all():
                    raise DataError(
                        f"The data '{name}' must be finite. Got {int((~np.isfinite(array)).sum())} NaN or infinite "
                        "values. Missing numbers need a distribution: declare them with m.observed."
                    )
            self._bind_name(local, column.variable, array)

    def _is_needed(self, name: str, given: Mapping[str, Given]) -> bool:
        """Whether anything that will be in the problem depends on a column."""
        prior_only = not self.draw_observed and not any(r.observed and r.name in given for r in self.model.random.values())
        users = [e for r in self.model.random.values() if not (r.observed and prior_only) for e in r.parameters]
        users += [t.expression for t in self.model.terms.values()]
        if not prior_only:
            users += [d.expression for d in self.model.derivations.values()]
        return any(name in e.variables for e in users)

    def _fits_again(self, local: _Batch, variable: Variable) -> bool:
        """Whether an earlier batch's column serves a later one: it has the dims of latents alone, unchanged."""
        before = self.env.get(variable.name)
        return before is not None and before.shape[1:] == tuple(local.sizes.get(d, -1) for d in variable.dims)

    def _bind_name(self, local: _Batch, variable: Variable, array: Array) -> None:
        name = variable.name if local.number == 0 else f"{variable.name}@{local.number}"
        self.env[name] = array[np.newaxis]
        if local.number:
            integer = array.dtype.kind in "iu"
            local.names[variable.name] = Variable(name, variable.dims, integer=integer, into=variable.into)

    def _localise(self, local: _Batch, coords: Mapping[str, Array], latent_dims: set[str]) -> None:
        """In a batch that bears some labels of a latent's dim only, read the latent at those labels."""
        moved = {
            d: Constant(encode(d, local.labels[d], coords[d]).astype(np.int64), (d,))
            for d in latent_dims
            if d in local.labels and not np.array_equal(local.labels[d], coords[d])
        }
        for name, latent in self.latents.items():
            here = {d: c for d, c in moved.items() if d in latent.variable.dims}
            if here:
                local.names[name] = Index(latent.variable, here)

    # ---- random variables ---------------------------------------------------------------------------------------
    def _factor(self, local: _Batch, statement: RandomVariable, value: Expression) -> Factor:
        sizes = local.sizes
        unsized = [d for d in (*statement.dims, *(d for lay in statement.layouts for d in lay)) if d not in sizes]
        if unsized:
            raise DataError(
                f"The size of the dim '{unsized[0]}' of '{statement.name}' must be known. Got no data that bear it. "
                f'Give its labels: bk.Model(coords={{"{unsized[0]}": [...]}}).'
            )
        parameters = tuple(p.substitute(local.names) for p in statement.parameters)
        return Factor(
            statement.name, statement.distribution, value, parameters, statement.layouts, statement.plates,
            statement.event, sizes,
        )  # fmt: skip

    def _place_latent(self, local: _Batch, statement: RandomVariable) -> None:
        name, variable = statement.name, statement.variable
        if local.number:
            name = f"{name}@{local.number}"
            variable = Variable(name, variable.dims, integer=variable.integer, into=variable.into)
            local.names[statement.name] = variable
        factor = self._factor(local, statement, variable)
        check_parameters(factor, self.env)
        shape = tuple(local.sizes[d] for d in statement.dims)
        self.latents[name] = Latent(name, variable, shape, factor)
        self.factors.append(factor)

    def _place_observation(self, local: _Batch, statement: RandomVariable, given: Given) -> None:
        value = given
        if statement.variable.into is not None and given.values.dtype.kind in "OUS":
            codes = encode(statement.name, given.values, local.labels[statement.variable.into])
            value = Given(codes, given.dims, given.coords)
        array = check_numbers(statement.name, value, statement.dims, local)
        open_ = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
        if open_.any() and not statement.observed:
            raise DataError(f"The value given for the latent '{statement.name}' must be complete. Got NaN.")
        if np.isinf(array).any():
            raise DataError(f"The values of '{statement.name}' must be finite. Got {int(np.isinf(array).sum())} infinite.")
        whole = self._factor(local, statement, Constant(array, statement.dims))
        check_parameters(whole, self.env)
        check_support(whole, self.env, open_, local.labels)
        if open_.any():
            self._place_partly(local, statement, whole, array, open_)
        else:
            if statement.distribution.discrete:
                array = array.astype(np.int64)
            whole = self._factor(local, statement, Constant(array, statement.dims))
            self._bind_name(local, statement.variable, array)
            self.factors.append(whole)
        self.observations.append(Observation(statement.name, whole, array, open_))

    def _place_partly(
        self, local: _Batch, statement: RandomVariable, whole: Factor, array: Array, open_: Array
    ) -> None:
        """Split an observation with missing entries into its known cells and a latent for the open ones."""
        suffix = "" if local.number == 0 else f"_{local.number}"
        name, dim = f"{statement.name}_missing{suffix}", f"{statement.name}_missing{suffix}_cell"
        cells = np.flatnonzero(open_)
        discrete = statement.distribution.discrete
        unknown = Variable(name, (dim,), owner=self.model, integer=discrete, into=statement.variable.into)
        filled = np.where(open_, 0, array)
        known = filled.astype(np.int64) if discrete else filled
        scatter = Scatter(statement.name, known, statement.dims, cells, unknown)
        places = np.unravel_index(cells, array.shape)
        self.cell_labels[dim] = {
            d: local.labels[d][p] for d, p in zip(statement.dims, places, strict=True)
        }
        self.batch_coords[0] = {**self.batch_coords[0], dim: np.arange(len(cells))}
        local.names[statement.name] = scatter
        if statement.event:
            if statement.distribution.family != "MvNormal":
                raise DataError(
                    f"'{statement.name}' ~ {statement.distribution.family} must be observed whole. Got {len(cells)} "
                    "missing entries; part of a vector can be missing for MvNormal only."
                )
            prior = self._factor(local, statement, scatter)
            self.factors.append(prior)
        else:
            if len(cells) < array.size:
                self.factors.append(_at_cells(whole, np.flatnonzero(~open_), f"{statement.name}_cell", known))
            prior = _at_cells(whole, cells, dim, unknown)
            self.factors.append(prior)
        self.latents[name] = Latent(name, unknown, (len(cells),), prior, missing_from=statement.name)


def _at_cells(factor: Factor, cells: Array, dim: str, value: Array | Variable) -> Factor:
    """Return a factor at some cells of its plates, in long form along one dim."""
    places = dict(zip(factor.plates, np.unravel_index(cells, factor.shape), strict=True))

    def pick(expression: Expression) -> Expression:
        here = {d: Constant(p, (dim,)) for d, p in places.items() if d in expression.dims}
        return Index(expression, here) if here else expression

    def lay(layout: tuple[str, ...]) -> tuple[str, ...]:
        return (dim, *(d for d in layout if d not in factor.plates))

    sizes = {**factor.sizes, dim: len(cells)}
    here = value if isinstance(value, Variable) else Constant(value.ravel()[cells], (dim,))
    return Factor(
        factor.name, factor.distribution, here, tuple(pick(p) for p in factor.parameters),
        tuple(lay(x) for x in factor.layouts), (dim,), (), sizes,
    )  # fmt: skip


class _Batch:
    """One batch while it is bound: its labels, sizes, and what its names stand for."""

    def __init__(self, number: int, labels: Mapping[str, Array], sizes: dict[str, int]) -> None:
        self.number, self.labels, self.sizes = number, labels, sizes
        self.names: dict[str, Expression] = {}
