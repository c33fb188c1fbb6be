"""A model as its statements, in the order they were written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from bayeskit.distributions import Distribution
from bayeskit.errors import BayeskitError, DataError, RefusedError
from bayeskit.expressions import Expression
from bayeskit.model.declaration.arrays import array_from_json, array_to_json
from bayeskit.model.declaration.distributions import expressions_in, read_distribution, write_distribution
from bayeskit.model.declaration.expressions import ExpressionReader, ExpressionWriter
from bayeskit.model.model import Model
from bayeskit.model.statements import DataColumn, DensityTerm, Derived, IndexColumn, RandomVariable

__all__ = ["VERSION", "checked_dict", "model_from_dict", "model_to_dict"]

VERSION = 1
Statement = DataColumn | IndexColumn | RandomVariable | Derived | DensityTerm


def model_to_dict(model: Model, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return a model as a dictionary that JSON can hold; with ``names``, the statements of these names alone.

    Raises
    ------
    RefusedError
        Where a distribution or a function in an expression is not one of bayeskit, NumPy or SciPy.

    Examples
    --------
    >>> import bayeskit as bk
    >>> import numpy as np
    >>> m = bk.Model()
    >>> rate = m.latent("rate", bk.Gamma(2, 1))
    >>> _ = m.derived("log_rate", np.log(rate))
    >>> for statement in model_to_dict(m)["statements"]:
    ...     print(statement)
    {'latent': 'rate', 'dims': [], 'distribution': {'family': 'Gamma', 'parameters': {'alpha': 2, 'beta': 1}}}
    {'derived': 'log_rate', 'expression': {'op': 'log', 'args': ['rate']}}
    """
    statements = [s for s in model.statements() if names is None or s.name in names]
    writer = ExpressionWriter(e for s in statements for e in _expressions_of(s))
    written: dict[str, Any] = {"version": VERSION}
    if model.coords:
        written["coords"] = {d: array_to_json(labels) for d, labels in model.coords.items()}
    if writer.shared:
        written["shared"] = writer.shared
    return {**written, "statements": [_write_statement(s, writer) for s in statements]}


def _expressions_of(statement: Statement) -> Iterator[Expression]:
    if isinstance(statement, RandomVariable):
        yield from expressions_in(statement.distribution)
    elif isinstance(statement, Derived | DensityTerm):
        yield statement.expression


def _write_statement(statement: Statement, writer: ExpressionWriter) -> dict[str, Any]:
    name = statement.name
    if isinstance(statement, DataColumn):
        return {"data": name, "dims": list(statement.variable.dims)}
    if isinstance(statement, IndexColumn):
        return {"index": name, "dims": list(statement.variable.dims), "into": statement.into}
    if isinstance(statement, RandomVariable):
        verb = "observed" if statement.observed else "latent"
        distribution = write_distribution(statement.distribution, writer)
        return {verb: name, "dims": list(statement.dims), "distribution": distribution}
    written = {"expression": writer.write(statement.expression)}
    if isinstance(statement, DensityTerm):
        return {"require": name, **written} if statement.is_condition else {"factor": name, **written}
    return {"derived": name, **written}


def checked_dict(model: Model, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return a model as `model_to_dict` does, having read it back: what came back as something else is refused.

    Raises
    ------
    RefusedError
        Where a statement would not come back as it is.
    """
    written = model_to_dict(model, names)
    again = model_from_dict(written)
    for name, found in again.random.items():
        own = model.random[name]
        if type(found.distribution) is not type(own.distribution) or _laid(found) != _laid(own):
            raise RefusedError(f"'{name}' ~ {own.distribution} cannot be saved, for it would come back changed.")
    if model_to_dict(again) != written:
        raise RefusedError("The model cannot be saved, for it would come back changed.")
    return written


def _laid(statement: RandomVariable) -> tuple[Any, ...]:
    variable = statement.variable
    return statement.plates, statement.event, statement.layouts, variable.into, variable.integer


def model_from_dict(written: Mapping[str, Any]) -> Model:
    """Return the model that a dictionary of `model_to_dict` states.

    Raises
    ------
    DataError
        Where it is of a later version, names a statement, family or operation that is not known, or lacks something.
    """
    version = written.get("version") if isinstance(written, Mapping) else None
    if isinstance(version, bool) or not isinstance(version, int) or version > VERSION:
        raise DataError(
            f"A model to be read must be of format version {VERSION} or earlier. Got {version!r}. Update bayeskit."
        )
    at = "coords"
    try:
        model = Model({d: array_from_json(labels) for d, labels in written.get("coords", {}).items()})
        reader = ExpressionReader(_variables_of(model), written.get("shared", {}))
        for number, statement in enumerate(written["statements"], start=1):
            at = f"statement {number}"
            _read_statement(model, statement, reader)
    except BayeskitError:
        raise
    except Exception as error:  # whatever a dictionary that was cut or edited by hand leads to
        raise DataError(
            f"A model to be read must be one that was written. Got one that cannot be understood at {at} "
            f"({type(error).__name__}: {error}). Check how it was made."
        ) from error
    return model


def _variables_of(model: Model) -> Callable[[str], Expression]:
    def variable(name: str) -> Expression:
        statement = model.columns.get(name) or model.random.get(name)
        if statement is None:
            raise DataError(f"A variable must be declared before it is used. Got '{name}', which was not.")
        return statement.variable

    return variable


def _read_statement(model: Model, written: Mapping[str, Any], reader: ExpressionReader) -> None:
    verb, name = next(iter(written.items()))
    if verb == "data":
        model.data(name, dims=written["dims"])
    elif verb == "index":
        model.index(name, dims=written["dims"], into=written["into"])
    elif verb in ("latent", "observed"):
        distribution: Distribution = read_distribution(written["distribution"], reader)
        getattr(model, verb)(name, distribution, dims=written["dims"])
    elif verb == "derived":
        model.derived(name, reader.read(written["expression"]))
    elif verb == "factor":
        model.factor(name, reader.read(written["expression"]))
    elif verb == "require":
        model.require(reader.read(written["expression"]))
    else:
        raise DataError(f"A statement must be one that bayeskit knows. Got '{verb}'. Update bayeskit.")
