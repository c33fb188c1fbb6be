"""Bayes estimates against closed forms; each minimises its own expected loss."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats

from bayeskit.decision import bayes_estimate
from bayeskit.errors import DecisionError

NORMAL = np.random.default_rng(6).normal(2.0, 1.5, size=(4, 4000))
LOSSES = {
    "squared": ("squared", lambda d, x: (d - x) ** 2, 2.0),
    "absolute": ("absolute", lambda d, x: abs(d - x), 2.0),
    "quantile": (
        ("quantile", 0.8),
        lambda d, x: np.where(x > d, 0.8 * (x - d), 0.2 * (d - x)),
        stats.norm.ppf(0.8, 2, 1.5),
    ),
    "linex": (("linex", 0.7), lambda d, x: np.exp(0.7 * (d - x)) - 0.7 * (d - x) - 1, 2 - 0.7 * 1.5**2 / 2),
    "linex under": (("linex", -0.4), lambda d, x: np.exp(-0.4 * (d - x)) + 0.4 * (d - x) - 1, 2 + 0.4 * 1.5**2 / 2),
}


@pytest.mark.parametrize("loss, function, truth", LOSSES.values(), ids=LOSSES)
def test_draws(loss, function, truth):
    estimate = bayes_estimate(NORMAL, loss=loss)
    assert abs(estimate.value.item() - truth) < 4.5 * estimate.mcse.item()
    assert 0 < estimate.mcse < 0.1

    def risk(d):
        return function(d, NORMAL).mean()

    least = optimize.minimize_scalar(risk, bounds=(-1, 6), method="bounded", options={"xatol": 1e-9})
    assert risk(estimate.value.item()) <= least.fun * (1 + 1e-7)  # the empirical risk is flat near its minimum


@pytest.mark.parametrize("loss", ["squared", "absolute", ("linex", 1.0)])
def test_mcse_is_the_spread_over_repeats(loss):
    rng, repeats = np.random.default_rng(9), 200
    runs = [bayes_estimate(rng.normal(size=(2, 300)), loss=loss) for _ in range(repeats)]
    spread, mcse = np.std([run.value for run in runs], ddof=1), np.mean([run.mcse for run in runs])
    assert abs(spread / mcse - 1) < 4.5 / np.sqrt(2 * repeats)  # the error of a standard deviation


def test_dims_are_kept_and_pinball_is_quantile():
    draws = xr.DataArray(np.random.default_rng(1).normal([0, 5], 1, (4, 500, 2)), dims=("chain", "draw", "arm"))
    draws = draws.assign_coords(arm=["A", "B"])
    one, other = bayes_estimate(draws, loss=("pinball", 0.9)), bayes_estimate(draws, loss=("quantile", 0.9))
    assert one.value.dims == ("arm",) and one.value.sel(arm="B") > 5
    xr.testing.assert_equal(one.value, other.value)
    assert bayes_estimate(draws[0, :, 0].drop_vars("arm").values).value.ndim == 0


def test_constants_and_few_draws():
    assert bayes_estimate(np.full((2, 10), 3.0), loss="absolute") == (3, 0)
    assert np.isnan(bayes_estimate(np.arange(3.0), loss="absolute").mcse)
    assert np.isnan(bayes_estimate(np.arange(3.0)).mcse)


class Gamma:
    """A distribution as far as the room knows one: moments and quantiles as DataArrays."""

    law = stats.gamma(3, scale=2)

    def mean(self):
        return xr.DataArray(self.law.mean())

    def mode(self):
        return xr.DataArray(4.0)

    def quantile(self, q):
        return xr.DataArray(self.law.ppf(q))

    def log_prob(self, x):
        return xr.DataArray(self.law.logpdf(x))


@pytest.mark.parametrize(
    "loss, truth",
    [("squared", 6.0), ("zero_one", 4.0), ("absolute", Gamma.law.median()), (("quantile", 0.25), Gamma.law.ppf(0.25))],
)
def test_distributions_answer_exactly(loss, truth):
    estimate = bayes_estimate(Gamma(), loss=loss)
    assert (estimate.value.item(), estimate.mcse.item()) == (truth, 0)


@pytest.mark.parametrize(
    "target, loss, message",
    [
        (NORMAL, "hinge", "'loss' must be one of 'squared', 'absolute'.*Got 'hinge'"),
        (NORMAL, ("quantile", 1.0), r"with 0 < q < 1.*Got \('quantile', 1.0\)"),
        (NORMAL, ("linex", 0), "a not 0"),
        (NORMAL, "quantile", "'loss' must be one of"),
        (NORMAL, ("squared", 2), "'loss' must be one of"),
        (NORMAL, "zero_one", "zero_one loss must be given a distribution"),
        (Gamma(), ("linex", 1.0), "linex loss must be given draws.*Got Gamma"),
        (np.array([[1.0, np.nan, 2, 3]]), "squared", "must be finite. Got 1 values"),
    ],
)
def test_refusals(target, loss, message):
    with pytest.raises(DecisionError, match=message):
        bayes_estimate(target, loss=loss)
