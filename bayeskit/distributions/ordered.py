"""Ordered: independent values of one family, in increasing order."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betaincinv, gammaln

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.integers import masked
from bayeskit.errors import ParameterError, RefusedError

__all__ = ["Ordered"]


class Ordered(Distribution):
    r"""Ordered values along the last dim: K independent values of a family, sorted.

    .. math:: p(x) = K! \prod_k p(x_k), \qquad x_1 < x_2 < \dots < x_K

    The parameters of the family must be the same for all entries; they may vary over the other dims.

    Parameters
    ----------
    dist : Distribution
        Law of one value: univariate and continuous.
    size : int, optional
        Number K of values, where no model says it: in a model it is the size of the variable's last dim.

    Raises
    ------
    ParameterError
        Where `dist` is not a univariate continuous distribution, or `size` is not a positive whole number.

    Notes
    -----
    Distribution function and quantiles are those of each entry, an order statistic; `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import Normal, Ordered
    >>> d = Ordered(Normal(0, 1), size=3)
    >>> d
    Ordered(Normal(0, 1), size=3)
    >>> float(d.log_prob([1.0, 0.0, 2.0])), d.quantile(0.5).values.round(3)
    (-inf, array([-0.819,  0.   ,  0.819]))
    """

    event_ndim = 1
    support_kind = "ordered"
    inner: Distribution
    size: int | None

    def __init__(self, dist: Distribution, size: int | None = None) -> None:
        if not isinstance(dist, Distribution) or dist.event_ndim or dist.discrete:
            raise ParameterError(
                f"Ordered must be given a univariate continuous distribution. Got {dist}. Order is a matter of its "
                "entries along one dim; state the family of one entry."
            )
        if size is not None and (isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1):
            raise ParameterError(
                f"'size' of Ordered must be a whole number, one or more. Got {size!r}. In a model it may be left out."
            )
        object.__setattr__(self, "inner", dist)
        object.__setattr__(self, "size", None if size is None else int(size))
        object.__setattr__(self, "given", dist.given)
        object.__setattr__(self, "canonical", dist.canonical)

    @property
    def parameters(self) -> Any:  # type: ignore[override]
        """Parameters of the family of one entry."""
        return self.inner.parameters

    @property
    def is_proper(self) -> bool:
        """Whether the density of one entry integrates to one."""
        return self.inner.is_proper

    @property
    def support_text(self) -> str:
        """Where values lie, as it completes "must lie in ..."."""
        return f"the increasing vectors of numbers in {self.inner.support_text}"

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"dist": self.inner} | ({} if self.size is None else {"size": self.size})

    def __repr__(self) -> str:
        return f"Ordered({self.inner})" if self.size is None else f"Ordered({self.inner}, size={self.size})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ordered) and self.inner == other.inner and self.size == other.size

    def __hash__(self) -> int:
        return hash((type(self), self.inner, self.size))

    def _log_prob(self, x: Array, *params: Array) -> Array:
        x = np.asarray(x, dtype=float)
        each = self.inner._log_prob(x, *_for_entries(params)).sum(axis=-1)
        return masked(gammaln(x.shape[-1] + 1.0) + each, ~(x[..., 1:] > x[..., :-1]).all(axis=-1))

    def _outside(self, x: Array, *params: Array) -> Array:
        x = np.asarray(x)
        disordered = ~(x[..., 1:] > x[..., :-1]).all(axis=-1)
        return disordered | self.inner._outside(x, *_for_entries(params)).any(axis=-1)

    def _sample(
        self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array, event_shape: Any = None
    ) -> Array:
        """Draws; `event_shape` is (K,), for an instance that was made without a size."""
        size = self._size() if event_shape is None else event_shape[-1]
        return np.sort(self.inner._sample(rng, (*shape, size), *_for_entries(params)), axis=-1)

    def _cdf(self, x: Array, *params: Array) -> Array:
        size = np.shape(x)[-1]
        rank = np.arange(1.0, size + 1.0)
        return betainc(rank, size + 1.0 - rank, self.inner._cdf(x, *_for_entries(params)))

    def _quantile(self, q: Array, *params: Array) -> Array:
        size = self._size()
        rank = np.arange(1.0, size + 1.0)
        return self.inner._quantile(betaincinv(rank, size + 1.0 - rank, q), *_for_entries(params))

    def _bounds(self, *params: Array) -> tuple[Any, Any]:
        lower, upper = self.inner._bounds(*_for_entries(params))
        return lower, upper

    def _invalid(self, *params: Array) -> Array:
        return self.inner._invalid(*params)

    def _size(self) -> int:
        if self.size is None:
            raise RefusedError(
                f"{self} has no size yet. Give it one (size=3), or use it in a model, whose dims say it."
            )
        return self.size


def _for_entries(params: tuple[Array, ...]) -> list[Array]:
    """Parameters with an axis for the entries, over which they are the same."""
    return [np.asarray(value)[..., None] for value in params]
