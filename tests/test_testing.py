"""The tools that prove samplers right must also see wrong ones."""

from dataclasses import replace

import numpy as np
import pytest

import bayeskit as bk
from bayeskit import testing
from bayeskit.inference import conjugacy
from bayeskit.model.binding import bind, read
from bayeskit.testing import assert_moments, density_identity, geweke, prior_state, sbc


@pytest.fixture
def problem():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 2))
    s = m.latent("s", bk.HalfNormal(1))
    m.observed("y", bk.Normal(mu, s), dims="obs")
    return bind(m, [read(m, {"y": [0.3, 1.1, -0.4]}, {})])


def with_wrong_row(monkeypatch, **changes):
    def changed(rule):
        if (rule.child, rule.parameter) != ("Normal", "mu"):
            return rule
        return replace(rule, **{name: change(getattr(rule, name)) for name, change in changes.items()})

    monkeypatch.setattr(conjugacy, "RULES", tuple(changed(rule) for rule in conjugacy.RULES))


def test_density_identity_holds_for_one_and_for_a_block(problem):
    assert density_identity(problem, "mu") < 1e-14
    assert density_identity(problem, ["mu"]) < 1e-14

    class Holder:
        pass

    holder = Holder()
    holder.problem = problem  # as a Posterior holds it
    assert density_identity(holder, "mu", {"s": np.array([0.7])}) < 1e-14


def test_a_wrong_contribution_is_seen(problem, monkeypatch):
    with_wrong_row(monkeypatch, contribution=lambda f: lambda y, o, c: (1.001 * f(y, o, c)[0], f(y, o, c)[1]))
    with pytest.raises(AssertionError, match="conditional of mu is not that of the joint"):
        density_identity(problem, "mu")


def test_a_wrong_evidence_is_seen(problem, monkeypatch):
    right = conjugacy.ConjugateUpdate.log_evidence
    monkeypatch.setattr(conjugacy.ConjugateUpdate, "log_evidence", lambda self, env: right(self, env) + 1e-3)
    with pytest.raises(AssertionError, match="the evidence by"):
        density_identity(problem, "mu")


def test_a_block_with_wrong_sums_is_seen(problem, monkeypatch):
    right = testing.GaussianBlock.log_marginal
    monkeypatch.setattr(testing.GaussianBlock, "log_marginal", lambda self, env: right(self, env) + 1e-6)
    with pytest.raises(AssertionError, match="the evidence by"):
        density_identity(problem, ["mu"])


def test_what_is_not_conjugate_is_named():
    m = bk.Model()
    m.observed("y", bk.Normal(m.latent("mu", bk.StudentT(3, 0, 1)), 1), dims="obs")
    with pytest.raises(AssertionError, match="'mu' is not conjugate: StudentT is not a normal"):
        density_identity(bind(m, [read(m, {"y": [0.3]}, {})]), "mu")


def test_prior_state_follows_the_graph(problem):
    m = bk.Model()
    g = m.index("g", dims="obs")
    rate = m.latent("rate", bk.Gamma(2, 1))
    theta = m.latent("theta", bk.Exponential(rate), dims="g")
    m.observed("y", bk.Poisson(theta[g]), dims="obs")
    bound = bind(m, [read(m, {"g": list("aab"), "y": [1, 0, 2]}, {})])
    state = prior_state(bound, 5, np.random.default_rng(0), given={"rate": np.array([1e6])})
    assert state["theta"].shape == (5, 2)
    assert (state["theta"] < 1e-3).all()
    assert set(prior_state(bound, 2, np.random.default_rng(0), skip=["theta"])) == {"rate"}


def test_moments_are_judged_by_their_errors():
    rng = np.random.default_rng(1)
    draws = rng.normal([1.0, -2.0], [0.5, 3.0], (4, 2000, 2))
    assert_moments(draws, mean=[1.0, -2.0], sd=[0.5, 3.0])
    assert_moments(draws, sd=3.0 * np.array([1 / 6, 1]))
    with pytest.raises(AssertionError, match=r"mean of draws at \(1,\) is -2\.0\d+, \d+\.\d MCSE from -1\.5"):
        assert_moments(draws, mean=[1.0, -1.5])
    with pytest.raises(AssertionError, match=r"variance of x at \(0,\)"):
        assert_moments(draws, mean=[1.0, -2.0], sd=[0.6, 3.0], name="x")
    with pytest.raises(AssertionError, match=r"(inf|nan) MCSE"):
        assert_moments(np.full((4, 100), np.nan), mean=0.0)
    slow = np.repeat(rng.normal(size=(4, 40)), 50, axis=1)  # 160 numbers, however often they are repeated
    assert_moments(slow, mean=0.0)


def simulate(rng, n):
    mu = rng.normal(size=n)
    return {"mu": mu, "y": rng.normal(mu, 1.0)}


def resimulate(state, rng):
    return {**state, "y": rng.normal(state["mu"], 1.0)}


def gibbs(shrink, variance):
    return lambda state, rng: {**state, "mu": rng.normal(shrink * state["y"], np.sqrt(variance))}


def moments(state):
    return {"mu": state["mu"], "mu^2": state["mu"] ** 2, "mu y": state["mu"] * state["y"]}


def test_geweke_sees_broken_steps():
    scores = geweke(simulate, gibbs(0.5, 0.5), resimulate, moments, seed=2)
    assert set(scores) == {"mu", "mu^2", "mu y"}
    with pytest.raises(AssertionError, match="does not leave the posterior invariant: after 10 sweeps"):
        geweke(simulate, gibbs(0.5, 0.7), resimulate, moments, seed=2)
    loud = geweke(simulate, gibbs(0.6, 0.5), resimulate, moments, seed=2, limit=None)
    assert max(abs(z) for z in loud.values()) > 5


def one_pair(rng):
    mu = rng.normal(size=2)
    return {"mu": mu}, rng.normal(mu, 1.0)


def posterior(variance):
    return lambda y, rng, draws: {"mu": rng.normal(0.5 * y, np.sqrt(variance), (draws, 2))}


def test_sbc_sees_wrong_posteriors():
    result = sbc(one_pair, posterior(0.5), seed=3)
    assert result.ranks["mu"].shape == (200, 2)
    assert 0 <= result.ranks["mu"].min() <= result.ranks["mu"].max() <= result.draws == 99
    with pytest.raises(AssertionError, match="ranks of 'mu' must be uniform"):
        sbc(one_pair, posterior(0.15), seed=3)
    assert sbc(one_pair, posterior(0.15), seed=3, level=None).p_values["mu"] < 1e-4
    with pytest.raises(ValueError, match=r"bins must divide draws \+ 1"):
        sbc(one_pair, posterior(0.5), bins=7)


def test_the_conjugate_update_passes_geweke_and_sbc():
    """The library's own update of a mean, with the data as part of the state."""
    from bayeskit.inference.conjugacy import match

    m = bk.Model()
    mu = m.latent("mu", bk.Normal(1, 2))
    y = m.latent("y", bk.Normal(mu, 0.5), dims="obs")
    m.observed("seen", bk.Normal(y, 1e3), dims="obs")
    bound = bind(m, [read(m, {"seen": [0.0, 0.0, 0.0]}, {})])
    update = match(bound, "mu")

    def both(rng, n):
        return prior_state(bound, n, rng)

    def step(state, rng):
        return {**state, "mu": update.draw({**bound.env, **state}, rng, len(state["mu"]))}

    def new_data(state, rng):
        return {**state, "y": prior_state(bound, len(state["mu"]), rng, given={"mu": state["mu"]})["y"]}

    def statistics(s):
        return {"mu": s["mu"], "mu^2": s["mu"] ** 2, "mu y": s["mu"] * s["y"].mean(axis=1)}

    geweke(both, step, new_data, statistics, seed=4)

    def truth(rng):
        state = both(rng, 1)
        return {"mu": state["mu"][0]}, state["y"]

    def sample(data, rng, draws):
        return {"mu": update.draw({**bound.env, "y": data}, rng, draws)}

    sbc(truth, sample, seed=5)
