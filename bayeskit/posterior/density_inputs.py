"""What the user hands to `metropolis`, checked: the log density, the starting values, the dims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bayeskit.errors import ModelError, ParameterError, SupportError
from bayeskit.posterior.unconstrained import Unconstrained

__all__ = ["Target", "check_counts", "read_dims", "read_initial"]

FloatArray = npt.NDArray[np.float64]
Values = dict[str, FloatArray]


class Target:
    """The user's log density on the unconstrained scale, checked at every call; counts the NaNs it meets."""

    def __init__(
        self, log_density: Callable[[dict[str, Any]], Any], layout: Unconstrained, chains: int, *, vectorized: bool
    ) -> None:
        self.layout, self.chains = layout, chains
        self.vectorized = vectorized
        self._function = log_density
        self.nan_evaluations = 0

    def __call__(self, u: FloatArray) -> FloatArray:
        """Log density with the Jacobian, (chain,)."""
        log_p = self.raw(self.layout.unpack(u.copy()))  # a copy: the function may do with its arrays as it likes
        if np.isnan(log_p).any():
            self.nan_evaluations += int(np.isnan(log_p).sum())
        return log_p + self.layout.log_jacobian(u) if self.layout.limits else log_p

    def raw(self, values: Values) -> FloatArray:
        """What the user's function says about `values` (chain, ...), or a sentence about its shape."""
        if not self.vectorized:
            return np.array([self._at_point({k: v[chain] for k, v in values.items()}) for chain in range(self.chains)])
        answer = self._function(values)
        log_p = _as_floats(answer)
        if log_p is None or log_p.shape != (self.chains,):
            raise ModelError(
                "'log_density' must return one number per chain, an array of shape "
                f"({self.chains},). Got {_describe(answer)}.\n"
                "Sum over every axis but the first, or pass vectorized=False if it takes one point at a time."
            )
        return log_p

    def _at_point(self, point: dict[str, Any]) -> float:
        answer = self._function(point)
        log_p = _as_floats(answer)
        if log_p is None or log_p.ndim:
            raise ModelError(
                f"'log_density' must return one number where vectorized=False. Got {_describe(answer)}.\n"
                "Sum over every axis."
            )
        return float(log_p)


def _as_floats(answer: Any) -> FloatArray | None:
    """Floats, or None where there are none."""
    if answer is None:
        return None
    try:
        return np.array(answer, float)  # a copy: the function may return the same buffer at every call
    except (TypeError, ValueError):
        return None


def _describe(answer: Any) -> str:
    """What came back instead of numbers of the right shape."""
    array = _as_floats(answer)
    if array is None:
        return f"a {type(answer).__name__}"
    return f"an array of shape {array.shape}" if array.ndim else "a single number"


def check_counts(**counts: int | None) -> None:
    """Positive integers, or a sentence."""
    for name, count in counts.items():
        if count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ParameterError(f"{name!r} must be a positive integer. Got {count!r}.\nLeave it out for the default.")


def read_initial(initial: Mapping[str, npt.ArrayLike] | Sequence[Mapping[str, npt.ArrayLike]], chains: int) -> Values:
    """Starting values with the chains in front, {name: (chain, ...)}."""
    points = [initial] * chains if isinstance(initial, Mapping) else list(initial)
    if len(points) != chains or not all(isinstance(point, Mapping) and point for point in points):
        raise ModelError(
            "'initial' must be a dict {name: value}, from which all chains start, or a list of one such dict for each "
            f"of the {chains} chains. Got a {type(initial).__name__} of length {len(points)}.\n"
            "Pass chains= to change their number."
        )
    names = list(points[0])
    if any(set(point) != set(names) for point in points):
        raise ModelError(
            f"Every dict in 'initial' must name the same variables, {', '.join(map(repr, names))} as in the first. "
            f"Got {[sorted(map(str, point)) for point in points]}.\nGive every chain a value for each."
        )
    return {name: _stack(name, [point[name] for point in points]) for name in names}


def _stack(name: str, values: list[npt.ArrayLike]) -> FloatArray:
    """Finite starting values of one variable, (chain, ...)."""
    try:
        stacked = np.stack([np.asarray(value, float) for value in values])
    except (TypeError, ValueError):
        raise ModelError(
            f"The initial value of {name!r} must be a number or an array, of the same shape for every chain. "
            f"Got {values[0]!r}.\nWrite it as a float or a NumPy array."
        ) from None
    if not stacked.size or not np.isfinite(stacked).all():
        raise SupportError(
            f"The initial value of {name!r} must be finite and not empty. Got {values[0]!r}.\n"
            "Start at any point of the support."
        )
    return stacked


def read_dims(
    dims: Mapping[str, str | Sequence[str]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, ...]]:
    """The dims of every variable; `name_dim_0`, ... where none are given."""
    unknown = [name for name in dims if name not in shapes]
    if unknown:
        raise ModelError(
            f"'dims' must name variables of 'initial', which are {', '.join(map(repr, shapes))}. "
            f"Got {', '.join(map(repr, unknown))}.\nCheck the spelling."
        )
    axes: dict[str, tuple[str, ...]] = {}
    for name, shape in shapes.items():
        given = dims.get(name, tuple(f"{name}_dim_{axis}" for axis in range(len(shape))))
        axes[name] = (given,) if isinstance(given, str) else tuple(given)
        if len(axes[name]) != len(shape):
            raise ModelError(
                f"The dims of {name!r} must be one for each axis of its initial value, of shape {shape}. "
                f"Got {axes[name]}.\nThe chain axis is not named."
            )
    return axes
