r"""Sums of twice the precision of a float: a number is the unevaluated sum of two, high and low.

Arrays hold the two along their first axis. Every operation errs by a few units of :math:`2^{-104}`; sums of many rows
are taken in slices of so few bits that floats add them up without rounding.

Source: Dekker (1971), A floating-point technique for extending the available precision, Numerische Mathematik 18,
224-242; Knuth (1997), The Art of Computer Programming 2, sec. 4.2.2, theorem B; the slices are those of Demmel and
Nguyen (2015), Parallel reproducible summation, IEEE Transactions on Computers 64, 2060-2070, sec. 3.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
_SPLITTER = 134_217_729.0  # 2**27 + 1
_CHUNK = 65_536  # rows added up at once: 2**16 numbers of 36 bits have a sum of 52
_BITS = 36


def from_float(x: Array | float) -> Array:
    """Return floats as pairs."""
    x = np.asarray(x, dtype=float)
    return np.stack([x, np.zeros_like(x)])


def _two_sum(a: Array, b: Array) -> Array:
    total = a + b
    other = total - a
    return np.stack([total, (a - (total - other)) + (b - other)])


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a product and what its rounding lost."""
    product = a * b
    high_a, high_b = (_SPLITTER * v - (_SPLITTER * v - v) for v in (a, b))
    low_a, low_b = a - high_a, b - high_b
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


def add(a: Array, b: Array) -> Array:
    """Return ``a + b``."""
    high, low = _two_sum(a[0], b[0]), _two_sum(a[1], b[1])
    first = _two_sum(high[0], high[1] + low[0])
    return _two_sum(first[0], first[1] + low[1])


def subtract(a: Array, b: Array) -> Array:
    """Return ``a - b``."""
    return add(a, -b)


def multiply(a: Array, b: Array) -> Array:
    """Return ``a * b``."""
    product, lost = _two_product(a[0], b[0])
    return _two_sum(product, lost + (a[0] * b[1] + a[1] * b[0]))


def divide(a: Array, b: Array) -> Array:
    """Return ``a / b``."""
    first = a[0] / b[0]
    left = subtract(a, multiply(b, from_float(first)))
    second = left[0] / b[0]
    left = subtract(left, multiply(b, from_float(second)))
    return add(_two_sum(first, second), from_float(left[0] / b[0]))


def square_root(a: Array) -> Array:
    """Return the square root; 0 of what is not positive."""
    first = np.sqrt(np.maximum(a[0], 0.0))
    left = subtract(a, multiply(from_float(first), from_float(first)))
    with np.errstate(all="ignore"):
        more = np.where(first > 0, left[0] / (2.0 * first), 0.0)
    return _two_sum(first, more)


# ---- sums of rows ---------------------------------------------------------------------------------------------------
def sum_by(key: Array, size: int, values: Array, other: Array | None = None) -> tuple[Array, Array]:
    """Return the sums of values, or of their products with others, by key, and how large what was added up is.

    Parameters
    ----------
    key : array
        ``(rows,)``, in ``0 .. size - 1``.
    size : int
        How many sums there are.
    values, other : array
        ``(rows,)``.

    Returns
    -------
    total : array
        ``(2, size)``.
    seen : array
        ``(size,)``: the error of a sum is below :math:`2^{-104}` of it.
    """
    total, seen = np.zeros((2, size)), np.zeros(size)
    for start in range(0, len(key), _CHUNK):
        here = slice(start, start + _CHUNK)
        own, x, lost = key[here], values[here], None
        if other is not None:
            x, lost = _two_product(x, other[here])
        largest = np.zeros(size)
        if size == 1:
            largest[0] = np.abs(x).max()
        else:
            np.maximum.at(largest, own, np.abs(x))
        for part in (*_slices(x, own, largest), *(() if lost is None else (lost,))):
            total = add(total, from_float(np.bincount(own, part, size)))
        seen += np.bincount(own, minlength=size) * largest
    return total, seen


def _slices(x: Array, key: Array, largest: Array) -> list[Array]:
    """Return numbers cut into parts that add up to them; sums of a chunk of each but the last are not rounded."""
    if largest.max(initial=0.0) < 2**_BITS and bool((x == np.rint(x)).all()):
        return [x]
    exponent, parts = np.frexp(largest)[1], []
    for number in (1, 2):
        shift = 1.5 * np.ldexp(1.0, exponent - number * _BITS + 52)[key]
        part = (x + shift) - shift  # rounded to multiples of 2**(exponent - number * bits)
        parts.append(part)
        x = x - part
    return [*parts, x]


def regroup(key: Array, size: int, pairs: Array) -> Array:
    """Return the sums of pairs ``(2, cells)`` by key: ``(2, size)``."""
    high, low = (sum_by(key, size, part)[0] for part in pairs)
    return add(high, low)
