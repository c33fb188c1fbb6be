"""The log density of a bound problem against SciPy, for models of every shape."""

import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from tests.model.binding import problem_of

RNG = np.random.default_rng(11)
BATCH = 3


def assert_log_joint(problem, state, wanted):
    """`wanted(point)` is the log density of one point, computed without bayeskit."""
    got = problem.log_joint(state)
    assert got.shape == (BATCH,)
    points = [{name: value[b] for name, value in state.items()} for b in range(BATCH)]
    np.testing.assert_allclose(got, [wanted(**point) for point in points], rtol=1e-11)


def test_eight_schools():
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    se = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    m = bk.Model()
    sd = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, sd), dims="school")
    problem = problem_of(m, {"se": se, "y": y})
    state = {"mu": RNG.normal(size=3), "tau": RNG.gamma(2, size=3), "theta": RNG.normal(size=(3, 8))}

    def wanted(mu, tau, theta):
        prior = (
            stats.norm.logpdf(mu, 0, 5) + stats.halfcauchy.logpdf(tau, 0, 5) + stats.norm.logpdf(theta, mu, tau).sum()
        )
        return prior + stats.norm.logpdf(y, theta, se).sum()

    assert_log_joint(problem, state, wanted)


@pytest.mark.parametrize("form", ["rectangular", "transposed", "long"])
def test_rats(form):
    x, y = np.array([8.0, 15, 22, 29, 36]), RNG.normal(250, 30, size=(30, 5))
    m = bk.Model(coords={"coef": 2})
    centre, spread = m.latent("centre", bk.Normal(0, sigma=1000), dims="coef"), m.latent("spread", bk.HalfNormal(10))
    alpha = m.latent("alpha", bk.Normal(centre[0], spread), dims="rat")
    beta = m.latent("beta", bk.Normal(centre[1], tau=spread), dims="rat")
    tau = m.latent("tau", bk.Gamma(1, 1))
    long = form == "long"
    week = m.data("x", dims="obs" if long else "week")
    rat = m.index("rat", dims="obs") if long else None
    mean = alpha[rat] + beta[rat] * week if long else alpha + beta * week
    dims = {"rectangular": ("rat", "week"), "transposed": ("week", "rat"), "long": "obs"}[form]
    m.observed("y", bk.Normal(mean, tau=tau), dims=dims)
    data = {
        "rectangular": {"x": x, "y": y},
        "transposed": {"x": x, "y": y.T},
        "long": {"x": np.tile(x, 30), "y": y.ravel(), "rat": np.repeat(np.arange(30), 5)},
    }[form]
    state = {
        "centre": RNG.normal(size=(3, 2)), "spread": RNG.gamma(2, size=3), "alpha": RNG.normal(size=(3, 30)),
        "beta": RNG.normal(size=(3, 30)), "tau": RNG.gamma(2, size=3),
    }  # fmt: skip

    def wanted(centre, spread, alpha, beta, tau):
        total = stats.norm.logpdf(centre, 0, 1000).sum() + stats.halfnorm.logpdf(spread, 0, 10)
        total += (
            stats.norm.logpdf(alpha, centre[0], spread).sum() + stats.norm.logpdf(beta, centre[1], spread**-0.5).sum()
        )
        total += stats.gamma.logpdf(tau, 1)
        return total + stats.norm.logpdf(y, alpha[:, None] + beta[:, None] * x, tau**-0.5).sum()

    assert_log_joint(problem_of(m, data), state, wanted)


def test_mixture_with_indicators():
    y = RNG.normal(size=20)
    m = bk.Model(coords={"k": 3})
    p = m.latent("p", bk.Dirichlet([1.0, 2.0, 3.0]), dims="k")
    mean, sd = m.latent("mean", bk.Normal(0, 3), dims="k"), m.latent("sd", bk.HalfNormal(2), dims="k")
    z = m.latent("z", bk.Categorical(p), dims="obs")
    m.observed("y", bk.Normal(mean[z], sd[z]), dims="obs")
    state = {
        "p": RNG.dirichlet(np.ones(3), size=3), "mean": RNG.normal(size=(3, 3)), "sd": RNG.gamma(2, size=(3, 3)),
        "z": RNG.integers(0, 3, size=(3, 20)),
    }  # fmt: skip

    def wanted(p, mean, sd, z):
        prior = (
            stats.dirichlet.logpdf(p, [1, 2, 3])
            + stats.norm.logpdf(mean, 0, 3).sum()
            + stats.halfnorm.logpdf(sd, 0, 2).sum()
        )
        return prior + np.log(p[z]).sum() + stats.norm.logpdf(y, mean[z], sd[z]).sum()

    assert_log_joint(problem_of(m, {"y": y}), state, wanted)


@pytest.mark.parametrize("written", ["X @ b", "b @ X", "sum", "stack"])
def test_regression(written):
    X, y = RNG.normal(size=(40, 3)), RNG.normal(size=40)
    m = bk.Model(coords={"feature": ["a", "b", "c"]})
    design = m.data("X", dims=("obs", "feature"))
    b = m.latent("b", bk.Normal(0, 10), dims="feature")
    sigma = m.latent("sigma", bk.Exponential(1))
    mean = {
        "X @ b": lambda: design @ b,
        "b @ X": lambda: b @ design,
        "sum": lambda: (design * b).sum("feature"),
        "stack": lambda: design @ bk.stack([b[0], b[1], b[2]], dim="feature"),
    }[written]()
    m.observed("y", bk.Normal(mean, sigma), dims="obs")
    state = {"b": RNG.normal(size=(3, 3)), "sigma": RNG.gamma(2, size=3)}

    def wanted(b, sigma):
        prior = stats.norm.logpdf(b, 0, 10).sum() + stats.expon.logpdf(sigma)
        return prior + stats.norm.logpdf(y, X @ b, sigma).sum()

    assert_log_joint(problem_of(m, {"X": X, "y": y}), state, wanted)


def test_dirichlet_multinomial():
    y = RNG.multinomial(20, [0.2, 0.3, 0.5], size=6)
    m = bk.Model(coords={"party": ["x", "y", "z"]})
    n = m.data("n", dims="district")
    p = m.latent("p", bk.Dirichlet([2, 2, 2]), dims=("district", "party"))
    m.observed("votes", bk.Multinomial(n, p), dims=("district", "party"))
    state = {"p": RNG.dirichlet(np.ones(3), size=(3, 6))}

    def wanted(p):
        prior = sum(stats.dirichlet.logpdf(row, [2, 2, 2]) for row in p)
        return prior + sum(stats.multinomial.logpmf(count, 20, row) for count, row in zip(y, p, strict=True))

    assert_log_joint(problem_of(m, {"n": np.full(6, 20), "votes": y}), state, wanted)


def test_multivariate_normal_with_its_covariance():
    y = RNG.normal(size=(15, 2))
    m = bk.Model()
    mu = m.latent("mu", bk.MvNormal(0, tau=np.diag([0.1, 0.2])), dims="k")
    cov = m.latent("cov", bk.InverseWishart(5, np.eye(2)), dims="k")
    m.observed("y", bk.MvNormal(mu, cov), dims=("obs", "k"))
    roots = RNG.normal(size=(3, 2, 5))
    state = {"mu": RNG.normal(size=(3, 2)), "cov": roots @ roots.swapaxes(1, 2)}

    def wanted(mu, cov):
        prior = stats.multivariate_normal.logpdf(mu, [0, 0], np.diag([10, 5])) + stats.invwishart.logpdf(
            cov, 5, np.eye(2)
        )
        return prior + stats.multivariate_normal.logpdf(y, mu, cov).sum()

    assert_log_joint(problem_of(m, {"y": y}), state, wanted)


def test_terms_of_the_density():
    m = bk.Model(coords={"g": 2})
    a = m.latent("a", bk.Normal(0, 1), dims="g")
    m.factor("tilt", 2 * a)
    m.require(a > 0)
    problem = problem_of(m, {})
    state = {"a": np.array([[1.0, 2.0], [1.0, -1.0], [0.5, 0.5]])}
    with np.errstate(divide="ignore"):
        wanted = stats.norm.logpdf(state["a"]).sum(1) + 2 * state["a"].sum(1) + np.log((state["a"] > 0).all(1))
    np.testing.assert_allclose(problem.log_joint(state), wanted)
    assert problem.terms_of("a") == ["tilt", "require_1"]
    assert problem.terms_of("elsewhere") == []


def test_what_depends_on_what():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    theta = m.latent("theta", bk.Normal(mu, 1), dims="g")
    m.observed("y", bk.Normal(theta + mu, 1), dims="g")
    problem = problem_of(m, {"y": [1.0, 2.0]})
    assert [f.name for f in problem.children_of("mu")] == ["theta", "y"]
    assert [f.name for f in problem.children_of("theta")] == ["y"]
    assert [f.name for f in problem.factors_of({"theta"})] == ["theta", "y"]
    y = problem.factors[-1]
    assert (y.variables, y.parents) == (frozenset({"theta", "mu"}), frozenset({"theta", "mu"}))
    assert (y.shape, y.plates, y.event) == ((2,), ("g",), ())
    assert str(y.parameter("sigma")) == "1"
    assert problem.latents["theta"].size == 2
    assert problem.sizes == {"g": 2}


def test_a_factor_is_as_large_as_its_plates():
    """Parameters and values of batch 1 are not repeated; the log density has every cell all the same."""
    m = bk.Model(coords={"g": 3})
    m.latent("a", bk.Normal(0, 1), dims="g")
    m.observed("y", bk.Normal(0, 1), dims=("g",))
    problem = problem_of(m, {"y": [0.0, 1.0, 2.0]})
    prior, likelihood = problem.factors
    assert prior.log_prob({"a": np.zeros((4, 3))}).shape == (4, 3)
    assert likelihood.log_prob(problem.env).shape == (1, 3)
    assert likelihood.total(problem.env).shape == (1,)


def test_a_model_without_latents():
    m = bk.Model()
    m.observed("y", bk.Normal(1, 2), dims="obs")
    problem = problem_of(m, {"y": [0.0, 3.0]})
    assert problem.latents == {}
    np.testing.assert_allclose(problem.log_joint({}), [stats.norm.logpdf([0, 3], 1, 2).sum()])
