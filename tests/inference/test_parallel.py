"""Parts on several threads: the same numbers however many there are, errors as they are, and nothing left behind."""

import os
import threading
import time

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference import parallel
from bayeskit.inference.elimination import density as density_module
from bayeskit.inference.parallel import each, streams, threads


@pytest.fixture
def several(monkeypatch):
    monkeypatch.setattr(parallel, "threads", lambda: 3)


def test_results_come_in_the_order_of_the_parts(several):
    assert each(lambda part: (time.sleep(0.002 * (7 - part)), part)[1], range(8)) == list(range(8))
    assert each(abs, []) == []


def test_parts_are_worked_on_beside_each_other(several):
    meeting = threading.Barrier(3, timeout=20)
    assert sorted(each(lambda _: meeting.wait(), range(3))) == [0, 1, 2]


def test_one_part_takes_no_thread(several):
    assert each(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]


def test_no_thread_is_left(several):
    before = set(threading.enumerate())
    named = each(lambda _: threading.current_thread(), range(6))
    assert threading.current_thread() not in named
    assert set(threading.enumerate()) == before


def test_an_error_comes_as_it_is_and_what_was_not_begun_is_dropped(several):
    begun = []

    def task(part):
        begun.append(part)
        if part == 1:
            raise bk.errors.RefusedError("The second part.")
        time.sleep(0.02)

    with pytest.raises(bk.errors.RefusedError, match="The second part"):
        each(task, range(200))
    assert len(begun) < 20


def test_what_the_caller_says_of_floating_point_errors_holds(several):
    def task(_):
        return np.float64(1.0) / np.zeros(1)

    with np.errstate(divide="ignore"):
        assert np.isinf(each(task, range(4))).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        each(task, range(4))


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 4), ("1", 1), ("3", 3), ("2,1", 2), ("64", 4), ("", 4), ("0", 4), ("many", 4)]
)
def test_as_many_threads_as_the_process_may_use(limit, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert threads() == expected


@pytest.mark.parametrize(("cores", "expected"), [(2, 2), (None, 1), (96, 8)])
def test_where_affinities_are_not_known_cores_are_counted(cores, expected, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert threads() == expected


def test_streams_follow_from_the_state_and_are_independent():
    rng = np.random.default_rng(3)
    first = np.stack([s.standard_normal(20_000) for s in streams(rng, 8)])
    again = np.stack([s.standard_normal(20_000) for s in streams(np.random.default_rng(3), 8)])
    few = np.stack([s.standard_normal(20_000) for s in streams(np.random.default_rng(3), 2)])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:2], few)  # a stream does not depend on how many there are
    later = np.stack([s.standard_normal(20_000) for s in streams(rng, 8)])
    off = np.corrcoef(np.concatenate([first, later])) - np.eye(16)
    assert np.abs(off).max() * np.sqrt(20_000) < 4.5  # 120 correlations: p < 1e-3


def grouped():
    """A Gaussian block below a core of two numbers, beside a conjugate plate and one by quadrature."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(12), 4)
    m = bk.Model(coords={"group": 12})
    county = m.index("county", dims="obs", into="group")
    s, t = m.latent("s", bk.HalfNormal(2)), m.latent("t", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(m.latent("mu", bk.Normal(0, 5)), t), dims="group")
    m.observed("y", bk.Normal(a[county], s), dims="obs")
    rate = m.latent("rate", bk.Gamma(2, 1 / s), dims="group")
    m.observed("counts", bk.Poisson(rate[county]), dims="obs")
    odds = m.latent("odds", bk.Normal(0, t), dims="group")
    m.observed("hits", bk.Bernoulli(logit=odds[county]), dims="obs")
    y = rng.standard_normal(48) + rng.standard_normal(12)[g]
    return m.condition({"county": g, "y": y, "counts": rng.poisson(2, 48), "hits": rng.integers(0, 2, 48)})


def one_number():
    """A core of one number, by quadrature."""
    m = bk.Model()
    tau = m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(m.latent("mu", bk.Normal(0, 5)), tau), dims="school")
    m.observed("y", bk.Normal(theta, 10.0), dims="school")
    return m.condition({"y": [28.0, 8, -3, 7, -1, 1, 18, 12]})


def plate():
    """A plate by quadrature below such a core."""
    m = bk.Model()
    odds = m.latent("a", bk.Normal(0, m.latent("tau", bk.HalfNormal(2))), dims="g")
    m.observed("y", bk.Binomial(5, logit=odds), dims="g")
    return m.condition({"y": [0, 1, 5, 3, 2, 4]})


@pytest.mark.parametrize("make", [grouped, one_number, plate])
def test_draws_do_not_depend_on_the_number_of_threads(make, monkeypatch):
    monkeypatch.setattr(density_module, "_CHUNK", 2_000)  # many parts
    posterior = make()
    used = set()
    inner = parallel.streams

    def noted(rng, count):
        used.add(count)
        return inner(rng, count)

    monkeypatch.setattr(density_module, "streams", noted)
    trees = []
    for number in (1, 2, 5):
        monkeypatch.setattr(parallel, "threads", lambda number=number: number)
        trees.append(posterior.sample(500, chains=2, seed=11))
    assert trees[0]["posterior"].attrs["bayeskit_method"] == "collapsed"
    assert max(used) > 5
    for tree in trees[1:]:
        for group in ("posterior", "sample_stats"):
            for name, values in tree[group].data_vars.items():
                np.testing.assert_array_equal(values, trees[0][group][name])
    draws = trees[0]["posterior"]["theta" if "theta" in trees[0]["posterior"] else "a"].values
    assert len(np.unique(draws)) == draws.size  # no part has the stream of another
