import numpy as np
import pytest
from scipy import stats

import bayeskit.posterior.density as density
from bayeskit.errors import DataError, ModelError, ParameterError, SamplingWarning, SupportError
from bayeskit.inference import random_walk
from bayeskit.posterior.density import metropolis
from bayeskit.posterior.unconstrained import Unconstrained
from tests.inference.monte_carlo import LIMIT, errors_in_mcse, is_right

SHORT = {"draws": 20, "tune": 40}


def normal(point):
    return -0.5 * point["x"] ** 2


def test_correlated_normal():
    sd = np.arange(1.0, 6.0)
    covariance = 0.9 ** np.abs(np.subtract.outer(sd, sd)) * np.outer(sd, sd)
    precision, mean = np.linalg.inv(covariance), np.arange(5.0)

    def log_density(point):
        z = point["b"] - mean
        return -0.5 * np.einsum("ci,ij,cj->c", z, precision, z)

    tree = metropolis(log_density, {"b": np.zeros(5)}, dims={"b": "k"}, coords={"k": list("abcde")}, draws=2000, seed=1)
    draws = tree["posterior"]["b"]
    assert draws.dims == ("chain", "draw", "k")
    assert list(draws["k"].values) == list("abcde")
    for j in range(5):
        assert is_right(draws.values[..., j], stats.norm(mean[j], covariance[j, j] ** 0.5))
    product = (draws.values[..., 0] - mean[0]) * (draws.values[..., 1] - mean[1])
    assert errors_in_mcse(product, covariance[0, 1], product.var())[0] < LIMIT
    assert abs(float(tree["sample_stats"]["acceptance_rate"].mean()) - 0.275) < 0.1


def test_bounds_take_care_of_the_jacobian():
    """One variable per transform, none of which the density mentions."""

    def log_density(point):
        gamma = (3.0 - 1.0) * np.log(point["g"]) - 2.0 * point["g"]
        beta = np.log(point["p"][:, 0]) + 3.0 * np.log1p(-point["p"][:, 0])
        return gamma + beta + point["below"] - 0.5 * point["free"] ** 2

    tree = metropolis(
        log_density,
        {"g": 1.0, "p": [0.5, 0.0], "below": 1.0, "free": 0.0},
        bounds={"g": (0, None), "p": ([0, -1], [1, 4]), "below": (None, 2)},
        draws=2000,
        seed=2,
    )
    posterior = tree["posterior"]
    assert is_right(posterior["g"].values, stats.gamma(3, scale=0.5))
    assert is_right(posterior["p"].values[..., 0], stats.beta(2, 4))
    assert is_right(posterior["p"].values[..., 1], stats.uniform(-1, 5))
    assert is_right(2.0 - posterior["below"].values, stats.expon())
    assert is_right(posterior["free"].values, stats.norm())
    values = {name: variable.values.reshape(-1, *variable.shape[2:]) for name, variable in posterior.items()}
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values.ravel(), log_density(values), rtol=1e-9, atol=1e-9)


def test_uniform_by_a_density_of_minus_infinity():
    tree = metropolis(lambda p: np.where(np.abs(p["x"]) < 1, 0.0, -np.inf), {"x": 0.99}, draws=2000, seed=3)
    assert is_right(tree["posterior"]["x"].values, stats.uniform(-1, 2))


def test_a_density_of_one_point():
    seen = []

    def log_density(point):
        seen.append({name: np.shape(value) for name, value in point.items()})
        return -0.5 * (point["x"] ** 2 + ((point["v"] - 1.0) ** 2).sum())

    tree = metropolis(log_density, {"x": 0.0, "v": np.zeros(2)}, vectorized=False, draws=1000, tune=300, seed=4)
    assert {tuple(shapes.items()) for shapes in map(dict, seen)} == {(("x", ()), ("v", (2,)))}
    assert is_right(tree["posterior"]["x"].values, stats.norm())
    assert is_right(tree["posterior"]["v"].values[..., 1], stats.norm(1.0))


def test_accepting_too_often_fails_the_same_check(monkeypatch):
    """A kernel for the square root of the density."""
    accept = random_walk._accept
    monkeypatch.setattr(random_walk, "_accept", lambda before, after, rng: accept(0.5 * before, 0.5 * after, rng))
    draws = metropolis(normal, {"x": 0.0}, draws=2000, seed=1)["posterior"]["x"].values
    assert not is_right(draws, stats.norm())


def test_same_seed_same_draws():
    first, second, other = (metropolis(normal, {"x": 0.0}, seed=seed, **SHORT) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first["posterior"]["x"], second["posterior"]["x"])
    assert (first["posterior"]["x"] != other["posterior"]["x"]).any()
    fresh = metropolis(normal, {"x": 0.0}, **SHORT)
    again = metropolis(normal, {"x": 0.0}, seed=int(fresh["posterior"].attrs["seed"]), **SHORT)
    np.testing.assert_array_equal(fresh["posterior"]["x"], again["posterior"]["x"])


def test_the_tree():
    tree = metropolis(lambda p: normal(p) - (p["m"] ** 2).sum((1, 2)), {"x": 0, "m": np.zeros((2, 3))}, seed=7, **SHORT)
    assert tree["posterior"]["m"].dims == ("chain", "draw", "m_dim_0", "m_dim_1")
    assert dict(tree["posterior"].sizes) == {"chain": 4, "draw": 20, "m_dim_0": 2, "m_dim_1": 3}
    stats_group = tree["sample_stats"]
    assert set(stats_group.data_vars) == {"lp", "accepted", "acceptance_rate", "scaling"}
    assert all(variable.dims == ("chain", "draw") for variable in stats_group.data_vars.values())
    assert stats_group["accepted"].dtype == bool
    assert stats_group["acceptance_rate"].dtype == float
    attrs = tree["posterior"].attrs
    assert (attrs["bayeskit_method"], attrs["seed"], attrs["tuning_steps"], attrs["thin"]) == (
        "metropolis",
        "7",
        40,
        14,
    )
    assert (attrs["sampling_problems"], attrs["interrupted"]) == ("none", 0)
    assert attrs["sampling_time"] > 0


@pytest.mark.parametrize("chains", [1, 2, 7])
def test_number_of_chains(chains):
    assert metropolis(normal, {"x": 0.0}, chains=chains, seed=1, **SHORT)["posterior"].sizes["chain"] == chains


def test_one_start_per_chain_is_taken_as_it_is():
    seen = []

    def log_density(point):
        seen.append(point["x"].copy())
        return normal(point)

    metropolis(log_density, [{"x": float(c)} for c in range(3)], chains=3, seed=1, **SHORT)
    np.testing.assert_array_equal(seen[0], [0.0, 1.0, 2.0])


def test_one_start_is_jittered_within_the_support():
    seen = []

    def log_density(point):
        seen.append(point["x"].copy())
        return np.where(np.abs(point["x"] - 5.0) < 1e-3, 0.0, -np.inf)

    tree = metropolis(log_density, {"x": 5.0}, seed=1, draws=50, tune=100)
    assert len(np.unique(seen[2])) == 4
    assert (np.abs(tree["posterior"]["x"] - 5.0) < 1e-3).all()


def test_the_function_may_write_to_its_arrays():
    def log_density(point):
        point["x"] -= 3.0
        return normal(point)

    assert is_right(metropolis(log_density, {"x": 0.0}, seed=2)["posterior"]["x"].values, stats.norm(3.0))


def test_no_tuning():
    assert metropolis(normal, {"x": 0.0}, tune=0, draws=10, seed=1)["posterior"].sizes["draw"] == 10


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda p: -0.5 * (p["v"] ** 2).sum(), "a single number"),
        (lambda p: -0.5 * p["v"] ** 2, r"an array of shape \(4, 3\)"),
        (lambda p: None, "a NoneType"),
        (lambda p: "high", "a str"),
    ],
)
def test_a_wrong_shape_is_named(answer, got):
    with pytest.raises(ModelError, match=rf"one number per chain, an array of shape \(4,\)\. Got {got}"):
        metropolis(answer, {"v": np.zeros(3)}, **SHORT)


def test_a_wrong_shape_of_one_point_is_named():
    with pytest.raises(ModelError, match=r"one number where vectorized=False. Got an array of shape \(3,\)"):
        metropolis(lambda p: -p["v"], {"v": np.zeros(3)}, vectorized=False, **SHORT)


def test_an_error_in_the_function_is_told_about_the_chains():
    def log_density(point):
        return -np.inf if point["x"] < 0 else -point["x"]

    with pytest.raises(ValueError, match="ambiguous") as caught:
        metropolis(log_density, {"x": 1.0}, **SHORT)
    assert "pass vectorized=False" in caught.value.__notes__[0]


def test_a_sum_over_the_chains_is_refused():
    with pytest.raises(ModelError, match="must treat every chain on its own"):
        metropolis(lambda p: -0.5 * (p["v"] ** 2).sum(axis=0), {"v": np.zeros(4)}, seed=1, **SHORT)


def test_a_random_density_is_let_through():
    noise = np.random.default_rng(0)
    tree = metropolis(lambda p: normal(p) + 0.1 * noise.standard_normal(4), {"x": 0.0}, seed=1, **SHORT)
    assert tree["posterior"].sizes["draw"] == 20


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_a_start_of_no_density_names_the_values(value):
    with pytest.raises(SupportError, match=rf"finite at the start. Got {value} in chain 1, at x = 2\.0, y = \[1.0"):
        metropolis(
            lambda p: np.where(p["x"] > 1, value, 0.0),
            [{"x": 0.0, "y": [1, 1]}, {"x": 2.0, "y": [1, 1]}],
            chains=2,
            **SHORT,
        )


def test_nan_on_the_way_is_rejected_and_told():
    with pytest.warns(SamplingWarning, match=r"returned NaN \d+ times"):
        tree = metropolis(lambda p: np.where(p["x"] > 0, -p["x"], np.nan), {"x": 1.0}, draws=2000, seed=3)
    assert "NaN" in tree["posterior"].attrs["sampling_problems"]
    assert is_right(tree["posterior"]["x"].values, stats.expon())


def test_chains_that_do_not_move_are_told():
    """Two chains sit on a point of their own."""

    def log_density(point):
        return np.where(point["x"] > 0, normal(point), np.where(point["x"] == -1e3, 0.0, -np.inf))

    starts = [{"x": 1.0}, {"x": -1e3}, {"x": 1.0}, {"x": -1e3}]
    with pytest.warns(SamplingWarning, match=r"hardly moved: 1 \(0\), 3 \(0\)"):
        tree = metropolis(log_density, starts, tune=0, draws=50, seed=1)
    assert "hardly moved" in tree["posterior"].attrs["sampling_problems"]


def test_an_interrupt_gives_the_draws_so_far(monkeypatch):
    sweep, calls = density.adaptive_sweep, []

    def interrupted(*args, **options):
        calls.append(None)
        if len(calls) > 50:
            raise KeyboardInterrupt
        return sweep(*args, **options)

    monkeypatch.setattr(density, "adaptive_sweep", interrupted)
    with pytest.warns(SamplingWarning, match="interrupted after 10 of 20 draws"):
        tree = metropolis(normal, {"x": 0.0}, seed=1, **SHORT)
    assert tree["posterior"].sizes["draw"] == 10
    assert tree["posterior"].attrs["interrupted"] == 1


@pytest.mark.parametrize("bound", [(1, 0), (0, 0), (np.nan, 1), 3, (0, 1, 2), ([0, 0], None), ("a", None)])
def test_bad_bounds(bound):
    with pytest.raises(ModelError, match="The bounds of 'x' must be a pair"):
        metropolis(normal, {"x": 0.5}, bounds={"x": bound}, **SHORT)


def test_a_start_on_the_bound_is_refused():
    with pytest.raises(SupportError, match=r"initial value of 'x' must lie strictly between its bounds 0.0 and inf"):
        metropolis(normal, {"x": 0.0}, bounds={"x": (0, None)}, **SHORT)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bounds": {"y": (0, 1)}}, ModelError, "'bounds' must name variables of 'initial', which are 'x'"),
        ({"dims": {"y": "k"}}, ModelError, "'dims' must name variables of 'initial', which are 'x'"),
        ({"dims": {"x": "k"}}, ModelError, "dims of 'x' must be one for each axis"),
        ({"draws": 0}, ParameterError, "'draws' must be a positive integer"),
        ({"chains": 2.0}, ParameterError, "'chains' must be a positive integer"),
        ({"thin": 0}, ParameterError, "'thin' must be a positive integer"),
        ({"tune": -1}, ParameterError, "'tune' must be a nonnegative integer"),
        ({"seed": "one"}, ParameterError, "'seed' must be"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        metropolis(normal, {"x": 0.0}, **options)


@pytest.mark.parametrize(
    ("initial", "error", "message"),
    [
        ({}, ModelError, "'initial' must be a dict"),
        ([{"x": 1.0}] * 3, ModelError, "list of one such dict for each of the 4 chains. Got a list of length 3"),
        ([{"x": 1.0}] * 3 + [{"y": 1.0}], ModelError, "must name the same variables"),
        ([{"x": 1.0}] * 3 + [{"x": [1.0]}], ModelError, "of the same shape for every chain"),
        ({"x": "one"}, ModelError, "initial value of 'x' must be a number"),
        ({"x": np.nan}, SupportError, "initial value of 'x' must be finite"),
        ({"x": []}, SupportError, "initial value of 'x' must be finite and not empty"),
    ],
)
def test_bad_starts(initial, error, message):
    with pytest.raises(error, match=message):
        metropolis(normal, initial)


def test_labels_are_checked_before_the_run():
    def never(point):
        raise AssertionError

    with pytest.raises(DataError, match="one label for each of its 2 entries"):
        metropolis(never, {"x": [0.0, 0.0]}, dims={"x": "k"}, coords={"k": ["a"]})
    with pytest.raises(ModelError, match="must not bear the name of a dim"):
        metropolis(never, {"x": [0.0, 0.0]}, dims={"x": "x"})


def test_unconstrained_layout_goes_there_and_back():
    layout = Unconstrained({"a": (2,), "b": (), "c": (1, 2)}, {"a": (0, None), "c": ([[0, -3]], [[1, 3]])})
    rng = np.random.default_rng(0)
    u = rng.standard_normal((3, 5, layout.size))
    values = layout.unpack(u)
    assert {name: value.shape for name, value in values.items()} == {"a": (3, 5, 2), "b": (3, 5), "c": (3, 5, 1, 2)}
    np.testing.assert_allclose(layout.pack(values), u, rtol=1e-12)
    step = 1e-6
    slopes = [
        (layout.unpack(u + step * e)[name] - layout.unpack(u - step * e)[name]).sum(axis=tuple(range(2, 2 + ndim)))
        / (2 * step)
        for e, name, ndim in zip(np.eye(5), ["a", "a", "b", "c", "c"], [1, 1, 0, 2, 2], strict=True)
    ]
    np.testing.assert_allclose(layout.log_jacobian(u), np.log(slopes).sum(axis=0), rtol=1e-7, atol=1e-7)
