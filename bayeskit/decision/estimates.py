"""Bayes estimates: the single number that a loss function asks for."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayeskit.decision.mcse import MINIMUM_DRAWS, arviz_mcse, mcse_mean
from bayeskit.decision.sources import draws_dataset
from bayeskit.errors import DecisionError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

LOSSES = "'squared', 'absolute', ('quantile', q), 'zero_one', ('linex', a)"


class BayesEstimate(NamedTuple):
    """An estimate and its Monte Carlo standard error (0 where it comes from a distribution)."""

    value: xr.DataArray
    mcse: xr.DataArray


def bayes_estimate(target: Any, loss: str | tuple[str, float] = "squared") -> BayesEstimate:
    r"""The estimate d of an unknown theta that minimises the posterior expected loss.

    ====================  ==========================================  ================================
    loss                  L(d, theta)                                 estimate
    ====================  ==========================================  ================================
    ``"squared"``         :math:`(d - \theta)^2`                      mean
    ``"absolute"``        :math:`|d - \theta|`                        median
    ``("quantile", q)``   :math:`q(\theta-d)_+ + (1-q)(d-\theta)_+`   quantile q
    ``("pinball", q)``    the same under its other name
    ``"zero_one"``        0 if d is theta (within epsilon), else 1    mode
    ``("linex", a)``      :math:`e^{a(d-\theta)} - a(d-\theta) - 1`   :math:`-\log E[e^{-a\theta}]/a`
    ====================  ==========================================  ================================

    Where being short by one costs u and being over by one costs o, the loss is ``("quantile", u / (u + o))``.

    Parameters
    ----------
    target : Distribution, DataArray or array
        A distribution (exact answers), or draws: a DataArray with chain and draw (or ``draw``, or ``sample``), or an
        array of shape (chain, draw, ...) or (draw,).
    loss : str or (str, float)
        One of the table; q in (0, 1), a any number but 0 (positive: overestimating costs more).

    Returns
    -------
    BayesEstimate
        ``value`` and ``mcse``, with the dims of the unknown.

    Raises
    ------
    DecisionError
        An unknown loss or one with a bad number; the mode of draws (they have none that a density estimate would not
        invent); linex of a distribution (draw from it).

    References
    ----------
    Berger, J. O. (1985). Statistical Decision Theory and Bayesian Analysis, 2nd ed. Springer. Section 4.4.2.
    Zellner, A. (1986). Bayesian estimation and prediction using asymmetric loss functions. Journal of the American
    Statistical Association 81(394), 446-451. Equation 2.4.

    Examples
    --------
    Demand is uncertain; a missing unit costs 3, a spare one 1.

    >>> import numpy as np
    >>> from bayeskit.decision import bayes_estimate
    >>> demand = np.random.default_rng(1).normal(100, 10, size=(4, 1000))
    >>> order = bayes_estimate(demand, loss=("quantile", 3 / 4))
    >>> bool(abs(order.value - 106.745) < 4 * order.mcse)
    True
    """
    name, number = _loss(loss)
    if callable(getattr(target, "quantile", None)) and callable(getattr(target, "log_prob", None)):
        return _of_distribution(target, name, number)
    return _of_draws(target, name, number)


def _loss(loss: Any) -> tuple[str, float]:
    """The canonical name, and q or a (0.5 and 0 where there is none)."""
    name, *rest = (loss,) if isinstance(loss, str) else tuple(loss)
    if name in ("squared", "absolute", "zero_one") and not rest:
        return name, 0.5
    if name in ("quantile", "pinball", "linex") and len(rest) == 1 and isinstance(rest[0], Real):
        number = float(rest[0])
        if name == "linex" and np.isfinite(number) and number != 0:
            return name, number
        if name != "linex" and 0 < number < 1:
            return "quantile", number
    raise DecisionError(
        f"'loss' must be one of {LOSSES}, with 0 < q < 1 and a not 0. Got {loss!r}.\n"
        "For any other loss choose between candidate values with bayeskit.decide(draws, loss=...)."
    )


def _of_distribution(target: Any, name: str, number: float) -> BayesEstimate:
    import xarray as xr

    if name == "linex":
        raise DecisionError(
            "The linex loss must be given draws, as few distributions have E exp(-a theta) in closed form. "
            f"Got {type(target).__name__}.\nPass target.sample(draws=100_000, seed=1)."
        )
    if name == "squared":
        value = target.mean()
    elif name == "zero_one":
        value = target.mode()
    else:
        value = target.quantile(number)
    return BayesEstimate(value, xr.zeros_like(value, dtype=np.float64))


def _of_draws(target: Any, name: str, number: float) -> BayesEstimate:
    if name == "zero_one":
        raise DecisionError(
            "The zero_one loss must be given a distribution, because draws have no mode. Got draws.\n"
            "Use 'absolute', or for a few discrete values choose between them with bayeskit.decide."
        )
    draws = draws_dataset({"_estimand": target})["_estimand"].rename(None).transpose("chain", "draw", ...)
    template = draws.isel(chain=0, draw=0, drop=True)
    flat = draws.to_numpy().astype(np.float64).reshape(*draws.shape[:2], -1)
    if not np.isfinite(flat).all():
        raise DecisionError(
            f"The draws of a Bayes estimate must be finite. Got {np.size(flat) - np.isfinite(flat).sum()} values that "
            "are not.\nFind them with xarray's isnull()."
        )
    value, mcse = {"squared": _mean, "linex": _linex}.get(name, _quantile)(flat, number)
    return BayesEstimate(*(template.copy(data=x.reshape(template.shape)) for x in (value, mcse)))


def _mean(flat: NDArray[np.float64], _: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return flat.mean(axis=(0, 1)), mcse_mean(flat)


def _linex(flat: NDArray[np.float64], a: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log of the mean of exp(-a theta); MCSE by the delta method."""
    shift = (-a * flat).max(axis=(0, 1))
    weights = np.exp(-a * flat - shift)
    mean = weights.mean(axis=(0, 1))
    return -(np.log(mean) + shift) / a, mcse_mean(weights) / (abs(a) * mean)


def _quantile(flat: NDArray[np.float64], q: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    value = np.quantile(flat, q, axis=(0, 1))
    mcse = np.full(flat.shape[2], 0.0 if flat.shape[1] >= MINIMUM_DRAWS else np.nan)
    for k in np.flatnonzero((np.ptp(flat, axis=(0, 1)) > 0) & ~np.isnan(mcse)):
        mcse[k] = arviz_mcse(flat[:, :, k], method="quantile", prob=q)
    return value, mcse
