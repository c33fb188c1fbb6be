"""Geweke's joint test of every step, simulation-based calibration of every rung, and broken ones that must fail."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import SamplingWarning
from bayeskit.inference.plan import make_plan
from bayeskit.inference.sweep import draw_factor, draw_forward
from bayeskit.model.binding import bind
from bayeskit.testing import geweke, sbc

# ---- models, each with a group of steps -----------------------------------------------------------------------------


def shares():
    m = bk.Model(coords={"obs": 3})
    p = m.latent("p", bk.Beta(2, 2))
    m.observed("y", bk.Binomial(4, p), dims="obs")
    return m


def schools(tau):
    m = bk.Model(coords={"g": 3})
    mu, tau = m.latent("mu", bk.Normal(0, 1)), m.latent("tau", tau)
    theta = m.latent("theta", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Normal(theta, 0.7), dims="g")
    return m


def half_normal():
    return schools(bk.HalfNormal(1))


def half_t():
    return schools(bk.HalfStudentT(6, 0.7))


def exponential():
    return schools(bk.Exponential(1))


def regression():
    m = bk.Model(coords={"obs": 4})
    s2 = m.latent("s2", bk.InverseGamma(4, 3))
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1))
    c = m.latent("c", bk.Truncated(bk.Normal(0, 1), lower=0))
    x = np.array(0.5)
    m.observed("y", bk.Normal(a + b * x + c, var=s2), dims="obs")
    return m


def mixture():
    m = bk.Model(coords={"k": 2, "obs": 4})
    w = m.latent("w", bk.Dirichlet([2, 3]), dims="k")
    mu = m.latent("mu", bk.Normal(0, 1), dims="k")
    z = m.latent("z", bk.Categorical(w), dims="obs")
    m.observed("y", bk.Normal(mu[z], 0.5), dims="obs")
    return m


def counts():
    m = bk.Model(coords={"obs": 3})
    alpha, beta = m.latent("alpha", bk.Gamma(3, 2)), m.latent("beta", bk.Gamma(3, 2))
    rate = m.latent("rate", bk.Gamma(alpha, beta), dims="obs")
    n = m.latent("n", bk.Poisson(4))
    m.observed("y", bk.Poisson(rate), dims="obs")
    m.observed("k", bk.Binomial(n, 0.4))
    return m


def student():
    m = bk.Model(coords={"obs": 3})
    mu, s = m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1))
    m.observed("y", bk.StudentT(5, mu, s), dims="obs")
    return m


def laplace():
    m = bk.Model(coords={"obs": 3})
    mu, b = m.latent("mu", bk.Normal(0, 1)), m.latent("b", bk.InverseGamma(4, 3))
    m.observed("y", bk.Laplace(mu, b), dims="obs")
    return m


def covariance():
    m = bk.Model(coords={"obs": 3, "d": 2})
    mu = m.latent("mu", bk.Normal(0, 1), dims="d")
    S = m.latent("S", bk.InverseWishart(9, 6 * np.eye(2)), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    return m


def logistic():
    m = bk.Model(coords={"obs": 3})
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Binomial(3, logit=a - b), dims="obs")
    return m


def rates():
    m = bk.Model(coords={"obs": 5})
    alpha, beta = m.latent("alpha", bk.Gamma(3, 2)), m.latent("beta", bk.Gamma(3, 2))
    rate = m.latent("rate", bk.Gamma(alpha, beta), dims="obs")
    m.observed("y", bk.Poisson(rate), dims="obs")
    return m


def random_intercepts():
    m = bk.Model(coords={"g": 4})
    mu, tau = m.latent("mu", bk.Normal(0, 1)), m.latent("tau", bk.HalfNormal(1.5))
    a = m.latent("a", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Binomial(2, logit=a), dims="g")
    return m


# ---- Geweke: one chain a replicate ----------------------------------------------------------------------------------


class Joint:
    """A model's prior, its data given latents, and its sweep, with a replicate in every chain."""

    def __init__(self, model, method="gibbs", steps=None):
        self.model = model
        self.open = bind(model, [{}], draw_observed=True)
        self.observed = [n for n, r in model.random.items() if r.observed]
        self.method, self.steps = method, steps

    def simulate(self, rng, replicates):
        return draw_forward(self.open, list(self.open.latents), {}, rng, replicates)

    def resimulate(self, state, rng):
        env = {**self.open.env, **state}
        batch = len(next(iter(state.values())))
        new = {n: draw_factor(self.open.latents[n].prior, env, rng, batch) for n in self.observed}
        return {**state, **new}

    def statistics(self, state):
        found = {}
        for n, v in state.items():
            flat = np.asarray(v, dtype=float).reshape(len(v), -1)
            found |= {n: flat.mean(axis=1), f"{n}^2": (flat**2).mean(axis=1), f"{n}[0]": flat[:, 0]}
        names = [n for n in state if n not in self.observed]
        firsts = [np.asarray(state[n], dtype=float).reshape(len(state[n]), -1)[:, 0] for n in names]
        found["product"] = np.prod([np.tanh(f) for f in firsts], axis=0)
        return found

    def step(self, state, rng):
        """Sweep each replicate once on its own data: data differ, so replicates are chains of their own problems."""
        moved = {n: [] for n in state if n not in self.observed}
        for i in range(len(next(iter(state.values())))):
            data = {n: state[n][i] for n in self.observed}
            problem = self.model.condition(data)._problem
            plan = make_plan(problem, self.method, self.steps)
            env = {**plan.working.env, **{n: state[n][i : i + 1] for n in moved}}
            for hidden in plan.working.latents.keys() - moved.keys():
                env[hidden] = draw_factor(plan.working.latents[hidden].prior, env, rng, 1)
            hidden = plan.working.latents.keys() - moved.keys()
            order = [s for s in plan.steps if set(s.names) & hidden] + [
                s for s in plan.steps if not set(s.names) & hidden
            ]
            for one in order:  # what is hidden is not in the state: it is drawn first, given the rest
                values, _, _ = one.update(env, rng, 1, one.start(env, 1), False)
                env |= values
            for n in moved:
                moved[n].append(env[n][0])
        return {**state, **{n: np.stack(v) for n, v in moved.items()}}


def joint_test(joint, replicates, sweeps, limit=5.0):
    return geweke(joint.simulate, joint.step, joint.resimulate, joint.statistics, replicates=replicates, sweeps=sweeps,
                  seed=1, limit=limit)  # fmt: skip


MODELS = [shares, half_normal, half_t, exponential, regression, mixture, counts, covariance, logistic]
STEPS = {
    "conjugate": (half_t, {"tau": bk.Conjugate(), "mu": bk.Conjugate(), "theta": bk.Conjugate()}),
    "slice": (half_normal, {"tau": bk.Slice(), "mu": bk.Slice(), "theta": bk.Slice()}),
    "metropolis": (half_normal, {"tau": bk.Metropolis(), "mu": bk.Metropolis(), "theta": bk.Metropolis()}),
    "whole numbers": (mixture, {"z": bk.Slice(), "w": bk.Metropolis(0.5)}),
}


@pytest.mark.parametrize("model", [shares, half_normal, mixture], ids=lambda f: f.__name__)
def test_steps_leave_the_joint_distribution(model):
    joint_test(Joint(model()), replicates=250, sweeps=3)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda f: f.__name__)
def test_steps_leave_the_joint_distribution_in_long_runs(model):
    joint_test(Joint(model()), replicates=1500, sweeps=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_steps_asked_for_leave_the_joint_distribution(name):
    model, steps = STEPS[name]
    joint_test(Joint(model(), "auto", steps), replicates=1000, sweeps=6)


def test_a_broken_step_fails():
    class Broken(Joint):
        def step(self, state, rng):
            moved = super().step(state, rng)
            return {**moved, "p": moved["p"] ** 1.3}

    with pytest.raises(AssertionError, match="does not leave the posterior invariant"):
        joint_test(Broken(shares()), replicates=250, sweeps=3)


# ---- simulation-based calibration -----------------------------------------------------------------------------------


def calibrate(model, method, replicates, draws=99, thin=2, tune=100, break_it=None):
    joint = Joint(model)
    drawn = [n for n in joint.open.latents if n not in joint.observed]

    def simulate(rng):
        state = joint.simulate(rng, 1)
        return {n: state[n][0] for n in drawn}, {n: state[n][0] for n in joint.observed}

    def sample(data, rng, count):
        with warnings.catch_warnings():  # a run that warns of its proposals counts as any other: ranks are over all
            warnings.simplefilter("ignore", SamplingWarning)
            tree = model.condition(data).sample(count * thin, chains=1, tune=tune, seed=rng, method=method)
        found = {n: tree["posterior"][n].values[0, ::thin] for n in drawn}
        return found if break_it is None else break_it(found)

    return sbc(simulate, sample, replicates=replicates, draws=draws, seed=2)


RUNGS = [
    (shares, "exact"),
    (shares, "gibbs"),
    (shares, "metropolis"),
    (half_normal, "gibbs"),
    (half_normal, "metropolis"),
    (half_t, "gibbs"),
    (exponential, "gibbs"),
    (regression, "gibbs"),
    (student, "gibbs"),
    (laplace, "gibbs"),
    (covariance, "gibbs"),
    (logistic, "metropolis"),
    (half_t, "collapsed"),
    (exponential, "collapsed"),
    (regression, "collapsed"),
    (student, "collapsed"),
    (laplace, "collapsed"),
    (logistic, "collapsed"),
    (rates, "collapsed"),
    (random_intercepts, "collapsed"),
]


@pytest.mark.parametrize(
    ("model", "method"),
    [(shares, "exact"), (half_normal, "gibbs"), (half_normal, "collapsed"), (random_intercepts, "collapsed")],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_ranks_are_uniform(model, method):
    calibrate(model(), method, replicates=100, draws=49, tune=30)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "method"), RUNGS, ids=lambda v: getattr(v, "__name__", v))
def test_ranks_are_uniform_in_long_runs(model, method):
    calibrate(model(), method, replicates=300, thin=8, tune=300)


def test_ranks_of_a_posterior_too_narrow():
    def narrow(found):
        centre = found["p"].mean()
        return {"p": centre + 0.4 * (found["p"] - centre)}

    with pytest.raises(AssertionError, match="The ranks of 'p' must be uniform"):
        calibrate(shares(), "exact", replicates=100, draws=49, break_it=narrow)
