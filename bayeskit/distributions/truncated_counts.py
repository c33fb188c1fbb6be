"""What `Truncated` needs for whole numbers: masses, quantiles and moments by summing, where a tail is too thin.

Distribution functions of counts are right to 1e-16 in all, not relative to a thin tail. Where the bounds leave a mass
below 1e-6, its terms are added from the end that is nearest to the bulk, until they no longer matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.domains import Array
from bayeskit.errors import RefusedError

if TYPE_CHECKING:
    from bayeskit.distributions.base import Distribution

__all__ = ["corrected", "mean_and_variance", "quantile"]

_THIN = np.log(1e-6)
_BLOCK = 64
_MOST_TERMS = 1 << 20


def corrected(base: Distribution, log_mass: Any, low: Any, high: Any, own: Any) -> Array:
    """Log mass of (low, high], with thin tails summed term by term.

    Parameters
    ----------
    base : Distribution
        A discrete family.
    log_mass : array_like
        Log mass from the distribution function.
    low, high : array_like
        Whole numbers or infinite; `low` itself is excluded.
    own : list of array_like
        Parameters of the family.
    """
    log_mass, low, high, *own = _broadcast(log_mass, low, high, *own)
    thin = ~(log_mass > _THIN) & (low < high)
    if not thin.any():
        return log_mass
    params = [value[thin] for value in own]
    first, last, mode = _range(base, low[thin], high[thin], params)
    start, step, _ = _walk(first, last, mode)
    _, logs = _terms(base, start, step, first, last, params)
    log_mass = log_mass.copy()
    log_mass[thin] = _log_sum(logs)
    return log_mass


def quantile(base: Distribution, value: Any, q: Any, log_mass: Any, low: Any, high: Any, own: Any) -> Array:
    """Quantiles of the truncated family: `value` where the mass is not thin, else by accumulating terms."""
    value, q, log_mass, low, high, *own = _broadcast(value, q, log_mass, low, high, *own)
    thin = ~(log_mass > _THIN) & (low < high)
    if not thin.any():
        return value
    params = [array[thin] for array in own]
    first, last, mode = _range(base, low[thin], high[thin], params)
    start, step, upward = _walk(first, last, mode)
    k, logs = _terms(base, start, step, first, last, params)
    shares = np.cumsum(np.exp(logs - _log_sum(logs)), axis=0)
    # Upward: the first k with at least q at or below it. Downward: the last with less than q strictly below.
    wanted = np.where(upward, q[thin], 1.0 - q[thin])
    passed = np.where(upward, shares < wanted * (1 - 1e-14), shares <= wanted).sum(axis=0)
    position = np.minimum(passed, np.isfinite(logs).sum(axis=0) - 1)
    result = value.copy()
    result[thin] = k[position, np.arange(k.shape[1])]
    return result


def mean_and_variance(base: Distribution, low: Any, high: Any, own: Any) -> tuple[Array, Array]:
    """Mean and variance over (low, high], by summing up and down from the most probable value."""
    low, high, *own = _broadcast(low, high, *own)
    shape = low.shape
    low, high, params = low.ravel(), high.ravel(), [array.ravel() for array in own]
    first, last, mode = _range(base, low, high, params)
    # A bath tub has no mode: start at a finite end.
    start = np.clip(np.where(np.isnan(mode), np.where(np.isfinite(first), first, last), mode), first, last)
    up_k, up = _terms(base, start, np.ones_like(start), first, last, params)
    down_k, down = _terms(base, start - 1.0, -np.ones_like(start), first, last, params)
    k, logs = np.concatenate([up_k, down_k]), np.concatenate([up, down])
    weights = np.exp(logs - _log_sum(logs))
    mean = start + (weights * (k - start)).sum(axis=0)
    variance = (weights * (k - mean) ** 2).sum(axis=0)
    return mean.reshape(shape), variance.reshape(shape)


def _broadcast(*arrays: Any) -> list[Array]:
    return [np.asarray(array) for array in np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in arrays))]


def _range(base: Distribution, low: Array, high: Array, own: list[Array]) -> tuple[Array, Array, Array]:
    """First and last possible value, and the mode of the family."""
    lowest, highest = base._bounds(*own)
    mode = np.broadcast_to(base._mode(*own), low.shape)
    return np.maximum(low + 1.0, lowest), np.minimum(high, highest), mode


def _walk(first: Array, last: Array, mode: Array) -> tuple[Array, Array, Array]:
    """From which end to add, in steps of which sign, and whether upwards: from the end nearer to the mode."""
    upward = np.isfinite(first) & ~(mode >= last)
    return np.where(upward, first, last), np.where(upward, 1.0, -1.0), upward


def _terms(
    base: Distribution, start: Array, step: Array, first: Array, last: Array, params: list[Array]
) -> tuple[Array, Array]:
    """Values and log masses from `start` on, shape (terms, cells), until the next no longer matter."""
    values, logs = [], []
    offset = np.arange(_BLOCK, dtype=float)[:, None]
    while True:
        k = start + step * offset
        inside = (k >= first) & (k <= last)
        logs.append(np.where(inside, base._log_prob(k, *params), -np.inf))
        values.append(k)
        peak = np.max([block.max(axis=0) for block in logs], axis=0)
        over = ~inside[-1] | (logs[-1][-1] < peak - 45.0)
        if np.all(over):
            return np.concatenate(values), np.concatenate(logs)
        offset = offset[-1] + 1.0 + np.arange(len(offset) * 2, dtype=float)[:, None]
        if offset[0, 0] > _MOST_TERMS:
            raise RefusedError(
                f"Truncated({base.family}) would have to add more than {_MOST_TERMS} terms. Draw with sample() instead."
            )


def _log_sum(logs: Array) -> Array:
    peak = logs.max(axis=0)
    safe = np.where(np.isfinite(peak), peak, 0.0)
    return np.asarray(safe + np.log(np.exp(logs - safe).sum(axis=0)))
