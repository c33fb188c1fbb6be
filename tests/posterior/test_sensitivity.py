"""Power-scaling sensitivity: against closed forms, quadrature, and ArviZ on draws."""

import logging

import arviz as az
import numpy as np
import pytest
from scipy import integrate, stats

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError
from bayeskit.posterior.checks.powers import FAMILIES, powered_prior

PRIORS = {
    "Normal": bk.Normal(1, 2),
    "HalfNormal": bk.HalfNormal(2),
    "LogNormal": bk.LogNormal(0.3, 0.8),
    "StudentT": bk.StudentT(5, 1, 2),
    "HalfStudentT": bk.HalfStudentT(5, 2),
    "Cauchy": bk.Cauchy(1, 2),
    "HalfCauchy": bk.HalfCauchy(2),
    "Laplace": bk.Laplace(1, 2),
    "Exponential": bk.Exponential(0.7),
    "Gamma": bk.Gamma(2.5, 3),
    "ChiSquared": bk.ChiSquared(3),
    "InverseGamma": bk.InverseGamma(2.5, 3),
    "Beta": bk.Beta(2.5, 0.8),
    "Dirichlet": bk.Dirichlet([1.0, 2.5, 0.7]),
    "Categorical": bk.Categorical([0.2, 0.5, 0.3]),
    "Bernoulli": bk.Bernoulli(0.3),
}
POINTS = {
    "Dirichlet": [[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]],
    "Categorical": [0, 1, 2],
    "Bernoulli": [0, 1],
}


def test_every_family_is_tried():
    assert PRIORS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", PRIORS)
@pytest.mark.parametrize("a", [0.8, 1.3])
def test_a_density_to_a_power(family, a):
    """Its log density is the power of the old one, up to one constant; the constructor checks that it is proper."""
    m = bk.Model(coords={"k": 3})
    prior = PRIORS[family]
    m.latent("x", prior, dims="k" if family == "Dirichlet" else ())
    problem = m.condition({})._problem
    new = powered_prior(problem.latents["x"].prior, problem.env, a)
    points = POINTS.get(family, [0.1, 0.35, 0.8])
    gaps = [float(new.distribution.log_prob(x)) - a * float(prior.log_prob(x)) for x in points]
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-10)
    for x in points:  # what inference reads is the same as what is printed
        own = float(new.log_prob({**problem.env, "x": np.asarray(x)[None]})[0])
        assert own == pytest.approx(float(new.distribution.log_prob(x)), abs=1e-12)


def normal(y=6.0):
    m = bk.Model()
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1))
    return m.condition({"y": y})


def test_derivatives_of_a_normal_mean():
    """With prior precision a and one row of precision b the mean is b y / (a + b), the sd (a + b)^-1/2."""
    found = normal().sensitivity()
    slope = np.log(2)  # d/d log2(a) at a = 1
    for component, mean, sd in (("prior", -6 / 4, -0.5 * 2**-1.5), ("likelihood", 6 / 4, -0.5 * 2**-1.5)):
        at = found.mean.sel(component=component), found.sd.sel(component=component)
        assert float(at[0].mu) == pytest.approx(slope * mean, rel=1e-3)
        assert float(at[1].mu) == pytest.approx(slope * sd, rel=1e-3)


def test_the_distance_by_quadrature():
    step = 0.01
    whole = stats.norm(3, np.sqrt(0.5))
    low, high = whole.ppf([1 / 4001, 4000 / 4001])

    def one_sided(P, Q):
        def term(x):
            p, q = P(x), Q(x)
            return p * np.log2(2 * p / (p + q)) + q * np.log2(2 * q / (p + q))

        both = integrate.quad(term, low, high, epsabs=1e-14)[0]
        return np.sqrt(both / integrate.quad(lambda x: P(x) + Q(x), low, high)[0])

    expected = 0.0
    for a in (1 - step, 1 + step):
        scaled = stats.norm(6 / (a + 1), (a + 1) ** -0.5)
        larger = max(one_sided(whole.cdf, scaled.cdf), one_sided(whole.sf, scaled.sf))
        expected += 0.5 * larger / abs(np.log2(a))
    found = normal().sensitivity(step=step).cjs.sel(component="prior").mu
    assert float(found) == pytest.approx(expected, rel=1e-5)


def shares():
    m = bk.Model(coords={"k": ["a", "b"]})
    m.observed("y", bk.Binomial(20, m.latent("p", bk.Beta(2, 8), dims="k")), dims="k")
    return m.condition({"y": [15, 3]}), ["p"]


def schools():
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    m.observed("y", bk.Normal(m.latent("theta", bk.Normal(mu, tau), dims="school"), se), dims="school")
    data = {"se": [15, 10, 16, 11, 9, 11, 10, 18], "y": [28, 8, -3, 7, -1, 1, 18, 12.0]}
    return m.condition(data), ["mu", "tau"]


@pytest.mark.parametrize("model", [shares, schools])
def test_arviz_finds_the_same_on_draws(model, caplog):
    """Its own estimate from 8,000 draws: a finite sample and smoothed weights leave it within a seventh."""
    caplog.set_level(logging.ERROR)
    posterior, priors = model()
    exact = posterior.sensitivity()
    assert exact.scaled == tuple(priors)
    table = exact.summary()
    tree = posterior.sample(2000, seed=1, include=("log_prior", "log_likelihood"))
    drawn = az.psense_summary(tree, prior_var_names=priors)
    assert list(drawn.index) == list(table.index)
    for column in ("prior", "likelihood"):
        np.testing.assert_allclose(table[column], drawn[column], rtol=0.15, atol=0.012)
    clear = (table[["prior", "likelihood"]] - 0.05).abs().min(axis=1) > 0.02
    assert clear.any() and (table["diagnosis"] == drawn["diagnosis"])[clear].all()


def test_only_some_priors_and_latents():
    posterior, _ = schools()
    found = posterior.sensitivity("theta", prior="tau")
    assert list(found.cjs) == ["theta"] and found.cjs.theta.dims == ("component", "school") and found.scaled == ("tau",)
    assert "priors of 'tau'" in repr(found)


def test_rows_in_cells_are_scaled_too():
    m = bk.Model()
    m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(1, 1))), dims="obs")
    many, few = m.condition({"y": [1] * 30 + [0] * 70}), bk.Model()
    few.observed("y", bk.Binomial(100, few.latent("p", bk.Beta(1, 1))))
    a, b = many.sensitivity(), few.condition({"y": 30}).sensitivity()
    np.testing.assert_allclose(a.cjs.p, b.cjs.p, rtol=1e-9, atol=1e-9)
    assert float(a.cjs.p.sel(component="prior")) == 0.0  # of a uniform prior every power is the same


def test_refusals():
    posterior, _ = schools()
    with pytest.raises(DataError, match=r"prior must name latents at the top .*Got \['theta'\]"):
        posterior.sensitivity(prior="theta")
    with pytest.raises(DataError, match=r"var_names must name latents, .*Got \['nu'\]"):
        posterior.sensitivity(["nu"])
    with pytest.raises(DataError, match=r"step must lie between 0 and 0.5. Got 0"):
        posterior.sensitivity(step=0)
    m = bk.Model()
    m.observed("y", bk.Poisson(m.latent("rate", bk.Gamma(0, 0))), dims="obs")
    with pytest.raises(RefusedError, match=r"the prior of 'rate' is not known in closed form: Gamma.* is improper"):
        m.condition({"y": [1, 2]}).sensitivity()
    m = bk.Model()
    a, b = m.latent("a", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 2))
    m.observed("y", bk.Bernoulli(logit=a + b * m.data("x", dims="obs")), dims="obs")
    with pytest.raises(RefusedError, match=r"No latent has an exact marginal .* Use arviz.psense_summary"):
        m.condition({"x": [0.1, 1, 2, -1], "y": [0, 1, 0, 1]}).sensitivity()
    m = bk.Model()
    m.observed("y", bk.Binomial(9, m.latent("p", bk.Beta(0.005, 1))))
    with pytest.raises(RefusedError, match=r"to the power 1.01 is improper"):
        m.condition({"y": 3}).sensitivity()
