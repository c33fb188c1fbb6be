"""Checks at ``condition``: shapes, labels, supports and parameters, each refused in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from bayeskit.errors import DataError, ParameterError, SupportError
from bayeskit.expressions import Constant, Expression
from bayeskit.expressions.printing import print_number
from bayeskit.expressions.structure import Index
from bayeskit.model.labels import Coords, keys, must_be_unique
from bayeskit.model.problem import Factor
from bayeskit.model.reading import Given
from bayeskit.model.scanning import CHUNK, Scan, scan

Array = np.ndarray
_SMALL = 1_000_000  # bytes of an array that is copied


class Sized(Protocol):
    """What a check knows of a batch of data."""

    labels: Coords
    sizes: dict[str, int]
    names: dict[str, Expression]


# ---- values -----------------------------------------------------------------------------------------------------
def check_numbers(name: str, given: Given, dims: tuple[str, ...], local: Sized) -> Array:
    """Return numbers laid along the declared dims, in the order of the labels.

    Small arrays are copied. Large ones are not, unless they must be laid out anew: they are the caller's, read-only.
    """
    array = given.values
    if array.size == 0:
        raise DataError(
            f"The values of '{name}' must not be empty. Got an array of shape {array.shape}. "
            "Condition on nothing with m.condition({})."
        )
    if array.dtype.kind not in "biuf":
        bad = next(v for v in array.ravel().tolist() if not isinstance(v, int | float))
        raise DataError(
            f"The values of '{name}' must be numbers. Got {bad!r}. Declare a column of labels with m.index."
        )
    if given.dims is not None:
        if set(given.dims) != set(dims):
            raise DataError(
                f"The dims of '{name}' must be {dims or 'none'}. Got {given.dims or 'none'}. "
                "Rename them, or declare the others in the model."
            )
        array = array.transpose([given.dims.index(d) for d in dims])
    if array.ndim != len(dims):
        raise DataError(
            f"The values of '{name}' must have {_dims_text(dims)}. Got an array of shape {array.shape}. "
            "Declare its dims in the model, or reshape it."
        )
    for axis, dim in enumerate(dims):
        own = given.coords.get(dim)
        if own is not None and not np.array_equal(own, local.labels[dim]):
            array = _reordered(name, array, axis, dim, own, local.labels[dim])
        if array.shape[axis] != local.labels.size(dim):
            raise DataError(
                f"The values of '{name}' along '{dim}' must be {local.labels.size(dim)}, one for each label. "
                f"Got {array.shape[axis]}. Check which rows are meant, or the labels of the dim."
            )
    dtype = np.dtype(float if array.dtype.kind == "f" else np.int64)
    if array.nbytes <= _SMALL or array.dtype != dtype or not array.flags.c_contiguous:
        return np.array(array, dtype=dtype, order="C")
    kept = array.view()
    kept.flags.writeable = False
    return kept


def check_finite(name: str, array: Array, found: Scan, advice: str, *, missing_allowed: bool = False) -> None:
    """Refuse infinite numbers, and NaN where no distribution stands behind it."""
    if not found.infinite and (missing_allowed or not found.missing):
        return
    bad = np.isinf(array) if missing_allowed else ~np.isfinite(array)
    if bad.any():
        raise DataError(
            f"The values of '{name}' must be finite. Got {int(bad.sum())} of {array.size} that are "
            f"{'infinite' if np.isinf(array[bad]).all() else 'NaN or infinite'}. {advice}"
        )


def _dims_text(dims: tuple[str, ...]) -> str:
    return f"dims {dims}" if dims else "no dims (one number)"


def _reordered(name: str, array: Array, axis: int, dim: str, own: Array, labels: Array) -> Array:
    must_be_unique(name, dim, own)
    place = {v: i for i, v in enumerate(keys(own))}
    missing = [v for v in keys(labels) if v not in place]
    if missing:
        raise DataError(
            f"The values of '{name}' along '{dim}' must cover every label. Got none for {missing[0]!r}. "
            "Give NaN where an observation is missing, or leave the label out everywhere."
        )
    return np.take(array, [place[v] for v in keys(labels)], axis=axis)


# ---- parameters -------------------------------------------------------------------------------------------------
def check_parameters(factor: Factor, env: Mapping[str, Array], local: Sized) -> None:
    """Refuse parameters that are computed from data alone and lie outside their domain."""
    family = factor.distribution
    arrays = _known_parameters(factor, env)
    for number, (parameter, expression) in enumerate(zip(family.parameters, factor.parameters, strict=True)):
        value = arrays.get(parameter.name)
        if value is None or isinstance(expression, Constant):
            continue
        if _anywhere(parameter.invalid, [value], len(factor.plates)):
            bad = np.asarray(parameter.invalid(value))
            place = np.unravel_index(int(np.argmax(bad)), bad.shape)
            where = _at(factor.plates, place[1:], local.labels, value.shape[1:])
            name, text = parameter.name, parameter.domain.text
            stated = list(family.given)[number] if len(family.given) == len(family.parameters) else name
            if stated != name and isinstance(
                family.given[stated], Expression
            ):  # say it as the user did: tau, not sigma
                name, expression = stated, family.given[stated]
                text = family.alternatives[stated][1].domain.text
                with np.errstate(all="ignore"):
                    value = factor._aligners[number](expression.substitute(local.names).evaluate(env))
            raise ParameterError(
                f"The parameter {name} = {expression} of '{factor.name}' ~ {family.family} must be {text}. "
                f"Got {print_number(value[place])}{where}. Check the data it is computed from."
            )
    if len(arrays) == len(family.parameters) and family.joint_condition:
        values = [arrays[p.name] for p in family.parameters]
        if _anywhere(family._joint_invalid, values, len(factor.plates)):
            raise ParameterError(
                f"The parameters of '{factor.name}' ~ {family} must satisfy {family.joint_condition}. "
                "Got data that break it. Check the data they are computed from."
            )


def _anywhere(test: Callable[..., Array], arrays: list[Array], plates: int) -> bool:
    """Whether a test of arrays ``(1, *plates, ...)`` holds anywhere, tried chunk by chunk along the first plate."""
    return any(np.asarray(test(*chunk)).any() for chunk in _chunks(arrays, plates))


def _chunks(arrays: list[Array], plates: int) -> Iterator[list[Array]]:
    length = max((a.shape[1] for a in arrays if a.ndim > 1), default=1) if plates else 1
    step = max(1, CHUNK * length // max(1, *(a.size for a in arrays)))
    for start in range(0, length, step):
        here = slice(start, start + step)
        yield [a[:, here] if plates and a.ndim > 1 and a.shape[1] > 1 else a for a in arrays]


def _known_parameters(factor: Factor, env: Mapping[str, Array]) -> dict[str, Array]:
    """Parameters that need no latent, by name, laid along plates and event."""
    with np.errstate(all="ignore"):
        return {
            p.name: lay(e.evaluate(env))
            for p, e, lay in zip(factor.distribution.parameters, factor.parameters, factor._aligners, strict=True)
            if e.variables <= env.keys()
        }


def _at(dims: tuple[str, ...], place: tuple, labels: Mapping[str, Array], shape: tuple[int, ...]) -> str:
    """Say at which labels a cell lies; an axis of size 1 stands for the whole dim."""
    parts = [
        f"{d}={keys(labels[d][i : i + 1])[0]!r}"
        for d, i, size in zip(dims, place, shape, strict=False)
        if d in labels and (size > 1 or len(labels[d]) == 1)
    ]
    return " at " + ", ".join(parts) if parts else ""


# ---- supports ---------------------------------------------------------------------------------------------------
def check_support(
    factor: Factor, env: Mapping[str, Array], given: Array, missing: Array, found: Scan, labels: Mapping[str, Array]
) -> None:
    """Refuse observations outside the support of their distribution, as far as known parameters tell.

    Parameters
    ----------
    factor : Factor
        The observations and their distribution.
    env : mapping
        Known values.
    given, missing : array
        What was observed, and where nothing was.
    found : Scan
        What is known of ``given`` already.
    labels : mapping
        The labels of the dims, for the message.
    """
    known = _known_parameters(factor, env)
    arrays = [
        known[p.name] if p.name in known else np.full((1,) * (1 + len(factor.plates) + p.event_ndim), np.nan)
        for p in factor.distribution.parameters
    ]  # NaN, which bounds nothing, stands for a parameter that is not known yet
    with np.errstate(all="ignore"):
        if not factor.event and _is_inside(factor, found, arrays):
            return
        if factor.event:
            missing = missing.any(axis=tuple(range(len(factor.plates), missing.ndim)))
        x, plates = given[np.newaxis], len(factor.plates)

        def wrong(x: Array, hidden: Array, *arrays: Array) -> Array:
            return _outside(factor, x, arrays) & ~hidden

        if _anywhere(wrong, [x, missing[np.newaxis], *arrays], plates):
            outside = np.broadcast_to(wrong(x, missing[np.newaxis], *arrays), (1, *factor.shape))[0]
            raise SupportError(_support_message(factor, x[0], outside, known, labels))


def _is_inside(factor: Factor, found: Scan, arrays: list[Array]) -> bool:
    """Whether the least and the greatest value show that all are in the support, the same for every row."""
    distribution = factor.distribution
    lower, upper = (np.asarray(b) for b in distribution._bounds(*arrays))
    if lower.size > 1 or upper.size > 1 or found.low < lower or found.high > upper:
        return False
    if distribution.support_text == "the positive numbers" and found.low <= 0:
        return False
    categories = _categories(factor)
    if categories is not None and found.high >= categories:
        return False
    return not distribution.discrete or found.counts is not None


def _outside(factor: Factor, x: Array, arrays: Sequence[Array]) -> Array:
    distribution = factor.distribution
    if factor.event:
        return np.asarray(distribution._outside(x, *arrays))
    lower, upper = distribution._bounds(*arrays)
    outside = (x < lower) | (x > upper)  # a comparison with NaN does not hold
    if distribution.support_text == "the positive numbers":
        outside |= x <= 0
    categories = _categories(factor)
    if categories is not None:
        outside |= x >= categories
    return outside | (x != np.floor(x)) if distribution.discrete else outside


def _categories(factor: Factor) -> int | None:
    """How many categories a Categorical has, which the dim of its probabilities says before they are known."""
    for parameter, layout in zip(factor.distribution.parameters, factor.layouts, strict=True):
        if parameter.event_ndim == 1 and not factor.event:
            return factor.sizes[layout[-1]]
    return None


def _support_message(
    factor: Factor, x: Array, outside: Array, known: Mapping[str, Array], labels: Mapping[str, Array]
) -> str:
    place = np.unravel_index(int(np.argmax(outside)), outside.shape)
    family = factor.distribution
    bounding = re.findall(r"\w+", family.support_text)
    details = [
        f"{e} is {print_number(np.broadcast_to(known[p.name][0], factor.shape)[place])}"
        for p, e in zip(family.parameters, factor.parameters, strict=True)
        if p.name in bounding and p.name in known and not isinstance(e, Constant) and p.event_ndim == 0
    ]
    if "K" in bounding:
        details.append(f"K is {_categories(factor)}")
    return (
        f"'{factor.name}' ~ {family} must lie in {family.support_text}. Got {print_number(x[place])}"
        f"{_at(factor.plates, place, labels, factor.shape)}{', where ' + ', '.join(details) if details else ''}."
    )


# ---- indices ----------------------------------------------------------------------------------------------------
def check_indices(name: str, node: Expression, env: Mapping[str, Array], local: Sized) -> None:
    """Refuse indices computed from data that point outside their table."""
    if isinstance(node, Index):
        for dim, written in node.indices.items():
            index = written.substitute(local.names)
            if index.variables <= env.keys() and dim in local.sizes:
                _check_codes(name, node, dim, index.evaluate(env), local.sizes[dim])
    for child in node.children():
        check_indices(name, child, env, local)


def _check_codes(name: str, node: Index, dim: str, codes: Array, size: int) -> None:
    found = scan(codes, discrete=True)
    if found.counts is None or found.low < 0 or found.high >= size:
        bad = (codes < 0) | (codes >= size) | (codes != np.floor(codes))
        raise DataError(
            f"The index '{node.indices[dim]}' of '{node.table}' in '{name}' must be whole numbers in 0..{size - 1} "
            f"along '{dim}'. Got {print_number(codes[bad][0])}. Declare a column of labels with m.index."
        )
