"""One batch of data while it is bound, and what is put together from several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.structure import Index
from bayeskit.model.labels import Coords, Factorized, encode, keys
from bayeskit.model.reading import Given, GivenData
from bayeskit.model.statements import DataColumn, IndexColumn

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


class Batch:
    """One batch: its labels and sizes, and what the names of the model stand for in it.

    Parameters
    ----------
    number : int
        0 for the first.
    labels : Coords
        The labels of every dim in this batch.
    coords : Coords
        The labels over all batches.
    shared : set of str
        Dims that are matched by label between batches.
    """

    def __init__(self, number: int, labels: Coords, coords: Coords, shared: set[str]) -> None:
        self.number, self.labels = number, labels
        self.sizes = {d: labels.size(d) for d in labels}
        self.names: dict[str, Expression] = {}
        self.reused: set[str] = set()
        self.codes = {
            d: encode(d, Factorized(labels[d]), coords[d])
            for d in shared
            if d in labels and not labels.agree(coords, d)
        }

    def bound_name(self, variable: Variable, array: Array) -> str:
        """Return the name under which this batch's values of a column are kept."""
        if self.number == 0 and not self.codes.keys() & {*variable.dims, variable.into}:
            return variable.name
        name = f"{variable.name}@{self.number}"
        self.names[variable.name] = Variable(name, variable.dims, integer=array.dtype.kind == "i", into=variable.into)
        return name

    def localise(self, variable: Variable) -> None:
        """Read a global quantity at the labels that this batch bears."""
        if variable.name in self.names:
            return
        self.reused.add(variable.name)
        here: dict[str, Expression] = {d: Constant(c, (d,)) for d, c in self.codes.items() if d in variable.dims}
        if here:
            self.names[variable.name] = Index(variable, here)


def merged_column(
    column: DataColumn | IndexColumn, batches: Sequence[Batch], env: Mapping[str, Array], coords: Coords
) -> Array:
    """Return a column over the labels of all batches, put together from theirs."""
    dims = column.variable.dims
    whole = np.zeros(tuple(len(coords[d]) for d in dims))
    filled = np.zeros(whole.shape, dtype=bool)
    integer = True
    for batch in batches:
        bound = batch.names.get(column.name)
        if not isinstance(bound, Variable) or any(d not in batch.labels for d in dims):
            continue
        values = env[bound.name][0]
        if isinstance(column, IndexColumn) and column.into in batch.codes:
            values = batch.codes[column.into][values]
        where = np.ix_(*(batch.codes.get(d, np.arange(len(coords[d]))) for d in dims))
        whole[where], filled[where] = values, True
        integer = integer and values.dtype.kind == "i"
    if not filled.all():
        place = np.unravel_index(int(np.argmin(filled)), filled.shape)
        at = ", ".join(f"{d}={keys(coords[d][i : i + 1])[0]!r}" for d, i in zip(dims, place, strict=True))
        raise DataError(
            f"The data '{column.name}' must be given for every label, for priors depend on it. Got none for {at}. "
            f"Give '{column.name}' with the batch that brings the label."
        )
    return whole.astype(np.int64) if integer else whole


def statements(model: Model) -> tuple[int, ...]:
    """Count the statements of a model: more may be made, none taken back."""
    return tuple(len(s) for s in (model.columns, model.random, model.derivations, model.terms))


def kept_with(model: Model, given: Mapping[str, Given], before: dict[Any, Any] | None) -> dict[Any, Any]:
    """Return what earlier bindings found out about a batch, if it came after the same batch of the same model."""
    if not isinstance(given, GivenData) or (before is not None and "id" not in before):
        return {}
    kept, after = given.kept, None if before is None else before["id"]
    if kept.get("model") is not model or kept["statements"] != statements(model) or kept["after"] is not after:
        kept.clear()
        kept.update(id=object(), model=model, statements=statements(model), after=after)
    return kept
