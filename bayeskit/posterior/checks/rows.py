"""Which observed rows belong together: each on its own, or by the labels of a dim or of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.expressions import aligner
from bayeskit.model.problem import Factor, Observation, Problem
from bayeskit.model.statements import IndexColumn
from bayeskit.posterior.labels import Group, append, own_dims

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
By = str | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Target:
    """The rows of one factor, and the group of each: ``(rows,)``, in the order of its plates."""

    factor: Factor
    group: Array


@dataclass(frozen=True, eq=False)
class Groups:
    """Observed rows in groups.

    Attributes
    ----------
    problem : Problem
        The problem row by row.
    targets : tuple of Target
        The rows, factor by factor.
    count : int
        How many groups there are.
    names : tuple of str
        What the groups are told apart by; empty where every row is its own.
    labels : mapping
        The label of every group, by name.
    """

    problem: Problem
    targets: tuple[Target, ...]
    count: int
    names: tuple[str, ...]
    labels: Mapping[str, Array]

    def group_of(self, factor: Factor) -> Array | None:
        """Return the groups of a factor's rows; None where it is none of the targets."""
        return next((t.group for t in self.targets if t.factor is factor), None)

    def labelled(self, values: Array) -> xr.DataArray:
        """Return a number of every group with labels: over the dims of the rows, or over the groups' own."""
        import xarray as xr

        if not self.names:
            return self.over_rows(values)
        if len(self.names) == 1:
            (name,) = self.names
            return xr.DataArray(values, dims=[name], coords={name: self.labels[name]})
        coords = {n: ("group", labels) for n, labels in self.labels.items()}
        return xr.DataArray(values, dims=["group"], coords=coords)

    def over_rows(self, values: Array) -> xr.DataArray:
        """Return each row's group's number over the dims that ``log_likelihood`` of the draws has."""
        import xarray as xr

        held: Group = {}
        grown: dict[str, Array] = {}
        for t in self.targets:
            f = t.factor
            append(self.problem, held, grown, f.name, f.plates, f.plates, values[t.group].reshape(f.shape))
        name = self.targets[0].factor.name
        if len(held) > 1:
            return xr.DataArray(values, dims=[f"{name}_row"], name=name)
        coords = {d: self.problem.coords[d] for d in self.problem.coords if d in held[name][0]} | grown
        ((dims, array),) = own_dims(held, coords).values()
        return xr.DataArray(array, dims=dims, coords={d: coords[d] for d in dims if d in coords}, name=name)


def group_rows(problem: Problem, by: By, var_name: str | None, *, whole: bool = False) -> Groups:
    """Put the observed rows in groups.

    Parameters
    ----------
    problem : Problem
        The problem row by row.
    by : str or sequence of str, optional
        Dims of the observations, or columns that run along them; None for every row on its own.
    var_name : str, optional
        The observed variable whose rows are meant; by default the only one, or with ``by`` all of them.
    whole : bool
        Whether open entries count as rows too.
    """
    chosen = _chosen(problem, by, var_name)
    if not whole:
        _check_known(problem, chosen)
    known = [o.factor if whole or o.known is None else o.known for _, o in chosen]
    if by is None:
        sizes = [int(np.prod(f.shape, dtype=int)) for f in known]
        starts = np.cumsum([0, *sizes])
        targets = [Target(f, s + np.arange(n)) for f, s, n in zip(known, starts[:-1], sizes, strict=True)]
        return Groups(problem, tuple(targets), int(starts[-1]), (), {})
    names = (by,) if isinstance(by, str) else tuple(by)
    if not names:
        raise DataError("by must name at least one dim or column. Got none. Leave it out for every row on its own.")
    codes, levels = zip(*(_codes(problem, name, chosen, whole) for name in names), strict=True)
    flat: Array = np.zeros(sum(len(c) for c in codes[0]), dtype=np.int64)
    for code, level in zip(codes, levels, strict=True):
        flat = flat * len(level) + np.concatenate(code)
    present, group = np.unique(flat, return_inverse=True)
    places = np.unravel_index(present, [len(level) for level in levels])
    labels = {n: level[p] for n, level, p in zip(names, levels, places, strict=True)}
    ends = np.cumsum([len(c) for c in codes[0]])[:-1]
    targets = [Target(f, g) for f, g in zip(known, np.split(group, ends), strict=True)]
    return Groups(problem, tuple(targets), len(present), names, labels)


def _chosen(problem: Problem, by: By, var_name: str | None) -> list[tuple[int, Observation]]:
    """Return the observations that are meant, each with the number of its batch."""
    observed = [n for n, r in problem.model.random.items() if r.observed]
    seen: dict[str, int] = dict.fromkeys(observed, 0)
    numbered = []
    for o in problem.observations:
        if o.name in seen:
            numbered.append((seen[o.name], o))
            seen[o.name] += 1
    if not numbered:
        raise RefusedError("Nothing is observed, so that there are no rows to check. Give condition() observations.")
    if var_name is not None and var_name not in observed:
        raise RefusedError(f"var_name must be one of {', '.join(map(repr, observed))}. Got {var_name!r}.")
    if var_name is None and by is None and len(observed) > 1:
        raise RefusedError(
            f"The model observes {', '.join(map(repr, observed))}: which rows are meant must be said. Got no var_name. "
            f"Give var_name='{observed[0]}', or by= to take all rows of one label together."
        )
    return [(b, o) for b, o in numbered if var_name in (None, o.name)]


def _check_known(problem: Problem, chosen: list[tuple[int, Observation]]) -> None:
    """Refuse rows without a density of their own, and rows that others are conditioned on."""
    for _, o in chosen:
        if o.known is None:
            raise RefusedError(
                f"The rows of '{o.name}' have no density one by one: its vectors are known in part, or not at all. "
                "Leave the incomplete rows out of the data."
            )
    names = {o.name for _, o in chosen}
    for factor in problem.factors:
        for name in names:
            if any(v == name or v.startswith(f"{name}@") for v in factor.variables):
                raise RefusedError(
                    f"The rows of '{name}' cannot be left out: '{factor.name}' is conditioned on them, and would have "
                    "no density without. Check the rows of the last variable of the chain."
                )


def _codes(
    problem: Problem, name: str, chosen: list[tuple[int, Observation]], whole: bool
) -> tuple[list[Array], Array]:
    """Return the codes of every observation's rows, and the labels they point to."""
    found = [_labels(problem, name, number, o, chosen) for number, o in chosen]
    if not whole:
        found = [
            a if o.known is o.factor else a[~np.asarray(o.is_missing).reshape(-1)]
            for a, (_, o) in zip(found, chosen, strict=True)
        ]
    if name in problem.model.columns:
        column = problem.model.columns[name]
        known = problem.coords.get(column.into) if isinstance(column, IndexColumn) else None
    else:
        known = problem.coords.get(name)
    every = np.concatenate(found)
    if known is None or len(known) <= 0 or not np.isin(every, known).all():
        known = np.unique(every)
    order = np.argsort(known, kind="stable")
    return [order[np.searchsorted(known, labels, sorter=order)] for labels in found], np.asarray(known)


def _labels(problem: Problem, name: str, number: int, o: Observation, chosen: list[tuple[int, Observation]]) -> Array:
    """Return the label of every row of one observation."""
    factor, coords = o.factor, problem.batch_coords[number]
    column = problem.model.columns.get(name)
    dims: tuple[str, ...]
    if name in factor.plates:
        labels, dims = coords[name] if name in coords else np.arange(factor.sizes[name]), (name,)
        borne = {d for latent in problem.latents.values() for d in latent.variable.dims}
        if name not in borne and len(problem.batch_coords) > 1:  # the rows of later batches are appended
            before = [e.factor.sizes[name] for b, e in chosen if e.name == o.name and b < number]
            labels = sum(before) + np.arange(factor.sizes[name])
    elif column is not None and set(column.variable.dims) <= set(factor.plates):
        bound = f"{name}@{number}"
        values = problem.env[bound if bound in problem.env else name][0]
        dims = column.variable.dims
        labels = coords[column.into][values] if isinstance(column, IndexColumn) else values
    else:
        columns = [n for n, c in problem.model.columns.items() if set(c.variable.dims) <= set(factor.plates)]
        raise DataError(
            f"by must name dims of '{o.name}', which are {list(factor.plates)}, or columns along them, which are "
            f"{columns}. Got {name!r}."
        )
    laid = aligner(dims, factor.plates)(np.asarray(labels)[None])[0]
    return np.broadcast_to(laid, factor.shape).reshape(-1)
