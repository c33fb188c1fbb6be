"""Binding: data meet a model, are checked, and give the problem that inference works on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.gram import designs_in, with_known_grams
from bayeskit.model.batches import Batch, kept_with, merged_column, statements
from bayeskit.model.checks import check_indices, check_parameters, check_support
from bayeskit.model.constants import align_constants
from bayeskit.model.dims import latent_dims, resolve_labels
from bayeskit.model.labels import Coords, together
from bayeskit.model.missing import Cells, open_cells, split_missing
from bayeskit.model.problem import Factor, Latent, Observation, Problem
from bayeskit.model.reading import Given, GivenData, is_summary, read_data
from bayeskit.model.statements import DataColumn, IndexColumn, RandomVariable
from bayeskit.model.values import checked_column, checked_values

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


def bind(model: Model, batches: Sequence[Mapping[str, Given]], *, draw_observed: bool = False) -> Problem:
    """Bind one or more batches of data to a model: see `Binding`."""
    return Binding(model, batches, draw_observed=draw_observed).problem


def read(model: Model, data: Any, more: Mapping[str, Any]) -> GivenData:
    """Read data for a model, refusing names it does not know."""
    declared = {n: c.variable.dims for n, c in model.columns.items()} | {n: r.dims for n, r in model.random.items()}
    return read_data(data, more, declared)


class Binding:
    """One or more batches of data bound to a model.

    The first batch holds everything the latents' priors need; each further one holds new observations of the same
    latents. Dims that latents bear match by label, and new labels make new entries; dims of data alone are the batch's
    own. With ``draw_observed``, observed variables without data in the last batch are unknowns, to be drawn forward:
    those of the first batch under their names, those of batch ``k`` under ``name@k``.

    Names bound without a batch's number are global: latents, and columns that hold a value for all labels. Each batch
    says what its names stand for in ``Batch.names``; ``whole`` says it for priors, derived quantities and terms.

    Attributes
    ----------
    problem : Problem
        What inference works on.
    """

    def __init__(self, model: Model, batches: Sequence[Mapping[str, Given]], *, draw_observed: bool = False) -> None:
        self.model, self.given, self.draw_observed = model, list(batches), draw_observed
        self.shared, self.statements = latent_dims(model), statements(model)
        self.coords = Coords()
        self.kept: list[dict[Any, Any]] = []
        own: list[Coords] = []
        for given in batches:
            labels = self._labels(given)
            own.append(labels)
            for d in self.shared & self.coords.keys() & labels.keys():
                if not labels.agree(self.coords, d):
                    self.coords[d] = together(self.coords[d], labels[d])
            self.coords = labels | self.coords
        own = [self._widened(given, labels) for given, labels in zip(batches, own, strict=True)]
        self.batches = [Batch(n, labels, self.coords, self.shared) for n, labels in enumerate(own)]
        self.whole = Batch(0, own[0] | self.coords, self.coords, self.shared)
        self.env: dict[str, Array] = {}
        self.latents: dict[str, Latent] = {}
        self.factors: list[Factor] = []
        self.observations: list[Observation] = []
        self.cell_labels: dict[str, dict[str, Array]] = {}
        self.merged: frozenset[str] = frozenset()  # columns put together from several batches
        self.problem = self._bind()

    def _widened(self, given: Mapping[str, Given], labels: Coords) -> Coords:
        """Return a batch's labels with those of all where its rows only point into a dim: their codes stay the same."""
        named = [*self.model.columns.values(), *self.model.random.values()]
        borne = {d for c in named if c.name in given for d in c.variable.dims}
        wider = Coords(labels)
        for d in self.shared & labels.keys() - borne:
            first = len(labels[d])
            if not labels.agree(self.coords, d) and np.array_equal(labels[d], self.coords[d][:first]):
                wider[d] = self.coords[d]
        return wider

    def extended(self, given: Mapping[str, Given]) -> Binding:
        """Return the binding of one batch more. The others are bound anew only where it brings new labels."""
        more = copy(self)
        more.kept, more.given = list(self.kept), [*self.given, given]
        labels = more._labels(given)
        settled = all(d in self.coords and (d not in self.shared or labels.agree(self.coords, d)) for d in labels)
        again = self.merged | self._scaling_columns()
        if not settled or again & given.keys() or statements(self.model) != self.statements:
            return Binding(self.model, more.given, draw_observed=self.draw_observed)
        local = Batch(len(self.given), labels, self.coords, self.shared)
        more.batches, more.coords = [*self.batches, local], Coords(self.coords)
        more.env, more.latents, more.factors = dict(self.env), dict(self.latents), list(self.factors)
        more.observations, more.cell_labels = list(self.observations), dict(self.cell_labels)
        more._place_columns(local, given)
        if more._merge_columns(local.reused):  # of which more may be known now than what the new batch asks for
            return Binding(self.model, more.given, draw_observed=self.draw_observed)
        more._place_random(local, given)
        later = more._later(self.problem.derived, [local])
        more.problem = replace(
            self.problem,
            coords=more.coords,
            env=more.env,
            latents=more.latents,
            factors=tuple(more.factors),
            derived_later={n: (*before, *later[n]) for n, before in self.problem.derived_later.items()},
            observations=tuple(more.observations),
            batch_coords=(*self.problem.batch_coords, labels),
            cell_labels=more.cell_labels,
        )
        return more

    def _scaling_columns(self) -> frozenset[str]:
        """Return the columns of designs that priors are scaled by: further rows of them change the prior."""
        priors = [e for r in self.model.random.values() if not r.observed for e in r.parameters]
        return frozenset().union(*(designs_in(e) for e in priors))

    def _labels(self, given: Mapping[str, Given]) -> Coords:
        """Return the labels of the next batch."""
        kept = kept_with(self.model, given, self.kept[-1] if self.kept else None)
        if "labels" not in kept:
            kept["labels"] = resolve_labels(self.model, given, self.coords.among(self.shared) if self.kept else None)
        self.kept.append(kept)
        labels: Coords = kept["labels"]
        return labels

    def _bind(self) -> Problem:
        model = self.model
        for local, given in zip(self.batches, self.given, strict=True):
            self._place_columns(local, given)
        self.merged = self._merge_columns({n for b in self.batches for n in b.reused})
        for local, given in zip(self.batches, self.given, strict=True):
            self._place_random(local, given)
        derived, terms = self._expressions()
        return Problem(
            model=model,
            coords=self.coords,
            env=self.env,
            latents=self.latents,
            factors=tuple(self.factors),
            derived=derived,
            derived_later=self._later(derived, self.batches[1:]),
            potentials={n: e for n, e in terms.items() if not model.terms[n].is_condition},
            conditions={n: e for n, e in terms.items() if model.terms[n].is_condition},
            observations=tuple(self.observations),
            batch_coords=tuple(local.labels for local in self.batches),
            cell_labels=self.cell_labels,
        )

    # ---- columns ------------------------------------------------------------------------------------------------
    def _place_columns(self, local: Batch, given: Mapping[str, Given]) -> None:
        self._check_all_or_none(local, given)
        for column in self.model.columns.values():
            self._place_column(local, given, column)

    def _check_all_or_none(self, local: Batch, given: Mapping[str, Given]) -> None:
        if is_summary(given):
            return
        random = self.model.random.values()
        absent = [r.name for r in random if r.observed and r.name not in given]
        present = [r.name for r in random if r.observed and r.name in given]
        if absent and (present or local.number) and not self._draws(local):
            got = f"data for {', '.join(repr(n) for n in present)} alone" if present else "no observations"
            raise DataError(
                f"The observed variable '{absent[0]}' must have data. Got {got}. "
                "Give all observations, or none at all for the prior."
            )
        known = [r.name for r in random if not r.observed and r.name in given]
        if known and local.number:
            raise DataError(
                f"Data of an update must be new observations. Got a value for the latent '{known[0]}'. "
                "Give it to condition, before any update."
            )

    def _place_column(self, local: Batch, given: Mapping[str, Given], column: DataColumn | IndexColumn) -> None:
        name, variable = column.name, column.variable
        if name not in given:
            if local.number and self._holds_again(local, variable):
                local.localise(variable)
            elif self._is_needed(name, local, given) and not is_summary(given):
                raise DataError(
                    f"The data '{name}' must be given. Got {', '.join(repr(n) for n in sorted(given)) or 'nothing'}. "
                    f"Add '{name}' to the data, with {f'dims {variable.dims}' if variable.dims else 'one number'}."
                )
            return
        kept = self.kept[local.number]
        if ("column", name) not in kept:
            kept["column", name] = checked_column(local, column, given[name])
        self._bind_name(local, variable.name, kept["column", name])

    def _holds_again(self, local: Batch, variable: Variable) -> bool:
        """Whether a column of an earlier batch serves this one too: it bears dims of latents alone."""
        earlier = any(variable.name in g for g in self.given[: local.number])
        return earlier and set(variable.dims) <= self.shared and variable.into not in local.codes

    def _draws(self, local: Batch) -> bool:
        """Whether what a batch does not observe is unknown there; else it is not there."""
        return self.draw_observed and local.number == len(self.given) - 1

    def _is_needed(self, name: str, local: Batch, given: Mapping[str, Given]) -> bool:
        """Whether anything that will be in the problem depends on a column."""
        random = self.model.random.values()
        prior_only = not self._draws(local) and not any(r.observed and r.name in given for r in random)
        users = [e for r in random if not (r.observed and prior_only) for e in r.parameters]
        users += [t.expression for t in self.model.terms.values()]
        if not prior_only:
            users += [d.expression for d in self.model.derivations.values()]
        return any(name in e.variables for e in users)

    def _bind_name(self, local: Batch, name: str, array: Array) -> None:
        statement = self.model.columns.get(name) or self.model.random[name]
        self.env[local.bound_name(statement.variable, array)] = array[np.newaxis]

    def _merge_columns(self, reused: Collection[str]) -> frozenset[str]:
        """Put together columns that priors need, or batches that come without them, from those that brought them."""
        users = [e for r in self.model.random.values() if not r.observed for e in r.parameters]
        users += [d.expression for d in self.model.derivations.values()]
        users += [t.expression for t in self.model.terms.values()]
        wanted = {n for e in users for n in e.variables} | set(reused)
        absent = [n for n in self.model.columns if n in wanted and n not in self.env]
        merged = frozenset(n for n in absent if any(n in g for g in self.given))
        for name in merged:
            self.env[name] = merged_column(self.model.columns[name], self.batches, self.env, self.coords)[np.newaxis]
        return merged

    # ---- random variables ---------------------------------------------------------------------------------------
    def _place_random(self, local: Batch, given: Mapping[str, Given]) -> None:
        for statement in self.model.random.values():
            if statement.name in given:
                self._place_observation(local, statement, given[statement.name])
            elif statement.observed:
                if self._draws(local) and not is_summary(given):
                    self._place_unobserved(local, statement)
                continue
            elif local.number == 0:
                self._place_latent(statement)
            if not statement.observed:
                local.localise(statement.variable)

    def _factor(self, local: Batch, statement: RandomVariable, value: Expression) -> Factor:
        for d in dict.fromkeys(d for lay in (statement.dims, *statement.layouts) for d in lay):
            if d not in local.labels:
                raise DataError(
                    f"The size of the dim '{d}' of '{statement.name}' must be known. Got no data that bear it. "
                    f'Give its labels: bk.Model(coords={{"{d}": [...]}}).'
                )
        parameters = []
        for written in statement.parameters:
            rowed = with_known_grams(written, lambda design: self._all_rows(statement.name, design))
            parameters.append(self.localised(statement.name, rowed, local))
            unknown = sorted(parameters[-1].variables - self.env.keys() - self.latents.keys())
            if unknown:
                raise DataError(
                    f"'{unknown[0]}', on which '{statement.name}' depends, must have a value for every label. "
                    "Got none. Give its data too."
                )
        return Factor(
            statement.name, statement.distribution, value, tuple(parameters), statement.layouts, statement.plates,
            statement.event, local.sizes,
        )  # fmt: skip

    def localised(self, name: str, written: Expression, local: Batch) -> Expression:
        """Return an expression of a statement as a function of what its names and arrays stand for in a batch."""
        return self._align(name, written, local).substitute(local.names)

    def _all_rows(self, name: str, design: Expression) -> Array | None:
        """Return the rows of a design in all batches of data, for a prior scaled by them; None where unknown."""
        batches = self.batches if design.variables else self.batches[:1]
        each = [self._align(name, design, local).substitute(local.names) for local in batches]
        if not all(e.variables <= self.env.keys() for e in each):
            return None
        return np.concatenate([e.evaluate(self.env)[0] for e in each])

    def _align(self, name: str, written: Expression, local: Batch) -> Expression:
        return align_constants(name, written, local.labels, self.batches[0].labels.among(self.shared))

    def _place_latent(self, statement: RandomVariable) -> None:
        factor = self._factor(self.whole, statement, statement.variable)
        self._check_expressions(statement, self.whole)
        check_parameters(factor, self.env, self.whole)
        shape = tuple(self.coords.size(d) for d in statement.dims)
        self.latents[statement.name] = Latent(statement.name, statement.variable, shape, factor)
        self.factors.append(factor)

    def _place_unobserved(self, local: Batch, statement: RandomVariable) -> None:
        """Make an observed variable without data an unknown of its batch."""
        name, variable = statement.name, statement.variable
        if local.number:
            name = f"{name}@{local.number}"
            variable = Variable(name, variable.dims, integer=variable.integer, into=variable.into)
            local.names[statement.name] = variable
        self._check_expressions(statement, local)
        factor = self._factor(local, statement, variable)
        check_parameters(factor, self.env, local)
        self.latents[name] = Latent(name, variable, tuple(local.sizes[d] for d in statement.dims), factor)
        self.factors.append(factor)

    def _check_expressions(self, statement: RandomVariable, local: Batch) -> None:
        for written in statement.parameters:
            check_indices(statement.name, written, self.env, local)

    def _place_observation(self, local: Batch, statement: RandomVariable, given: Given) -> None:
        kept = self.kept[local.number].setdefault(("observed", statement.name), {})
        if "values" not in kept:
            kept["values"] = checked_values(local, statement, given)
        array, open_, found = kept["values"]
        counts = found.counts if statement.distribution.discrete else None
        values = array if counts is None else counts
        whole = self._factor(local, statement, Constant(values, statement.dims))
        if "ends" not in kept:
            self._check_expressions(statement, local)
            check_parameters(whole, self.env, local)
            check_support(whole, self.env, array, open_, found, local.labels)
            kept["ends"] = found.low, found.high
        known: Factor | None = whole
        if found.missing:
            if "open" not in kept:
                kept["open"] = open_cells(local, statement, array, open_)
            known = self._place_partly(local, statement, whole, kept["open"])
        else:
            self._bind_name(local, statement.name, values)
            self.factors.append(whole)
        self.observations.append(Observation(statement.name, whole, values, open_, known, kept))

    def _place_partly(self, local: Batch, statement: RandomVariable, whole: Factor, cells: Cells) -> Factor | None:
        """Split an observation with missing entries into its known cells, which are returned, and a latent."""
        split = split_missing(local, statement, whole, cells, self.model)
        self.factors += split.factors
        self.latents[split.latent.name] = split.latent
        self.cell_labels[split.dim] = split.cell_labels
        self.coords.number(split.dim, split.latent.size)
        local.names[statement.name] = split.completed
        if local.number == 0:
            self.whole.names[statement.name] = split.completed
        return split.factors[0] if len(split.factors) > 1 else None

    # ---- derived quantities and terms ---------------------------------------------------------------------------
    def _expressions(self) -> tuple[dict[str, Expression], dict[str, Expression]]:
        """What of the derived quantities and the terms can be computed: all, or where nothing is observed, some."""
        derived: dict[str, Expression] = {}
        terms: dict[str, Expression] = {}
        stated = [(d.name, d.expression, derived) for d in self.model.derivations.values()]
        stated += [(t.name, t.expression, terms) for t in self.model.terms.values()]
        for name, written, found in stated:
            check_indices(name, written, self.env, self.whole)
            aligned = self.localised(name, written, self.whole)
            if aligned.variables <= self.env.keys() | self.latents.keys():
                found[name] = aligned
        return derived, terms

    def _later(self, derived: Mapping[str, Expression], batches: Sequence[Batch]) -> dict[str, tuple[Expression, ...]]:
        """What derived quantities over dims of data alone are in later batches."""
        later: dict[str, tuple[Expression, ...]] = {}
        for name in derived:
            written = self.model.derivations[name].expression
            if set(written.dims) <= self.shared:
                continue
            each = [self.localised(name, written, local) for local in batches]
            known = self.env.keys() | self.latents.keys()
            later[name] = tuple(e for e in each if e.variables <= known)
        return later
