"""Supports and domains: what cannot be is refused with its place; what may be is never refused."""

import numpy as np
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit.errors import ParameterError, SupportError
from tests.model.binding import problem_of, state_of


def observe(distribution, y, dims="obs", coords=None, **data):
    """Bind `y ~ distribution(model)`, where the distribution may use data and latents of the model."""
    m = bk.Model(coords=coords)
    handles = {name: m.data(name, dims="obs") for name in data}
    m.observed("y", distribution(m, **handles), dims=dims)
    return problem_of(m, {"y": y, **data})


def test_the_sentence():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n, p = m.data("n", dims="arm"), m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    with pytest.raises(SupportError) as caught:
        problem_of(m, {"n": [1000, 1010], "y": [52, 1012]})
    assert str(caught.value) == "'y' ~ Binomial(n, p) must lie in 0..n. Got 1012 at arm='B', where n is 1010."


OUTSIDE = [
    (lambda m: bk.Binomial(10, 0.5), [3, 11], "'y' ~ Binomial(10, 0.5) must lie in 0..n. Got 11 at obs=1."),
    (lambda m: bk.Binomial(10, latent(m)), [3, 2.5], "Got 2.5 at obs=1."),
    (lambda m: bk.Bernoulli(latent(m)), [0, 2], "'y' ~ Bernoulli(a) must lie in 0..1. Got 2 at obs=1."),
    (lambda m: bk.Poisson(latent(m)), [0, -1], "'y' ~ Poisson(a) must lie in 0, 1, 2, .... Got -1 at obs=1."),
    (lambda m: bk.Geometric(latent(m)), [1, 0], "must lie in 1, 2, 3, .... Got 0 at obs=1."),
    (lambda m: bk.NegativeBinomial(latent(m), 1), [1, 0.5], "Got 0.5 at obs=1."),
    (lambda m: bk.DiscreteUniform(0, 5), [5, 6], "must lie in lower..upper. Got 6 at obs=1."),
    (lambda m: bk.BetaBinomial(4, latent(m), 1), [4, 5], "must lie in 0..n. Got 5 at obs=1."),
    (lambda m: bk.HalfNormal(latent(m)), [1, -0.1], "Got -0.1 at obs=1."),
    (lambda m: bk.Exponential(latent(m)), [0, -0.1], "must lie in the numbers from 0. Got -0.1"),
    (lambda m: bk.Gamma(latent(m), 1), [1.0, 0.0], "must lie in the positive numbers. Got 0 at obs=1."),
    (lambda m: bk.LogNormal(latent(m), 1), [1.0, -2.0], "must lie in the positive numbers. Got -2 at obs=1."),
    (lambda m: bk.Beta(latent(m), 1), [0.5, 1.5], "must lie in 0..1. Got 1.5 at obs=1."),
    (lambda m: bk.Uniform(0, latent(m)), [0.5, -1.5], "must lie in lower..upper. Got -1.5 at obs=1."),
    (lambda m: bk.Uniform(0, 2), [0.5, 3], "must lie in lower..upper. Got 3 at obs=1."),
    (lambda m: bk.Pareto(latent(m), 2), [2, 1.5], "must lie in the numbers from m. Got 1.5 at obs=1."),
    (lambda m: bk.Truncated(bk.Normal(latent(m), 1), lower=0), [0, -1], "(>= 0). Got -1 at obs=1."),
    (lambda m: bk.Truncated(bk.Poisson(latent(m)), upper=5), [5, 6], "(<= 5). Got 6 at obs=1."),
    (lambda m: bk.Categorical([0.5, 0.5]), [1, 2], "'y' ~ Categorical([0.5, 0.5]) must lie in 0..1. Got 2 at obs=1."),
]


def latent(m):
    return m.latent("a", bk.HalfNormal(1))


@pytest.mark.parametrize(("distribution", "y", "message"), OUTSIDE, ids=[o[2] for o in OUTSIDE])
def test_outside_the_support(distribution, y, message):
    with pytest.raises(SupportError) as caught:
        observe(distribution, y)
    assert message in str(caught.value)
    assert str(caught.value).startswith("'y' ~ ")


VECTORS = [
    (
        lambda m: bk.Multinomial(5, simplex(m)),
        [[1, 2, 2], [1, 1, 1]],
        "vectors of counts that sum to n. Got [1, 1, 1] at obs=1.",
    ),
    (lambda m: bk.Multinomial(3, simplex(m)), [[1, 2, 0], [4, -1, 0]], "Got [ 4, -1,  0] at obs=1."),
    (lambda m: bk.DirichletMultinomial(3, [1, 1, 1]), [[1, 2, 0], [1.5, 1.5, 0]], "at obs=1."),
    (
        lambda m: bk.Dirichlet([1, 1, 1]),
        [[0.2, 0.3, 0.5], [0.2, 0.2, 0.2]],
        "must lie in the simplex. Got [0.2, 0.2, 0.2] at obs=1.",
    ),
    (lambda m: bk.Ordered(bk.Normal(latent(m), 1)), [[1, 2, 3], [1, 3, 2]], "at obs=1."),
]


def simplex(m):
    return m.latent("p", bk.Dirichlet([1, 1, 1]), dims="k")


@pytest.mark.parametrize(("distribution", "y", "message"), VECTORS, ids=[v[2] for v in VECTORS])
def test_vectors_outside_the_support(distribution, y, message):
    with pytest.raises(SupportError) as caught:
        observe(distribution, y, dims=("obs", "k"))
    assert message in str(caught.value)


def test_matrices_outside_the_support():
    m = bk.Model()
    m.observed("S", bk.Wishart(latent(m) + 3, np.eye(2)), dims="k")
    assert problem_of(m, {"S": np.eye(2)})
    with pytest.raises(SupportError, match="must lie in the symmetric positive definite matrices"):
        problem_of(m, {"S": np.array([[1.0, 2.0], [2.0, 1.0]])})


def test_the_first_place_is_named_by_all_its_labels():
    m = bk.Model(coords={"arm": ["A", "B"], "day": [10, 20, 30]})
    n = m.data("n", dims="arm")
    m.observed("y", bk.Binomial(n, 0.5), dims=("arm", "day"))
    with pytest.raises(SupportError, match=r"Got 6 at arm='B', day=20, where n is 5\."):
        problem_of(m, {"n": [9, 5], "y": [[9, 9, 9], [5, 6, 7]]})


def test_missing_entries_have_no_support_to_break():
    assert observe(lambda m: bk.Gamma(1, 1), [1.0, np.nan]).latents
    assert observe(lambda m: bk.Binomial(10, latent(m)), [1.0, np.nan]).latents
    assert observe(lambda m: bk.Bernoulli(0.5), [None, 1]).latents


# ---- never a false alarm ----------------------------------------------------------------------------------------
INSIDE = [
    (lambda m: bk.Uniform(0, latent(m)), [0.0, 100.0]),
    (lambda m: bk.Uniform(-latent(m), latent2(m)), [-100.0, 100.0]),
    (lambda m: bk.Pareto(1, latent(m)), [0.01, 100.0]),
    (lambda m: bk.Truncated(bk.Normal(0, 1), lower=-latent(m)), [-100.0, 100.0]),
    (lambda m: bk.Truncated(bk.Normal(latent(m), 1), lower=0, upper=latent2(m)), [0.0, 100.0]),
    (lambda m: bk.Truncated(bk.Poisson(latent(m)), lower=1), [1, 100]),
    (lambda m: bk.HalfNormal(latent(m)), [0.0, 100.0]),
    (lambda m: bk.HalfCauchy(latent(m)), [0.0, 1e300]),
    (lambda m: bk.Binomial(counts(m), 0.5), [0, 100]),
    (lambda m: bk.BetaBinomial(counts(m), 1, 1), [0, 100]),
    (lambda m: bk.DiscreteUniform(0, counts(m)), [0, 100]),
    (lambda m: bk.Beta(latent(m), 1), [0.0, 1.0]),
    (lambda m: bk.Flat(), [-1e300, 1e300]),
    (lambda m: bk.Categorical(simplex(m)), [0, 2]),
    (lambda m: bk.Categorical(logit=3 * simplex(m)), [0, 2]),
    (lambda m: bk.Poisson(0), [0, 0]),
    (lambda m: bk.Binomial(0, latent(m) / (1 + latent2(m))), [0, 0]),
]
INSIDE_VECTORS = [
    (lambda m: bk.Multinomial(counts(m), simplex(m)), [[1, 2, 2], [1, 1, 1]]),
    (lambda m: bk.Multinomial(5, logit=simplex(m)), [[1, 2, 2], [5, 0, 0]]),
    (lambda m: bk.DirichletMultinomial(counts(m), simplex(m)), [[1, 2, 2], [1, 1, 1]]),
    (lambda m: bk.Dirichlet(simplex(m) * latent(m)), [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]),
    (lambda m: bk.MvNormal(latent(m), np.eye(3)), [[1.0, 2, 3], [-1e300, 0, 0]]),
    (lambda m: bk.Ordered(bk.Normal(latent(m), 1)), [[1.0, 2, 3], [-5, 0, 1]]),
]


def latent2(m):
    return m.latent("b", bk.HalfNormal(1))


def counts(m):
    return m.latent("c", bk.Poisson(3))


@pytest.mark.parametrize("number", range(len(INSIDE)))
def test_parameters_not_yet_known_bound_nothing(number):
    distribution, y = INSIDE[number]
    problem = observe(distribution, y)
    assert len(problem.observations) == 1
    with np.errstate(all="ignore"):
        assert problem.log_joint(state_of(problem)).shape == (2 if problem.latents else 1,)


@pytest.mark.parametrize("number", range(len(INSIDE_VECTORS)))
def test_parameters_of_vectors_not_yet_known(number):
    distribution, y = INSIDE_VECTORS[number]
    assert len(observe(distribution, y, dims=("obs", "k")).observations) == 1


# ---- parameters computed from data ------------------------------------------------------------------------------
BROKEN = [
    (lambda m, s: bk.Normal(0, s), "The parameter sigma = s of 'y' ~ Normal must be positive. Got -1 at obs=1."),
    (
        lambda m, s: bk.Normal(0, var=s * 2),
        "The parameter var = s * 2 of 'y' ~ Normal must be positive. Got -2 at obs=1.",
    ),
    (lambda m, s: bk.Normal(0, tau=s), "The parameter tau = s of 'y' ~ Normal must be positive. Got -1 at obs=1."),
    (
        lambda m, s: bk.Normal(latent(m), np.sqrt(s)),
        "sigma = sqrt(s) of 'y' ~ Normal must be positive. Got nan at obs=1.",
    ),
    (lambda m, s: bk.Poisson(s), "The parameter mu = s of 'y' ~ Poisson must be zero or positive. Got -1 at obs=1."),
    (lambda m, s: bk.Binomial(5, s), "The parameter p = s of 'y' ~ Binomial must be between 0 and 1. Got -1 at obs=1."),
    (lambda m, s: bk.Uniform(0, s), "The parameters of 'y' ~ Uniform(0, s) must satisfy lower < upper."),
    (
        lambda m, s: bk.Truncated(bk.Normal(0, s), lower=0),
        "sigma = s of 'y' ~ Truncated must be positive. Got -1 at obs=1.",
    ),
]


@pytest.mark.parametrize(("distribution", "message"), BROKEN, ids=[b[1] for b in BROKEN])
def test_parameters_outside_their_domain(distribution, message):
    with pytest.raises(ParameterError) as caught:
        observe(distribution, [0.0, 0.0], s=[1.0, -1.0])
    assert message in str(caught.value)
    assert str(caught.value).endswith("computed from.")


def test_parameters_of_latents_are_checked_too():
    m = bk.Model()
    s = m.data("s")
    m.latent("a", bk.Normal(0, s))
    with pytest.raises(ParameterError, match=r"The parameter sigma = s of 'a' ~ Normal must be positive. Got 0"):
        problem_of(m, {"s": 0})


def test_probabilities_are_read_along_their_own_dim():
    """Whatever the order of dims in which they were given."""
    p = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    m = bk.Model()
    probabilities = m.data("p", dims=("k", "obs"))
    m.observed("y", bk.Categorical(probabilities), dims="obs")
    problem = problem_of(m, {"p": p.T, "y": [0, 1, 0]})
    np.testing.assert_allclose(problem.log_joint({}), np.log([0.2, 0.5, 0.9]).sum())
    with pytest.raises(
        ParameterError, match=r"p = p of 'y' ~ Categorical must be probabilities.* Got \[0.9, 0.2\] at obs=2"
    ):
        problem_of(m, {"p": np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.2]]).T, "y": [0, 1, 0]})


def test_matrices_computed_from_data():
    m = bk.Model()
    cov = m.data("cov", dims=("k", "k_"))
    m.observed("y", bk.MvNormal(0, cov), dims=("obs", "k"))
    assert problem_of(m, {"cov": np.eye(2), "y": np.zeros((3, 2))})
    with pytest.raises(
        ParameterError, match="cov = cov of 'y' ~ MvNormal must be a symmetric positive definite matrix"
    ):
        problem_of(m, {"cov": -np.eye(2), "y": np.zeros((3, 2))})


def test_labelled_parameters():
    sd = xr.DataArray([1.0, 2.0], dims="arm", coords={"arm": ["A", "B"]})
    m = bk.Model()
    m.observed("y", bk.HalfNormal(sd), dims="arm")
    with pytest.raises(SupportError, match="Got -1 at arm='B'"):
        problem_of(m, {"y": [1.0, -1.0]})
