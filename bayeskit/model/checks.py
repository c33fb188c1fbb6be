"""Checks at ``condition``: shapes, labels, supports and parameters, each refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from bayeskit.errors import DataError, ParameterError, SupportError
from bayeskit.expressions import Expression
from bayeskit.expressions.nodes import Constant
from bayeskit.expressions.printing import print_number
from bayeskit.expressions.structure import Index
from bayeskit.model.problem import Factor
from bayeskit.model.reading import Given

Array = np.ndarray


class Sized(Protocol):
    """What a check knows of a batch of data."""

    labels: Mapping[str, Array]
    sizes: dict[str, int]


def check_numbers(name: str, given: Given, dims: tuple[str, ...], local: Sized) -> Array:
    """Return numbers laid along the declared dims, in the order of the labels."""
    array = given.values
    if array.dtype.kind not in "biuf":
        bad = next((v for v in array.ravel().tolist() if not isinstance(v, int | float)), array.ravel()[0])
        raise DataError(f"The values of '{name}' must be numbers. Got {bad!r}. Declare labels with m.index.")
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    elif array.dtype.kind == "f":
        array = array.astype(float, copy=False)
    else:
        array = array.astype(np.int64, copy=False)
    if given.dims is not None:
        if set(given.dims) != set(dims):
            raise DataError(f"The dims of '{name}' must be {dims or 'none'}. Got {given.dims or 'none'}.")
        array = array.transpose([given.dims.index(d) for d in dims])
    if array.ndim != len(dims):
        raise DataError(
            f"The values of '{name}' must have {_dims_text(dims)}. Got an array of shape {array.shape}. "
            "Declare its dims in the model, or reshape it."
        )
    if array.size == 0:
        raise DataError(f"The values of '{name}' must not be empty. Got shape {array.shape}.")
    for axis, dim in enumerate(dims):
        labels = local.labels[dim]
        own = given.coords.get(dim)
        if own is not None and not np.array_equal(own, labels):
            array = _reordered(name, array, axis, dim, own, labels)
        if array.shape[axis] != len(labels):
            raise DataError(
                f"The values of '{name}' along '{dim}' must be {len(labels)}, one for each label. "
                f"Got {array.shape[axis]}."
            )
    return np.ascontiguousarray(array)


def _dims_text(dims: tuple[str, ...]) -> str:
    return f"dims {dims}" if dims else "no dims (one number)"


def _reordered(name: str, array: Array, axis: int, dim: str, own: Array, labels: Array) -> Array:
    place = {v: i for i, v in enumerate(own.tolist())}
    missing = [v for v in labels.tolist() if v not in place]
    if missing:
        raise DataError(f"The values of '{name}' along '{dim}' must cover every label. Got none for {missing[0]!r}.")
    return np.take(array, [place[v] for v in labels.tolist()], axis=axis)


def check_parameters(factor: Factor, env: Mapping[str, Array]) -> None:
    """Refuse parameters that are computed from data alone and lie outside their domain."""
    for parameter, expression in zip(factor.distribution.parameters, factor.parameters, strict=True):
        if isinstance(expression, Constant) or not expression.variables <= env.keys():
            continue
        value = expression.evaluate(env)
        event = parameter.event_ndim
        bad = np.asarray(parameter.invalid(value)) if value.ndim > event else np.zeros(1, dtype=bool)
        if bad.any():
            got = value[np.unravel_index(int(np.argmax(bad)), bad.shape)]
            raise ParameterError(
                f"The parameter {parameter.name} = {expression} of '{factor.name}' ~ {factor.distribution.family} "
                f"must be {parameter.domain.text}. Got {print_number(got)}. Check the data it is computed from."
            )


def check_support(factor: Factor, env: Mapping[str, Array], missing: Array, labels: Mapping[str, Array]) -> None:
    """Refuse observations outside the support of their distribution, as far as known parameters tell."""
    known = {
        p.name: e.evaluate(env)
        for p, e in zip(factor.distribution.parameters, factor.parameters, strict=True)
        if e.variables <= env.keys()
    }
    arrays = [
        lay(known[p.name]) if p.name in known else _stand_in(p.event_ndim, factor)
        for lay, p in zip(factor._aligners, factor.distribution.parameters, strict=True)
    ]
    x = factor.value_array(env)
    with np.errstate(all="ignore"):
        outside = _outside(factor, np.where(missing, 0.0, x) if missing.any() and factor.event else x, arrays)
    outside = np.broadcast_to(outside, (1, *factor.shape))[0]
    if not factor.event:
        outside = outside & ~missing
    elif missing.any():
        outside = outside & ~missing.any(axis=tuple(range(len(factor.plates), missing.ndim)))
    if outside.any():
        raise SupportError(_support_message(factor, x[0], outside, known, labels))


def _stand_in(event_ndim: int, factor: Factor) -> Array:
    """Return what stands for a parameter that is not known yet: NaN, which bounds nothing."""
    return np.full((1,) * (1 + len(factor.plates) + event_ndim), np.nan)


def _outside(factor: Factor, x: Array, arrays: list[Array]) -> Array:
    distribution = factor.distribution
    if factor.event:
        return np.asarray(distribution._outside(x, *arrays))
    lower, upper = distribution._bounds(*arrays)
    lower = np.where(np.isnan(lower), -np.inf, lower)
    upper = np.where(np.isnan(upper), np.inf, upper)
    outside = (x < lower) | (x > upper)
    return outside | (x != np.floor(x)) if distribution.discrete else outside


def _support_message(
    factor: Factor, x: Array, outside: Array, known: Mapping[str, Array], labels: Mapping[str, Array]
) -> str:
    place = np.unravel_index(int(np.argmax(outside)), outside.shape)
    where = ", ".join(f"{d}={labels[d][i]!r}" for d, i in zip(factor.plates, place, strict=True) if d in labels)
    details = []
    for p, e in zip(factor.distribution.parameters, factor.parameters, strict=True):
        if p.name in known and not isinstance(e, Constant) and p.event_ndim == 0:
            lay = factor._aligners[[q.name for q in factor.distribution.parameters].index(p.name)]
            value = np.broadcast_to(lay(known[p.name])[0], factor.shape)[place]
            details.append(f"{e} is {print_number(value)}")
    got = print_number(x[place])
    return (
        f"'{factor.name}' ~ {factor.distribution} must lie in {factor.distribution.support_text}. "
        f"Got {got}{' at ' + where if where else ''}{', where ' + ', '.join(details) if details else ''}."
    )


def check_indices(
    factors: Iterable[Factor], named: Iterable[tuple[str, Expression]], env: Mapping[str, Array]
) -> None:
    """Refuse index columns computed from data that point outside their table."""
    for factor in factors:
        for expression in factor.parameters:
            _check_indices(factor.name, expression, env, factor.sizes)


def _check_indices(name: str, node: Expression, env: Mapping[str, Array], sizes: Mapping[str, int]) -> None:
    if isinstance(node, Index):
        for dim, i in node.indices.items():
            if i.variables <= env.keys() and dim in sizes:
                codes: Any = i.evaluate(env)
                if not np.all(codes == np.floor(codes)) or codes.min() < 0 or codes.max() >= sizes[dim]:
                    bad = codes[(codes != np.floor(codes)) | (codes < 0) | (codes >= sizes[dim])].ravel()[0]
                    raise DataError(
                        f"The index '{i}' of '{node.table}' in '{name}' must be whole numbers from 0 to "
                        f"{sizes[dim] - 1} along '{dim}'. Got {print_number(bad)}. Declare labels with m.index."
                    )
    for child in node.children():
        _check_indices(name, child, env, sizes)
