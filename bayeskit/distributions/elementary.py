"""Elementary strictly monotone functions of a number: forward, inverse, and the log of the slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_ndtr, logit, ndtr, ndtri, ndtri_exp

from bayeskit.distributions.normal import LOG_ROOT_2PI
from bayeskit.distributions.parameters import show_value
from bayeskit.distributions.tails import log1mexp
from bayeskit.errors import ParameterError

__all__ = [
    "Affine",
    "Exp",
    "Expit",
    "Expm1",
    "Log",
    "Log1p",
    "LogExpit",
    "Logit",
    "Ndtr",
    "Ndtri",
    "NdtriExpit",
    "Odds",
    "Step",
    "Tanh",
    "ToPower",
    "as_step",
]


class Step:
    """A strictly monotone function between two points, its `domain`; at the ends it may be infinite.

    ``forward(x, *args)`` and ``inverse(y, *args)`` are elementwise; ``log_slope(x, y, *args)`` is the log of
    :math:`|dy/dx|`, given both ends of the step, so that each may be used where it is the more accurate. Steps are
    values: nothing changes them.
    """

    domain: ClassVar[tuple[float, float]] = (-np.inf, np.inf)

    @property
    def increasing(self) -> bool:
        """Whether it increases."""
        return True

    def forward(self, x: Any, *args: Any) -> Any:
        """Value at x."""
        raise NotImplementedError  # pragma: no cover - every step has its own

    def inverse(self, y: Any, *args: Any) -> Any:
        """Where the value is y."""
        raise NotImplementedError  # pragma: no cover

    def log_slope(self, x: Any, y: Any, *args: Any) -> Any:
        """Log of the absolute derivative."""
        raise NotImplementedError  # pragma: no cover

    def __str__(self) -> str:
        return type(self).__name__.lower()


class Affine(Step):
    """``scale * x + shift``; the scale is nowhere zero and of one sign in all cells. Its numbers are parameters."""

    def __init__(self, scale: Any = 1.0, shift: Any = 0.0) -> None:
        self.scale, self.shift = scale, shift
        slope, offset = np.asarray(scale, dtype=float), np.asarray(shift, dtype=float)
        one_sign = np.all(slope > 0) or np.all(slope < 0)
        if not one_sign or not np.all(np.isfinite(slope)) or not np.all(np.isfinite(offset)):
            raise ParameterError(
                "A monotone line must have a finite slope of one sign, nowhere zero, and a finite shift. Got the "
                f"slope {show_value(self.scale)} and the shift {show_value(self.shift)}."
            )

    @property
    def increasing(self) -> bool:
        """Whether the scale is positive."""
        return bool(np.all(np.asarray(self.scale) > 0))

    def forward(self, x: Any, scale: Any, shift: Any) -> Any:
        """Value at x."""
        return scale * x + shift

    def inverse(self, y: Any, scale: Any, shift: Any) -> Any:
        """Where the value is y."""
        return (y - shift) / scale

    def log_slope(self, x: Any, y: Any, scale: Any, shift: Any) -> Any:
        """Log of the size of the scale."""
        return np.log(np.abs(scale))

    def __str__(self) -> str:
        return f"affine({show_value(self.scale)}, {show_value(self.shift)})"


class Exp(Step):
    """Exponential."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.exp(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.log(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of exp(x)."""
        return x


class Log(Step):
    """Natural logarithm of positive numbers."""

    domain = (0.0, np.inf)

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.log(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.exp(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of 1 / x."""
        return -np.asarray(y)


class Log1p(Step):
    """``log(1 + x)``."""

    domain = (-1.0, np.inf)

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.log1p(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.expm1(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of 1 / (1 + x)."""
        return -np.asarray(y)


class Expm1(Step):
    """``exp(x) - 1``."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.expm1(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.log1p(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of exp(x)."""
        return x


class ToPower(Step):
    """``x**exponent`` of positive numbers."""

    domain = (0.0, np.inf)

    def __init__(self, exponent: float) -> None:
        if not np.isfinite(exponent) or exponent == 0:
            raise ParameterError(f"The exponent of a power must be a number other than zero. Got {exponent!r}.")
        self.exponent = float(exponent)

    @property
    def increasing(self) -> bool:
        """Whether the exponent is positive."""
        return self.exponent > 0

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.asarray(x, dtype=float) ** self.exponent

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.asarray(y, dtype=float) ** (1.0 / self.exponent)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of ``|k| x**(k - 1)``; for the line it is, also at zero."""
        log_size = np.log(abs(self.exponent))
        return log_size if self.exponent == 1.0 else log_size + (self.exponent - 1.0) * np.log(x)

    def __str__(self) -> str:
        return f"power({self.exponent:g})"


class Expit(Step):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return expit(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return logit(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of y (1 - y)."""
        return log_expit(x) + log_expit(np.negative(x))


class Logit(Step):
    """``log(x / (1 - x))``, the log odds of probabilities."""

    domain = (0.0, 1.0)

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return logit(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return expit(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of 1 / (x (1 - x))."""
        return -log_expit(y) - log_expit(np.negative(y))


class Odds(Step):
    """``x / (1 - x)`` of probabilities."""

    domain = (0.0, 1.0)

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return x / (1.0 - x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.where(np.isposinf(y), 1.0, y / (1.0 + y))

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of ``1 / (1 - x)**2``."""
        return 2.0 * np.log1p(y)


class Ndtr(Step):
    """Standard normal distribution function."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return ndtr(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return ndtri(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of the standard normal density."""
        return -0.5 * np.square(x) - LOG_ROOT_2PI


class Ndtri(Step):
    """Standard normal quantile of probabilities."""

    domain = (0.0, 1.0)

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return ndtri(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return ndtr(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of one over the standard normal density."""
        return 0.5 * np.square(y) + LOG_ROOT_2PI


class NdtriExpit(Step):
    """``ndtri(expit(x))``: from log odds to standard normal quantiles, accurate in both tails."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        size = ndtri_exp(log_expit(-np.abs(x)))
        return np.where(np.less(x, 0), size, -size)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return log_ndtr(y) - log_ndtr(np.negative(y))

    def log_slope(self, x: Any, y: Any) -> Any:
        """Sum of those of the two."""
        return log_expit(x) + log_expit(np.negative(x)) + 0.5 * np.square(y) + LOG_ROOT_2PI


class LogExpit(Step):
    """``log(expit(x))``: from log odds to the log of a probability, accurate near one too."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return log_expit(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return y - log1mexp(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of expit(-x)."""
        return log_expit(np.negative(x))


class Tanh(Step):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        """Value at x."""
        return np.tanh(x)

    def inverse(self, y: Any) -> Any:
        """Where the value is y."""
        return np.arctanh(y)

    def log_slope(self, x: Any, y: Any) -> Any:
        """Log of ``1 - tanh(x)**2``, which is 4 expit(2x) expit(-2x)."""
        twice = 2.0 * np.asarray(x)
        return np.log(4.0) + log_expit(twice) + log_expit(-twice)


_NAMED: dict[str, Callable[[], Step]] = {
    "exp": Exp, "log": Log, "log1p": Log1p, "expm1": Expm1, "expit": Expit, "logit": Logit, "odds": Odds,
    "ndtr": Ndtr, "ndtri": Ndtri, "tanh": Tanh, "negative": lambda: Affine(-1.0, 0.0),
    "sqrt": lambda: ToPower(0.5), "square": lambda: ToPower(2.0), "reciprocal": lambda: ToPower(-1.0),
}  # fmt: skip


def as_step(step: Any) -> Step:
    """Return a step by its name, or itself.

    Raises
    ------
    ParameterError
        Where nothing bears the name.

    Examples
    --------
    >>> print(as_step("logit"), as_step("sqrt"), as_step(Affine(2, 1)))
    logit power(0.5) affine(2, 1)
    """
    if isinstance(step, Step):
        return step
    if isinstance(step, str) and step in _NAMED:
        return _NAMED[step]()
    raise ParameterError(
        f"A monotone function must be one of {', '.join(_NAMED)}, or Affine(scale, shift) or ToPower(exponent). Got "
        f"{step!r}."
    )
