"""What a user may write as a parameter: reading, validating, comparing and printing the values.

Expressions and DataArrays are recognised without importing their modules: where the module was never imported,
no instance of it can exist.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np

from bayeskit.distributions.domains import Array, Parameter
from bayeskit.errors import ParameterError

__all__ = [
    "event_dims",
    "is_bare_matrix",
    "is_dataarray",
    "is_expression",
    "read_value",
    "same_value",
    "show_value",
    "validate_value",
]

EVENT_DIMS = ("event", "event_")


def is_expression(value: Any) -> bool:
    """Whether a value is an Expression, that is, depends on variables of a model."""
    nodes = sys.modules.get("bayeskit.expressions.nodes")
    return nodes is not None and isinstance(value, nodes.Expression)


def is_dataarray(value: Any) -> bool:
    """Whether a value is an xarray.DataArray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def is_bare_matrix(value: Any) -> bool:
    """Whether a value is a matrix of numbers whose axes bear no names."""
    return not is_expression(value) and not is_dataarray(value) and np.ndim(value) == 2


def read_value(value: Any, parameter: Parameter, family: str) -> Any:
    """Turn what the user wrote into a number, a read-only array, a DataArray or an Expression.

    Raises
    ------
    ParameterError
        Where it is none of them, or an array that bears no dims and is not one event.
    """
    if is_expression(value) or is_dataarray(value):
        return value
    if isinstance(value, Number) and not isinstance(value, np.ndarray):
        if isinstance(value, complex):
            raise ParameterError(f"Parameter '{parameter.name}' of {family} must be a real number. Got {value!r}.")
        return value.item() if isinstance(value, np.generic) else value
    try:
        array = np.array(value)
        numeric = array.dtype.kind in "biuf"
    except (TypeError, ValueError):
        numeric = False
    if not numeric:
        raise ParameterError(
            f"Parameter '{parameter.name}' of {family} must be a number, a DataArray or an expression of model "
            f"variables. Got {type(value).__name__} {value!r}."
        )
    if array.ndim == 0:
        return array.item()
    if array.ndim != parameter.event_ndim:
        wanted = ("a scalar", "a scalar or one row of numbers", "one matrix")[min(parameter.event_ndim, 2)]
        raise ParameterError(
            f"Parameter '{parameter.name}' of {family} must be {wanted}. Got an array of shape {array.shape} without "
            "names for its axes. Use m.data to name its dims in a model, or an xarray.DataArray."
        )
    array.flags.writeable = False
    return array


def validate_value(value: Any, parameter: Parameter, family: str) -> None:
    """Refuse numbers outside the domain of their parameter; expressions pass, they are checked when values come.

    Raises
    ------
    ParameterError
        One sentence with the first offending value and its labels, and the parameter's advice.
    """
    if is_expression(value):
        return
    array = np.asarray(value.values if is_dataarray(value) else value)
    if array.dtype.kind not in "biuf":
        raise ParameterError(f"Parameter '{parameter.name}' of {family} must hold numbers. Got dtype {array.dtype}.")
    array = array.astype(float, copy=False)
    if is_dataarray(value) and array.ndim < parameter.event_ndim:
        raise ParameterError(
            f"Parameter '{parameter.name}' of {family} must have at least {parameter.event_ndim} dims, the last of "
            f"them its event. Got dims {value.dims}."
        )
    if array.ndim < parameter.event_ndim:
        array = array.reshape(array.shape + (1,) * (parameter.event_ndim - array.ndim))
    bad = parameter.invalid(array)
    if not np.any(bad):
        return
    where = np.unravel_index(int(np.argmax(bad)), np.shape(bad)) if np.ndim(bad) else ()
    got = array[where] if where else array
    shown = show_value(got.item() if np.size(got) == 1 else got)
    place = _labels(value, where)
    raise ParameterError(
        f"Parameter '{parameter.name}' of {family} must be {parameter.domain.text}. Got {shown}{place}."
        + (f" {parameter.advice}" if parameter.advice else "")
    )


def _labels(value: Any, where: tuple[Any, ...]) -> str:
    """Say at which labels a cell of a DataArray lies."""
    if not is_dataarray(value) or not where:
        return ""
    parts = []
    for dim, index in zip(value.dims, where, strict=False):
        label = value.coords[dim].values[index] if dim in value.coords else index
        parts.append(f"{dim}={label.item()!r}" if isinstance(label, np.generic) else f"{dim}={int(label)}")
    return " at " + ", ".join(parts)


def event_dims(value: Any, event_ndim: int) -> tuple[str, ...]:
    """Names of the event dims that a parameter's value bears: the last ones."""
    if event_ndim == 0:
        return ()
    if is_dataarray(value) or is_expression(value):
        dims = tuple(value.dims)
        return dims[-event_ndim:] if len(dims) >= event_ndim else ()
    return EVENT_DIMS[:event_ndim] if np.ndim(value) == event_ndim else ()


def same_value(a: Any, b: Any) -> bool:
    """Whether two parameter values are the same. Expressions are compared by identity, for ``==`` may build one."""
    if a is b:
        return True
    if is_expression(a) or is_expression(b):
        return False
    if is_dataarray(a) or is_dataarray(b):
        return is_dataarray(a) and is_dataarray(b) and bool(a.identical(b) or a.equals(b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))
    return bool(a == b)


def show_value(value: Any) -> str:
    """Print a value of a parameter as a reader would write it.

    Examples
    --------
    >>> show_value(np.array([1.0, 2.5]))
    '[1.0, 2.5]'
    >>> show_value(np.float64(0.5))
    '0.5'
    """
    if is_dataarray(value):
        if value.ndim == 0:
            return show_value(value.values[()])
        return "<" + ", ".join(f"{dim}: {size}" for dim, size in value.sizes.items()) + ">"
    if isinstance(value, np.ndarray):
        return _show_array(value)
    if isinstance(value, np.generic):
        value = value.item()
    text = str(value)
    return f"{value:.8g}" if isinstance(value, float) and len(text) > 12 else text


def _show_array(value: Array) -> str:
    if value.ndim == 0:
        return show_value(value[()])
    rows: Iterable[Any] = value if len(value) <= 6 else value[:3]
    parts = [show_value(row) for row in rows]
    if len(value) > 6:
        parts += ["...", show_value(value[-1])]
    return "[" + ", ".join(parts) + "]"
