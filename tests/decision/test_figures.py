"""The figures of a decision against closed forms, quadrature and published cases, in multiples of their MCSE."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bayeskit.decision import decide
from bayeskit.decision.figures import PER_ACTION, figures

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
MULTIPLE = 4.5  # two-sided 7e-6 a figure


def loss_integral(mean, sd):
    """E max(0, X) - max(0, E X) of a normal X: the unit normal loss integral (Raiffa and Schlaifer 1961, 5.6)."""
    z = abs(mean) / sd
    return sd * (stats.norm.pdf(z) - z * stats.norm.sf(z))


def close(value, mcse, truth):
    assert np.all(np.abs(np.asarray(value) - truth) <= MULTIPLE * np.asarray(mcse)), (value, mcse, truth)


@pytest.mark.parametrize("mean, sd", [(0.5, 1.0), (0.0, 2.0), (-1.0, 0.7)])
def test_two_normals_have_the_closed_form_evpi(mean, sd):
    x = np.random.default_rng(11).normal(mean, sd, size=(4, 5000))
    d = decide({"x": x}, utility=lambda post: {"do": post.x, "leave": 0})
    truth = loss_integral(mean, sd)
    close(d.evpi, d.evpi_mcse, truth)
    close(d.expected_utility, d.expected_utility_mcse, [mean, 0])
    close(d.expected_loss, d.expected_loss_mcse, [truth + max(-mean, 0), truth + max(mean, 0)])
    close(d.prob_best, d.prob_best_mcse, [stats.norm.cdf(mean / sd), stats.norm.sf(mean / sd)])
    close(d.gap, d.gap_mcse, abs(mean))


def test_beta_arms_against_quadrature():
    a, b = np.array([53, 71, 60]), np.array([949, 940, 930])
    p = np.random.default_rng(3).beta(a, b, size=(4, 5000, 3))
    d = decide({"p": p}, utility=lambda post: post.p)

    def best(k):
        others = [j for j in range(3) if j != k]

        def density(x):
            return stats.beta.pdf(x, a[k], b[k]) * np.prod([stats.beta.cdf(x, a[j], b[j]) for j in others])

        return integrate.quad(density, 0, 0.2, limit=200)[0]

    def below(x):
        return np.prod(stats.beta.cdf(x, a, b))

    top = integrate.quad(lambda x: 1 - below(x), 0, 0.2, limit=200)[0]
    close(d.prob_best, d.prob_best_mcse, [best(k) for k in range(3)])
    close(d.expected_loss, d.expected_loss_mcse, top - a / (a + b))


def conjugate_tests():
    """Two published tests between arms with their exact answers (by quadrature), as draws of the posterior."""
    rng, size = np.random.default_rng(5), (4, 10_000)
    rates = rng.beta([80.5, 160.5], [20.5, 40.5], size=(*size, 2))  # 80/100 and 160/200, Beta(1/2, 1/2)
    exact = {"prob_best": [0.49588802, 0.50411198], "expected_loss": [0.020191446, 0.018713686]}
    yield pytest.param({"u": rates}, lambda post: post.u, exact, None, id="Bernoulli, 2 arms")
    counts = rng.gamma(10_000.1, 1 / np.array([3150.1, 3200.1, 3100.1]), size=(*size, 3))  # Gamma(0.1, 0.1)
    exact = {
        "prob_best": [0.12703336, 0.0071459381, 0.8658207],
        "expected_loss": [0.054214523, 0.10381507, 0.0030140112],
    }
    yield pytest.param({"u": counts}, lambda post: post.u, exact, None, id="Poisson, 3 arms")


def health_economics():
    """Vaccination against the status quo, by the price k of a unit of health: deterministic in the stored draws."""
    path = REFERENCE / "cases" / "voi_bcea_vaccine.json"
    if not path.exists():
        return
    data = json.loads((REFERENCE / "data" / "bcea_vaccine.json").read_text())
    draws = xr.Dataset({name: (("draw", "option"), data[name]) for name in ("effects", "costs")})
    for k, answer in json.loads(path.read_text())["exact"]["by_k"].items():
        exact = {
            "prob_best": [1 - answer["CEAC"], answer["CEAC"]],
            "evpi": answer["EVPI"],
            "gap": abs(answer["EIB"]),
            "best": int(answer["EIB"] > 0),
        }
        yield pytest.param(draws, lambda post, k=float(k): k * post.effects - post.costs, exact, 1e-6, id=f"BCEA, {k}")


@pytest.mark.parametrize("draws, utility, exact, rtol", [*conjugate_tests(), *health_economics()])
def test_published_cases(draws, utility, exact, rtol):
    d = decide(draws, utility=utility)
    for name, truth in exact.items():
        if rtol is None:
            close(getattr(d, name), getattr(d, f"{name}_mcse"), truth)
        else:
            np.testing.assert_allclose(getattr(d, name), truth, rtol=rtol)


def autoregression(rng, coefficient, size):
    """AR(1) chains with standard normal margins, started in them."""
    noise = rng.normal(size=size)
    x = np.empty(size)
    x[:, 0] = noise[:, 0]
    for t in range(1, size[1]):
        x[:, t] = coefficient * x[:, t - 1] + np.sqrt(1 - coefficient**2) * noise[:, t]
    return x


@pytest.mark.parametrize("coefficient", [0.0, 0.8])
def test_mcse_covers_the_truth_with_autocorrelated_chains(coefficient):
    rng, repeats = np.random.default_rng(2), 300
    truth = np.array([0.1, loss_integral(0.1, 1), loss_integral(0.1, 1) + 0.1, stats.norm.cdf(0.1)])
    covered, naive = np.zeros(truth.size), 0
    for _ in range(repeats):
        x = 0.1 + autoregression(rng, coefficient, (4, 400))
        f = figures(np.stack([x, np.zeros_like(x)], axis=-1))
        value = np.array([f["expected_utility"][0], *f["expected_loss"], f["prob_best"][0]])
        mcse = np.array([f["expected_utility_mcse"][0], *f["expected_loss_mcse"], f["prob_best_mcse"][0]])
        covered += np.abs(value - truth) <= 1.96 * mcse
        naive += abs(value[0] - truth[0]) <= 1.96 * x.std() / np.sqrt(x.size)
    low, high = stats.binom.ppf([1e-5, 1 - 1e-5], repeats, 0.95)
    assert np.all((covered >= low) & (covered <= high)), covered
    assert coefficient == 0 or naive < low  # the check has teeth: the iid formula fails it


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_order_and_the_names_of_actions_do_not_matter(data):
    seed, size = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(1, 5))
    order = data.draw(st.permutations(range(size)))
    u = np.random.default_rng(seed).normal(size=(2, 20, size))
    labels = np.array([f"a{i}" for i in range(size)])
    array = xr.DataArray(u, dims=("chain", "draw", "act"), coords={"act": labels})
    one, other = (decide({"u": x}, utility=lambda post: post.u) for x in (array, array[..., order]))
    assert one.best.item() == other.best.item()
    assert bool(one.resolved) == bool(other.resolved)
    for name in ["gap", "evpi", *PER_ACTION]:
        for end in ("", "_mcse"):
            ours, theirs = getattr(one, name + end), getattr(other, name + end)
            if "act" in ours.dims:
                theirs = theirs.sel(act=labels)
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    renamed = decide({"u": array.assign_coords(act=labels[::-1])}, utility=lambda post: post.u)
    np.testing.assert_array_equal(renamed.expected_loss, one.expected_loss)
    assert renamed.best.item() == labels[::-1][list(labels).index(one.best.item())]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1e-12, 1.0, 1e12]))
def test_identities_hold_in_any_unit(seed, size, unit):
    u = unit * np.random.default_rng(seed).normal(size=(2, 30, size)).round(1)  # rounding makes ties
    f = figures(u)
    assert np.isclose(f["prob_best"].sum(), 1)
    assert f["evpi"] >= 0 and np.all(f["expected_loss"] >= f["evpi"])
    scale = np.abs(u).max()
    np.testing.assert_allclose(f["evpi"], u.max(-1).mean() - u.mean((0, 1)).max(), atol=1e-14 * scale, rtol=0)
    plain = figures(u / unit)
    np.testing.assert_allclose(f["expected_utility_mcse"] / unit, plain["expected_utility_mcse"], rtol=1e-9)


def test_ties_are_shared_and_never_resolved():
    x = np.random.default_rng(0).normal(size=(4, 100))
    f = figures(np.stack([x, x, x - 1], axis=-1))
    np.testing.assert_array_equal(f["prob_best"], [0.5, 0.5, 0])
    np.testing.assert_array_equal(f["prob_best_mcse"], 0)
    assert (f["best"], f["gap"], f["gap_mcse"], f["resolved"], f["evpi"]) == (0, 0, 0, False, 0)


def test_paired_precision_survives_a_huge_common_part():
    rng = np.random.default_rng(1)
    common, difference = 1e9 + 1e6 * rng.normal(size=(4, 1000)), rng.normal(0.5, 1, size=(4, 1000))
    f = figures(np.stack([common + difference, common], axis=-1))
    close(f["gap"], f["gap_mcse"], 0.5)
    assert f["gap_mcse"] < 0.03 and f["resolved"]


def test_resolved_looks_beyond_the_runner_up():
    rng = np.random.default_rng(4)
    best = np.zeros((4, 1000))
    wild = rng.normal(size=(4, 1000))
    wild = wild - wild.mean() - 0.02  # behind by 0.02, with an MCSE of about 0.016
    f = figures(np.stack([best, best - 0.01, wild], axis=-1))  # the runner-up is behind by 0.01, for certain
    assert (f["best"], f["gap_mcse"]) == (0, 0)
    assert not f["resolved"]
    assert figures(np.stack([best, best - 0.01], axis=-1))["resolved"]


def test_a_single_action_is_best_with_nothing_to_lose():
    f = figures(np.random.default_rng(0).normal(size=(2, 50, 1)))
    assert (f["best"], f["evpi"], f["evpi_mcse"], f["gap"], f["gap_mcse"]) == (0, 0, 0, np.inf, 0)
    assert f["resolved"] and f["prob_best"] == [1]


@pytest.mark.parametrize("draws", [1, 3])
def test_too_few_draws_have_no_mcse_and_resolve_nothing(draws):
    f = figures(np.arange(2.0 * draws * 2).reshape(2, draws, 2))
    assert np.isnan(f["expected_utility_mcse"]).all() and np.isnan(f["gap_mcse"])
    assert f["best"] == 1 and not f["resolved"]


def test_one_chain_is_enough():
    x = autoregression(np.random.default_rng(8), 0.5, (1, 4000))
    f = figures(np.stack([x, np.zeros_like(x)], axis=-1))
    close(f["expected_utility"], f["expected_utility_mcse"], [0, 0])
    iid = 1 / np.sqrt(4000)
    assert 1.4 * iid < f["expected_utility_mcse"][0] < 2.1 * iid  # sqrt(1.5 / 0.5) = 1.73


def test_memory_is_that_of_one_cell():
    u = xr.DataArray(
        np.random.default_rng(0).normal(size=(2, 200, 40, 10)), dims=("chain", "draw", "segment", "action")
    )
    decide({"u": u[:, :, :1]}, utility=lambda post: post.u, action="action")  # imports
    tracemalloc.start()
    decide({"u": u}, utility=lambda post: post.u, action="action")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < u.nbytes / 2
