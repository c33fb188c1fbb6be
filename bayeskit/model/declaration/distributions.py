"""Distributions as their family's name and what its constructor was given: nothing here knows any family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayeskit import distributions
from bayeskit.distributions import Distribution, elementary
from bayeskit.distributions.parameters import is_dataarray
from bayeskit.errors import DataError, RefusedError
from bayeskit.expressions import Constant, Expression
from bayeskit.model.declaration.arrays import array_from_json, array_to_json, scalar_from_json, scalar_to_json
from bayeskit.model.declaration.expressions import ExpressionReader, ExpressionWriter

__all__ = ["expressions_in", "read_distribution", "write_distribution"]


def expressions_in(value: Any) -> Iterator[Expression]:
    """Yield every expression that a distribution was given, those of distributions within it too."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, Distribution):
        args, keywords = value._arguments()
        for part in (*args, *keywords.values()):
            yield from expressions_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from expressions_in(part)


def write_distribution(distribution: Distribution, writer: ExpressionWriter) -> dict[str, Any]:
    """Return a distribution as its family and the arguments of its constructor.

    Raises
    ------
    RefusedError
        Where its family is not a public one of bayeskit, or an argument is of an unknown kind.
    """
    family = _name_of(distribution)
    args, keywords = distribution._arguments()
    written: dict[str, Any] = {"family": family}
    if args:
        written["arguments"] = [_write_value(v, writer) for v in args]
    return {**written, "parameters": {n: _write_value(v, writer) for n, v in keywords.items()}}


def _name_of(distribution: Distribution) -> str:
    """Return the name under which a distribution is made: that of its class, or of the family of which it is a form."""
    own = type(distribution)
    if _named_family(own.__name__) is own:
        return own.__name__
    found = _named_family(distribution.family)
    if found is None or not isinstance(distribution, found) or not own.__module__.startswith("bayeskit."):
        raise RefusedError(
            f"A distribution must be of one of bayeskit's public families to be saved. Got {distribution}, of class "
            f"{own.__name__}. Write it with those."
        )
    return distribution.family


def _write_value(value: Any, writer: ExpressionWriter) -> Any:
    if isinstance(value, Distribution):
        return write_distribution(value, writer)
    if isinstance(value, Constant) and not value.dims:
        return {"constant": writer.write(value)}  # a number that was made an expression stays one
    if isinstance(value, Expression):
        return writer.write(value)
    if isinstance(value, np.ndarray):
        return {"array": array_to_json(value)}
    if is_dataarray(value):
        coords = {str(n): [[str(d) for d in c.dims], array_to_json(c.values)] for n, c in value.coords.items()}
        return {"labelled": array_to_json(value.values), "dims": [str(d) for d in value.dims], "coords": coords}
    if isinstance(value, elementary.Step):
        return {"step": type(value).__name__, **{n: _write_value(v, writer) for n, v in vars(value).items()}}
    if isinstance(value, list | tuple):
        return [_write_value(v, writer) for v in value]
    return {"text": str(value)} if isinstance(value, str) else scalar_to_json(value)


def read_distribution(written: Mapping[str, Any], reader: ExpressionReader) -> Distribution:
    """Return a distribution that `write_distribution` wrote.

    Raises
    ------
    DataError
        Where its family, or an operation in an argument, is not known.
    """
    family = _named_family(written["family"])
    if family is None:
        raise DataError(
            f"A distribution must be of a family that bayeskit knows. Got '{written['family']}'. Update bayeskit."
        )
    args = [_read_value(v, reader) for v in written.get("arguments", ())]
    return family(*args, **{n: _read_value(v, reader) for n, v in written["parameters"].items()})


def _named_family(name: str) -> type[Distribution] | None:
    found = getattr(distributions, name) if name in distributions.__all__ else None
    return found if isinstance(found, type) and issubclass(found, Distribution) else None


def _read_value(written: Any, reader: ExpressionReader) -> Any:
    if isinstance(written, list):
        return [_read_value(v, reader) for v in written]
    if isinstance(written, str):
        return reader.read(written)
    if not isinstance(written, dict):
        return written
    if "family" in written:
        return read_distribution(written, reader)
    if "op" in written or "shared" in written:
        return reader.read(written)
    if "constant" in written:
        return reader.read(written["constant"])
    if "array" in written:
        return array_from_json(written["array"])
    if "labelled" in written:
        from xarray import DataArray

        coords = {n: (dims, array_from_json(a)) for n, (dims, a) in written["coords"].items()}
        return DataArray(array_from_json(written["labelled"]), dims=written["dims"], coords=coords)
    if "step" in written:
        return _read_step(written, reader)
    return written["text"] if "text" in written else scalar_from_json(written)


def _read_step(written: Mapping[str, Any], reader: ExpressionReader) -> elementary.Step:
    name = written["step"]
    found = getattr(elementary, name) if name in elementary.__all__ else None
    if not (isinstance(found, type) and issubclass(found, elementary.Step)):
        raise DataError(f"A monotone function must be one that bayeskit knows. Got '{name}'. Update bayeskit.")
    step: elementary.Step = found(**{n: _read_value(v, reader) for n, v in written.items() if n != "step"})
    return step
