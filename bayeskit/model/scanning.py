"""One pass over an array, in chunks that stay in the processor's cache: what every check asks of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
CHUNK = 65_536  # rows looked at at once


@dataclass(frozen=True)
class Scan:
    """What one pass over an array says of its values.

    Attributes
    ----------
    low, high : number
        The least and the greatest, NaN left out.
    missing, infinite : bool
        Whether any is NaN, or infinite.
    counts : array, optional
        The values as integers, where they are whole numbers all and were asked for.
    """

    low: float
    high: float
    missing: bool = False
    infinite: bool = False
    counts: Array | None = None


def scan(array: Array, *, discrete: bool = False) -> Scan:
    """Look at every value once; with ``discrete``, as whole numbers."""
    flat = array.reshape(-1)
    chunks = (flat[i : i + CHUNK] for i in range(0, flat.size, CHUNK))
    if flat.dtype.kind == "i":
        ends = [(c.min(), c.max()) for c in chunks]
        return Scan(int(min(e[0] for e in ends)), int(max(e[1] for e in ends)), counts=array)
    counts = np.empty(flat.size, dtype=np.int64) if discrete else None
    low, high, missing, start = np.inf, -np.inf, False, 0
    for chunk in chunks:
        least, most = chunk.min(), chunk.max()
        if least != least:
            missing = True
            least, most = np.fmin.reduce(chunk), np.fmax.reduce(chunk)
        low, high = min(low, least), max(high, most)  # NaN, where all is missing, changes nothing
        if counts is not None:
            counts = None if missing or max(-low, high) >= 2.0**63 else _whole(chunk, counts, start)
        start += CHUNK
    whole = None if counts is None else counts.reshape(array.shape)
    return Scan(float(low), float(high), missing, bool(np.isinf([low, high]).any() and high >= low), whole)


def _whole(chunk: Array, counts: Array, start: int) -> Array | None:
    """Fill in a chunk as integers; None where it holds other numbers."""
    counts[start : start + len(chunk)] = chunk
    return counts if (counts[start : start + len(chunk)] == chunk).all() else None
