import numpy as np
import pytest
from scipy import stats

from bayeskit.errors import SupportError
from bayeskit.inference.slice import slice_sample, start_width, update_width
from tests.inference.monte_carlo import KS_LEVEL, collect, errors_in_mcse, is_right, ks_p_value


def normal(x):
    return -0.5 * x**2


class Mixture:
    """Two normals, far enough apart to be two modes."""

    weights, centres = np.array([0.3, 0.7]), np.array([-2.0, 2.0])

    def log_density(self, x):
        return np.log(self.weights @ np.exp(-0.5 * ((x - self.centres[:, None]) / 0.7) ** 2))

    def cdf(self, x):
        return (self.weights * stats.norm.cdf(np.asarray(x)[..., None], self.centres, 0.7)).sum(axis=-1)


def chain_of(log_density, x, seed, draws=3000, **options):
    rng = np.random.default_rng(seed)
    return collect(lambda x: slice_sample(log_density, x, rng, **options)[0], x, draws)


@pytest.mark.parametrize("width", [0.3, 3.0, 30.0])
def test_normal(width):
    assert is_right(chain_of(normal, np.zeros(4), 1, width=width), stats.norm())


@pytest.mark.parametrize("max_steps", [1, 2, 5])
def test_limited_stepping_out_is_still_exact(max_steps):
    assert is_right(chain_of(normal, np.zeros(4), 2, width=0.8, max_steps=max_steps), stats.norm())


def test_gamma_of_small_shape_on_its_half_line():
    def log_density(x):
        return (0.5 - 1.0) * np.log(x) - x

    assert is_right(chain_of(log_density, np.ones(4), 3, width=2.0, lower=0.0), stats.gamma(0.5))


def test_uniform_between_bounds_of_each_element():
    lower, upper = np.array([0.0, -3.0]), np.array([1.0, 5.0])
    draws = chain_of(
        np.zeros_like, np.broadcast_to((lower + upper) / 2, (4, 2)), 4, width=1.0, lower=lower, upper=upper
    )
    assert (draws > lower).all()
    assert (draws < upper).all()
    for j in range(2):
        assert is_right(draws[..., j], stats.uniform(lower[j], upper[j] - lower[j]))


def test_two_modes():
    target = Mixture()
    draws = chain_of(target.log_density, np.zeros(4), 5, draws=4000, width=3.0)
    mean = float(target.weights @ target.centres)
    variance = float(target.weights @ (target.centres**2)) + 0.49 - mean**2
    assert max(errors_in_mcse(draws, mean, variance)) < 5
    assert ks_p_value(draws, target.cdf) > KS_LEVEL


def test_heavy_tails():
    draws = chain_of(lambda x: -np.log1p(x**2), np.zeros(4), 6, width=3.0)
    assert ks_p_value(draws, stats.cauchy.cdf) > KS_LEVEL


def test_every_element_is_its_own_target():
    """One array of different targets: each element as its own scalar run would be."""
    shape, rate = np.array([0.7, 2.0, 20.0]), np.array([0.01, 1.0, 50.0])

    def log_density(x):
        return (shape - 1.0) * np.log(x) - rate * x

    together = chain_of(log_density, np.ones((4, 3)), 7, width=shape**0.5 / rate, lower=0.0)
    for j, (a, b) in enumerate(zip(shape, rate, strict=True)):
        alone = chain_of(lambda x, a=a, b=b: (a - 1.0) * np.log(x) - b * x, np.ones(4), 8, width=a**0.5 / b, lower=0.0)
        assert is_right(together[..., j], stats.gamma(a, scale=1 / b))
        assert is_right(alone, stats.gamma(a, scale=1 / b))


def test_a_broken_kernel_fails_the_same_check():
    """It takes points somewhat below the slice as well."""
    rng = np.random.default_rng(1)

    def step(x):
        level = normal(x) - rng.standard_exponential(x.shape)
        candidate = x + 3.0 * (rng.random(x.shape) - rng.random(x.shape))
        return np.where(normal(candidate) > level - 1.0, candidate, x)

    assert not is_right(collect(step, np.zeros(4), 3000), stats.norm())


def test_log_density_returned_is_that_of_the_new_value():
    x, log_p, evaluations = slice_sample(normal, np.zeros((4, 50)), np.random.default_rng(0), width=1.0)
    np.testing.assert_array_equal(log_p, normal(x))
    assert (x != 0.0).all()
    assert evaluations >= 4


@pytest.mark.parametrize("shape", [(), (4,), (4, 3, 2), (4, 0)])
def test_any_shape(shape):
    x, log_p, _ = slice_sample(normal, np.zeros(shape), np.random.default_rng(0), width=1.0)
    assert x.shape == log_p.shape == shape


def test_the_start_is_not_written_to():
    start = np.zeros(4)
    slice_sample(normal, start, np.random.default_rng(0), width=1.0)
    np.testing.assert_array_equal(start, 0.0)


def test_nan_is_outside_the_support():
    def log_density(x):
        return np.where(x > 0.0, -x, np.nan)

    assert is_right(chain_of(log_density, np.ones(4), 9, width=2.0), stats.expon())


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_a_start_outside_the_support_is_refused(value):
    def log_density(x):
        return np.where(x > 1.5, value, 0.0)

    with pytest.raises(SupportError, match=r"'tau' must have a finite log density .* at index \(1, 0\).* 2\.0"):
        slice_sample(log_density, np.array([[1.0], [2.0]]), np.random.default_rng(0), width=1.0, name="tau")


def test_a_density_that_forgets_its_value_leaves_the_element_where_it_was():
    """The bracket closes in floating point instead of shrinking for ever."""
    calls = iter([0.0] + [-np.inf] * 10_000)
    x, _, evaluations = slice_sample(lambda x: np.full(x.shape, next(calls)), 1.0, np.random.default_rng(0), width=1.0)
    assert x == 1.0
    assert evaluations < 1000


@pytest.mark.parametrize("width", [1e-6, 1.0, 1e6])
def test_tuned_width_needs_few_evaluations(width):
    rng = np.random.default_rng(3)
    x, state = np.zeros(4), start_width((), width)
    for _ in range(200):
        new, _, _ = slice_sample(normal, x, rng, width=state.width)
        state, x = update_width(state, x, new), new
    counts = []
    for _ in range(500):
        x, _, evaluations = slice_sample(normal, x, rng, width=state.width)
        counts.append(evaluations)
    assert np.mean(counts) < 8


def test_width_follows_each_element_and_ignores_the_chain():
    rng = np.random.default_rng(4)
    sd = np.array([1e-3, 1.0, 1e3])
    x, state = np.zeros((4, 3)), start_width((3,))
    for _ in range(300):
        new, _, _ = slice_sample(lambda x: -0.5 * (x / sd) ** 2, x, rng, width=state.width)
        state, x = update_width(state, x, new), new
    assert state.width.shape == (3,)
    assert ((state.width / sd > 2) & (state.width / sd < 5)).all()


def test_width_survives_an_element_that_does_not_move():
    state = start_width((), 1.0)
    for _ in range(20):
        state = update_width(state, np.zeros(4), np.zeros(4))
    assert 0 < state.width < 1
