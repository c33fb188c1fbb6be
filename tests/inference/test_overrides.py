"""``method=`` and ``steps=``: honoured, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import RefusedError


def beta_binomial():
    m = bk.Model(coords={"arm": ["A", "B"]})
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(10, p), dims="arm")
    return m.condition({"y": [3, 8]})


def hierarchy(prior=None):
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 5))
    tau = m.latent("tau", bk.HalfCauchy(5) if prior is None else prior)
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, 10), dims="school")
    m.latent("next", bk.Normal(mu, tau))
    return m.condition({"y": [28.0, 8.0, -3.0, 7.0]})


def mixture():
    m = bk.Model(coords={"k": 2})
    w = m.latent("w", bk.Dirichlet([1, 1]), dims="k")
    mu = m.latent("mu", bk.Normal(0, 10), dims="k")
    z = m.latent("z", bk.Categorical(w), dims="obs")
    n = m.latent("n", bk.Poisson(3))
    m.observed("y", bk.Normal(mu[z], 1), dims="obs")
    m.observed("count", bk.Binomial(n, 0.5))
    return m.condition({"y": [-2.0, -1.5, 2.0, 2.2], "count": 2})


def logistic():
    m = bk.Model()
    x = m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 2))
    s = m.latent("s", bk.LogNormal(0, 1))
    m.observed("y", bk.Bernoulli(logit=a + b * x), dims="obs")
    m.observed("v", bk.Poisson(s))
    return m.condition({"x": [-1.0, 0.0, 1.0, 2.0], "y": [0, 1, 0, 1], "v": 2})


def vector():
    m = bk.Model(coords={"d": 2})
    x = m.latent("x", bk.MvNormal(0, np.eye(2)), dims="d")
    m.observed("y", bk.Poisson(np.exp(x.sum("d"))))
    return m.condition({"y": 2})


METHODS = [
    (beta_binomial, "auto", "exact"),
    (beta_binomial, "exact", "exact"),
    (beta_binomial, "gibbs", "gibbs"),
    (beta_binomial, "metropolis", "metropolis"),
    (hierarchy, "auto", "collapsed"),
    (hierarchy, "collapsed", "collapsed"),
    (logistic, "auto", "collapsed"),
    (hierarchy, "gibbs", "gibbs"),
    (hierarchy, "metropolis", "metropolis"),
    (mixture, "auto", "gibbs"),
    (mixture, "gibbs", "gibbs"),
    (logistic, "metropolis", "metropolis"),
    (logistic, "gibbs", "gibbs"),
]


@pytest.mark.parametrize(("model", "method", "done"), METHODS)
def test_a_method_is_honoured(model, method, done):
    posterior = model()
    tree = posterior.sample(5, tune=5, chains=2, seed=1, method=method)
    assert tree.attrs["bayeskit_method"] == done
    assert posterior.explain(method=method).startswith(f"method: {done} ")
    assert tree.attrs["explain"] == posterior.explain(method=method)
    for name, latent in posterior._problem.latents.items():
        assert tree["posterior"][name].shape == (2, 5, *latent.shape)


METHODS_REFUSED = [
    (mixture, "collapsed", "method='collapsed' cannot be honoured: 'n' is discrete, and is not integrated out"),
    (beta_binomial, "nuts", "method must be one of auto, exact, collapsed, gibbs, metropolis. Got 'nuts'"),
    (hierarchy, "exact", "method='exact' cannot be honoured: 'tau' lies above the data"),
    (mixture, "exact", "method='exact' cannot be honoured: 'w', 'mu', 'z' depend on each other"),
    (mixture, "metropolis", "'z' is discrete, and random-walk Metropolis moves continuous numbers"),
]


@pytest.mark.parametrize(("model", "method", "reason"), METHODS_REFUSED)
def test_a_method_is_refused(model, method, reason):
    with pytest.raises(RefusedError) as refused:
        model().sample(5, tune=5, method=method)
    assert reason in str(refused.value)


STEPS = [
    (beta_binomial, "p", bk.Slice(), "slice sampling: asked for by steps="),
    (beta_binomial, "p", bk.Metropolis(0.1), "adaptive Metropolis: asked for by steps="),
    (beta_binomial, "p", bk.Conjugate(), "conjugate step: Beta(1, 1) prior with Binomial(p) of 'y'"),
    (hierarchy, "tau", bk.Slice(), "slice sampling: asked for by steps="),
    (hierarchy, "tau", bk.Metropolis(scale=2.0), "adaptive Metropolis: asked for by steps="),
    (hierarchy, "tau", bk.Conjugate(), "conjugate step through a mixture: HalfCauchy(5) is an inverse-gamma mixture"),
    (hierarchy, "mu", bk.Conjugate(), "conjugate step: Normal(0, 5) prior with Normal(mu) of 'theta'"),
    (hierarchy, "mu", bk.GaussianBlock(), "joint Gaussian block of 5 numbers"),
    (hierarchy, "theta", bk.Slice(), "slice sampling: asked for by steps="),
    (mixture, "z", bk.Enumerate(), "enumeration of 2 values, element by element"),
    (mixture, "z", bk.Slice(), "slice sampling: asked for by steps="),
    (mixture, "n", bk.Slice(), "slice sampling: asked for by steps="),
    (mixture, "w", bk.Metropolis(), "adaptive Metropolis: asked for by steps="),
    (mixture, "mu", bk.Slice(), "slice sampling: asked for by steps="),
    (logistic, "a", bk.Slice(), "slice sampling: asked for by steps="),
    (vector, "x", bk.Metropolis(), "adaptive Metropolis: asked for by steps="),
]


@pytest.mark.parametrize(("model", "name", "step", "note"), STEPS)
def test_a_step_is_honoured(model, name, step, note):
    posterior = model()
    steps = {name: step}
    text = " ".join(posterior.explain(steps=steps).split())
    assert note in text
    assert note in text.split(f" {name}", 1)[1]
    tree = posterior.sample(5, tune=5, chains=2, seed=1, steps=steps)
    assert tree.attrs["bayeskit_method"] == "gibbs"
    assert np.isfinite(tree["sample_stats"]["lp"]).all()


STEPS_REFUSED = [
    (hierarchy, "sigma", bk.Slice(), "steps= names 'sigma', which is not a latent of the model"),
    (hierarchy, "y", bk.Slice(), "steps= names 'y', which is not a latent of the model"),
    (hierarchy, "tau", "slice", "must be a step, such as bk.Slice()"),
    (hierarchy, "tau", bk.Slice, "must be a step, such as bk.Slice()"),
    (hierarchy, "next", bk.Slice(), "nothing observed depends on 'next', so it is drawn forward and takes no step"),
    (
        hierarchy,
        "tau",
        bk.GaussianBlock(),
        "steps={'tau': bk.GaussianBlock()} cannot be honoured: it has no normal prior",
    ),
    (hierarchy, "tau", bk.Enumerate(), "cannot be honoured: HalfCauchy is continuous"),
    (mixture, "z", bk.Conjugate(), "steps={'z': bk.Conjugate()} cannot be honoured"),
    (mixture, "z", bk.Metropolis(), "it is discrete, and random-walk Metropolis moves continuous numbers"),
    (mixture, "n", bk.Enumerate(), "Poisson has no known finite range"),
    (mixture, "w", bk.Slice(), "its Dirichlet prior couples its entries"),
    (logistic, "s", bk.Conjugate(), "LogNormal(0, 1) is not of the gamma family"),
    (logistic, "a", bk.Conjugate(), "no rule has Bernoulli(logit) of 'y' as a child"),
    (logistic, "a", bk.GaussianBlock(), "its child 'y' ~ Bernoulli is not Gaussian"),
    (vector, "x", bk.Slice(), "its MvNormal prior couples its entries"),
]


@pytest.mark.parametrize(("model", "name", "step", "reason"), STEPS_REFUSED)
def test_a_step_is_refused(model, name, step, reason):
    with pytest.raises(RefusedError) as refused:
        model().sample(5, tune=5, steps={name: step})
    assert reason in str(refused.value)


def test_slice_is_not_the_advice_where_slice_was_refused():
    for step, advised in ((bk.Slice(), False), (bk.Conjugate(), True)):
        with pytest.raises(RefusedError) as refused:
            (vector if not advised else logistic)().explain(steps={"x" if not advised else "a": step})
        assert str(refused.value).endswith(
            "Leave the choice to the plan" + (", or use bk.Slice()." if advised else ".")
        )


def test_a_half_t_of_an_odd_power_has_no_mixture():
    m = bk.Model()
    tau = m.latent("tau", bk.HalfCauchy(1))
    m.observed("y", bk.Normal(0, var=tau), dims="obs")
    posterior = m.condition({"y": [1.0, 2.0]})
    assert "slice sampling" in posterior.explain(method="gibbs")
    with pytest.raises(RefusedError, match="not of the gamma family"):
        posterior.explain(steps={"tau": bk.Conjugate()})


def test_steps_and_methods_that_contradict():
    with pytest.raises(RefusedError, match="method='exact' takes no steps=: nothing is swept"):
        beta_binomial().sample(method="exact", steps={"p": bk.Slice()})
    with pytest.raises(RefusedError, match=r"steps=\{'tau': bk.Slice\(\)\} cannot be honoured: method='metropolis'"):
        hierarchy().sample(method="metropolis", steps={"tau": bk.Slice()})


def test_every_latent_gets_the_scale_it_was_given():
    steps = {"mu": bk.Metropolis(scale=3.0), "tau": bk.Metropolis(scale=0.1)}
    posterior = hierarchy()
    (step,) = posterior._choose("metropolis", steps).steps
    env = {"mu": np.zeros(2), "tau": np.ones(2), "theta": np.zeros((2, 4))}
    learnt = step.start({**posterior._problem.env, **env}, 2)
    assert step.names == ("mu", "tau", "theta")
    np.testing.assert_allclose(np.diagonal(learnt.cholesky), [3.0, 0.1, 1.0, 1.0, 1.0, 1.0])


def test_what_is_not_asked_for_stays_exact():
    m = bk.Model()
    p, q = m.latent("p", bk.Beta(1, 1)), m.latent("q", bk.Beta(1, 1))
    m.observed("y", bk.Binomial(10, p))
    m.observed("z", bk.Binomial(10, q))
    posterior = m.condition({"y": 3, "z": 5})
    text = posterior.explain(steps={"q": bk.Slice()})
    assert "p  exact; conjugate" in text
    assert "q  slice sampling: asked for by steps=" in text


def test_two_metropolis_steps_record_their_own_acceptance():
    tree = hierarchy().sample(5, tune=5, seed=1, steps={"mu": bk.Metropolis(), "tau": bk.Metropolis()})
    assert {"acceptance_rate_mu", "acceptance_rate_tau"} <= set(tree["sample_stats"].data_vars)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"draws": 0}, "draws must be a whole number of at least 1. Got 0"),
        ({"chains": 0}, "chains must be a whole number of at least 1"),
        ({"tune": -1}, "tune must be a whole number of at least 0"),
        ({"draws": 2.5}, "draws must be a whole number"),
        ({"chains": True}, "chains must be a whole number"),
        ({"include": "waic"}, "include must name groups among"),
    ],
)
def test_counts_and_groups_are_checked(options, reason):
    with pytest.raises(RefusedError, match=reason):
        beta_binomial().sample(**options)
