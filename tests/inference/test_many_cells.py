"""Cores of one number in many cells: answers made some cells at a time, and the memory that they take."""

import pickle
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayeskit as bk
from bayeskit.distributions import by_parts as parts
from bayeskit.distributions.chunked import Chunked
from bayeskit.errors import RefusedError
from bayeskit.inference import grouped_block
from bayeskit.inference.core import profile

LEVELS = [1e-6, 0.3, 0.5, 0.999]


def regressions(cells, functions=False, seed=15, rows=20):
    rng = np.random.default_rng(seed)
    m = bk.Model()
    x = m.data("x", dims=("group", "row"))
    s2 = m.latent("s2", bk.InverseGamma(2, 1), dims="group")
    a, b = (m.latent(name, bk.Normal(0, 10), dims="group") for name in "ab")
    m.observed("y", bk.Normal(a + b * x, var=s2), dims=("group", "row"))
    if functions:
        m.derived("odds", np.exp(a))
        m.derived("sd", np.sqrt(s2))
        m.derived("logs", 2 * np.log(s2) + 1)
    data = {"x": rng.standard_normal((cells, rows))}
    sd = rng.gamma(4, 0.25, (cells, 1)) ** 0.5
    return m, data | {"y": 1 - data["x"] + sd * rng.standard_normal((cells, rows))}


def coefficients(cells, seed=3):
    """Several coefficients a group, in an order other than that of the groups; a scale with two ends."""
    rng = np.random.default_rng(seed)
    m = bk.Model(coords={"k": ["u", "v"], "g": [f"g{i}" for i in range(cells)]})
    X = m.data("X", dims=("g", "obs", "k"))
    s = m.latent("s", bk.Uniform(0, 5), dims="g")
    b = m.latent("b", bk.Normal(1, 10), dims=("k", "g"))
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    m.observed("y", bk.Normal(a + (X * b).sum("k"), 2 * s), dims=("obs", "g"))
    return m, {"X": rng.normal(size=(cells, 6, 2)), "y": rng.normal(3, 2, (6, cells))}


MODELS = {"regressions": (regressions, ["s2", "a", "b"]), "coefficients": (coefficients, ["s", "b", "a"])}


@pytest.fixture
def few(monkeypatch):
    """Hold the tables of two cells at a time."""

    def hold(posterior, name):
        nodes = len(posterior._plan.collapsed_of(name).line.nodes)
        monkeypatch.setattr(parts, "HELD", 2 * nodes)
        monkeypatch.setattr(profile, "_HELD", 40)

    return hold


@pytest.fixture(params=MODELS)
def both(request, few):
    """Return a posterior whose answers are made at once, and one that makes them cell by cell; and names."""
    make, names = MODELS[request.param]
    model, data = make(5)
    whole = model.condition(data)
    at_once = {name: whole[name] for name in names}
    few(whole, names[0])
    again = model.condition(data)
    assert again.log_evidence() == pytest.approx(whole.log_evidence(), rel=1e-13)
    return at_once, {name: again[name] for name in names}


FIGURES = ["mean", "sd", "quantiles", "eti", "cdf"]
ANSWERS = {
    "mean": lambda d: d.mean(),
    "sd": lambda d: d.sd(),
    "mode": lambda d: d.mode(),
    "median": lambda d: d.quantile(0.5),
    "quantiles": lambda d: d.quantile(LEVELS),
    "eti": lambda d: d.eti(0.9),
    "hdi": lambda d: d.hdi(0.9),
    "cdf": lambda d: d.cdf(0.7),
    "cdfs": lambda d: d.cdf([0.4, 0.7, 2.0]),
    "log_prob": lambda d: d.log_prob(0.7),
    "at its own": lambda d: d.log_prob(d.mean()),
    "moment order": lambda d: xr.DataArray(d._moment_order(np.arange(5))),
    "bounds": lambda d: xr.DataArray(np.stack(np.broadcast_arrays(*d._bounds(np.arange(5)), np.zeros(5))[:2])),
}


@pytest.mark.parametrize("number", range(3))
def test_answers_are_those_made_at_once(both, number):
    at_once, some = (list(of.values())[number] for of in both)
    assert isinstance(some, Chunked) and not isinstance(at_once, Chunked)
    assert (some.family, some.support, some.dims) == (at_once.family, at_once.support, at_once.dims)
    for answer, ask in ANSWERS.items():
        expected, found = ask(at_once), ask(some)
        rtol = 1e-7 if answer == "mode" else 1e-11  # a peak is flat: half the digits of its place are known
        xr.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-13)
        assert found.dims == expected.dims


@pytest.mark.parametrize("name", ["odds", "sd", "logs"])
def test_functions_of_them(few, name):
    model, data = regressions(5, functions=True)
    whole = model.condition(data)
    expected = [_answered(whole[name], ANSWERS[a]) for a in FIGURES]
    few(whole, "s2")
    marginal = model.condition(data)[name]
    for answer, values in zip(FIGURES, expected, strict=True):
        found = _answered(marginal, ANSWERS[answer])
        if isinstance(values, str):
            assert found == values
        else:
            xr.testing.assert_allclose(found, values, rtol=1e-8)


def _answered(marginal, ask):
    try:
        return ask(marginal)
    except RefusedError as refusal:  # of moments that may not exist
        return str(refusal)


def test_summaries_and_draws_are_those_made_at_once(few):
    model, data = coefficients(6)
    whole = model.condition(data)
    summary, draws = whole.summary(), whole.sample(draws=50, chains=2, seed=4)
    few(whole, "s")
    again = model.condition(data)
    np.testing.assert_allclose(again.summary().to_numpy(), summary.to_numpy(), rtol=1e-11, atol=1e-13)
    found = again.sample(draws=50, chains=2, seed=4)
    for group in ("posterior", "sample_stats"):
        xr.testing.assert_allclose(found[group].to_dataset(), draws[group].to_dataset(), rtol=1e-9)


def test_draws_of_marginals_follow_their_cells(both):
    for d in both[1].values():
        draws = d.sample(1000, seed=2)
        xr.testing.assert_identical(draws, d.sample(1000, seed=2))
        levels = d._cdf(draws.values.reshape(1000, -1), np.arange(draws[0].size))
        assert min(stats.kstest(p, "uniform").pvalue for p in levels.T) > 1e-4


def test_they_can_be_kept(both):
    for d in both[1].values():
        again = pickle.loads(pickle.dumps(d))
        xr.testing.assert_identical(again.mean(), d.mean())
        assert repr(again) == repr(d)


class TestParts:
    def test_cells_in_any_order_and_more_than_once(self):
        cell = np.array([[5, 0, 5], [2, 9, 0]])
        x = np.arange(24.0).reshape(4, 2, 3)
        seen = []

        def answer(part):
            seen.append(part.cells)
            return np.stack([part.take(x), part.cells[part.place] + 0.0 * part.take(x)])

        found = parts.by_parts(answer, 3, cell, x)
        np.testing.assert_array_equal(found, np.stack([x, np.broadcast_to(cell, x.shape)]))
        np.testing.assert_array_equal(np.concatenate(seen), [0, 2, 5, 9])

    def test_one_cell_and_none(self):
        assert parts.by_parts(lambda part: part.cells[part.place] * 2.0, 3, 4) == 8.0
        found = parts.by_parts(lambda part: part.take([1.0, 2.0]), 3, 4, [1.0, 2.0])
        np.testing.assert_array_equal(found, [1.0, 2.0])
        assert parts.by_parts(lambda part: part.place, 3, np.zeros((2, 0), dtype=int)).shape == (2, 0)


def test_memory_does_not_hold_tables_of_all_cells(monkeypatch):
    """A tenth of ten thousand regressions, and of what is held at a time, in less than a tenth of 100 MB."""
    for module, name in ((parts, "HELD"), (profile, "_HELD"), (grouped_block, "_PART")):
        monkeypatch.setattr(module, name, getattr(module, name) // 10)
    model, data = regressions(1000)

    def figures(posterior):
        for name in ("a", "b", "s2"):
            d = posterior[name]
            yield d.mean(), d.sd(), d.eti(0.89), d.quantile(0.2), d.cdf(0.5), d.log_prob(0.5), d.sample(20, seed=1)
        yield d.hdi(0.8), d.mode()
        yield posterior.summary(), posterior.log_evidence()

    list(figures(model.condition({name: values[:50] for name, values in data.items()})))
    tracemalloc.start()
    try:
        for _ in figures(model.condition(data)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
