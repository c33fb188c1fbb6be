"""Simulation-based calibration over models drawn at random from the library's vocabulary.

The rank of a true value among draws from its posterior is uniform whatever the model is, so the ranks of many models
may be counted together. Of every model two numbers are ranked, whichever come up, and the log joint density at all of
them (Modrak et al. 2023, Bayesian Analysis): it sees what single numbers do not, such as a wrong dependence.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.special import ndtr

import bayeskit as bk
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.elimination.plates import PlateIntegral
from bayeskit.inference.sweep import draw_forward
from bayeskit.inference.unconstrained import Unconstrained
from bayeskit.model.binding import bind, read
from bayeskit.testing import sbc

DRAWS, THIN = 49, 6
pytestmark = pytest.mark.filterwarnings("ignore::bayeskit.errors.SamplingWarning")  # of a few of many it is true

# ---- models at random: each returns a model and the columns of its data ---------------------------------------------


def pick(rng, *options):
    return options[rng.integers(len(options))]


def scale(m, name, rng):
    """A scale with a prior of some kind, as the keyword by which a normal takes it."""
    keyword, prior = pick(
        rng,
        ("sigma", bk.HalfNormal(1)),
        ("sigma", bk.HalfCauchy(0.5)),
        ("sigma", bk.HalfStudentT(4, 0.8)),
        ("sigma", bk.Exponential(1)),
        ("sigma", bk.Uniform(0, 3)),
        ("sigma", bk.LogNormal(-0.5, 0.7)),
        ("tau", bk.Gamma(2, 1)),
        ("var", bk.InverseGamma(3, 2)),
        ("var", bk.Gamma(2, 2)),
    )
    return {keyword: m.latent(name, prior)}


def coefficient(m, name, rng):
    return m.latent(name, pick(rng, bk.Normal(0, 1), bk.Normal(0.3, 0.7), bk.StudentT(5, 0, 0.8), bk.Laplace(0, 0.7)))


def hierarchy(rng):
    """A model with rows, and the sum of an intercept, a slope perhaps, and effects of one, crossed or nested groups."""
    rows, first, second = int(rng.integers(4, 16)), int(rng.integers(2, 5)), int(rng.integers(3, 6))
    m = bk.Model(coords={"g": first, "h": second})
    columns = {"i": rng.integers(0, first, rows), "j": rng.integers(0, second, rows), "x": rng.normal(size=rows)}
    shape = pick(rng, "one", "crossed", "nested")
    mean = m.latent("mean", bk.Normal(0, 1)) if rng.random() < 0.7 else 0.0
    above = m.latent("above", bk.Normal(mean, **scale(m, "s_above", rng)), dims="g")
    if shape == "nested":
        columns = {"of": rng.integers(0, first, second), **columns}
        of = m.index("of", dims="h", into="g")
        inner = m.latent("inner", bk.Normal(above[of], **scale(m, "s_inner", rng)), dims="h")
        eta = inner[m.index("j", dims="obs", into="h")]
    else:
        eta = above[m.index("i", dims="obs", into="g")]
    if shape == "crossed":
        other = m.latent("other", bk.Normal(0, **scale(m, "s_other", rng)), dims="h")
        eta = eta + other[m.index("j", dims="obs", into="h")]
    if rng.random() < 0.5:
        eta = eta + m.latent("slope", bk.Normal(0, 1)) * m.data("x", dims="obs")
    return m, {n: v for n, v in columns.items() if n in m.columns}, eta


def gaussian_hierarchy(rng):
    m, columns, eta = hierarchy(rng)
    m.observed("y", bk.Normal(eta, **scale(m, "s", rng)), dims="obs")
    return m, columns


def smooth_plate(rng):
    """A normal plate under a log-concave likelihood of counts: integrated element by element."""
    return linked_plate(rng, families=4)


def linked_plate(rng, families=7):
    """A normal plate under a likelihood of any family."""
    cells, rows = int(rng.integers(2, 6)), int(rng.integers(4, 14))
    m = bk.Model(coords={"g": cells})
    mean = m.latent("mean", bk.Normal(0, 1)) if rng.random() < 0.7 else 0.0
    effect = m.latent("effect", bk.Normal(mean, **scale(m, "s", rng)), dims="g")
    eta = effect[m.index("i", dims="obs", into="g")]
    columns = {"i": rng.integers(0, cells, rows)}
    if rng.random() < 0.5:
        columns["x"] = rng.normal(size=rows)
        eta = eta + m.latent("slope", bk.Normal(0, 1)) * m.data("x", dims="obs")
    m.observed("y", likelihood(m, rng, eta, families), dims="obs")
    return m, columns


def likelihood(m, rng, eta, families=7):
    """A distribution of rows with a linear predictor, of one of the first families."""
    kind = rng.integers(families)
    if kind == 0:
        return bk.Bernoulli(logit=eta)
    if kind == 1:
        return bk.Binomial(5, logit=eta)
    if kind == 2:
        return bk.Bernoulli(ndtr(eta))
    if kind == 3:
        return bk.Poisson(np.exp(eta))
    if kind == 4:
        return bk.StudentT(4, eta, m.latent("noise", bk.HalfNormal(1)))
    if kind == 5:
        return bk.Laplace(eta, m.latent("noise", bk.InverseGamma(3, 2)))
    return bk.NegativeBinomial(np.exp(eta), m.latent("size", bk.Gamma(2, 0.5)))


def regression(rng):
    rows = int(rng.integers(3, 20))
    m = bk.Model()
    eta = coefficient(m, "a", rng)
    columns = {}
    for k in range(int(rng.integers(1, 4))):
        columns[f"x{k}"] = rng.normal(size=rows)
        eta = eta + coefficient(m, f"b{k}", rng) * m.data(f"x{k}", dims="obs")
    m.observed("y", likelihood(m, rng, eta), dims="obs")
    return m, columns


def conjugate_plate(rng):
    """A plate of a conjugate family under numbers of its own: these are left."""
    m = bk.Model(coords={"g": int(rng.integers(2, 8))})
    kind = rng.integers(4)
    if kind == 0:
        mean, size = m.latent("mean", bk.Uniform(0, 1)), m.latent("size", bk.Gamma(2, 0.3))
        p = m.latent("p", bk.Beta(mean * size, (1 - mean) * size), dims="g")
        m.observed("y", bk.Binomial(8, p), dims="g")
    elif kind == 1:
        shape, rate = m.latent("shape", bk.Exponential(0.7)), m.latent("rate", bk.Gamma(2, 2))
        m.observed("y", bk.Poisson(2 * m.latent("lam", bk.Gamma(shape, rate), dims="g")), dims="g")
    elif kind == 2:
        shape, rate = m.latent("shape", bk.LogNormal(0.5, 0.5)), m.latent("rate", bk.HalfNormal(2))
        m.observed("y", bk.Exponential(m.latent("lam", bk.Gamma(shape, rate), dims="g")), dims=("g", "obs"))
        m.data("z", dims="obs")
        return m, {"z": np.zeros(3)}
    else:
        a, b = m.latent("a", bk.Gamma(3, 2)), m.latent("b", bk.Gamma(3, 2))
        v = m.latent("v", bk.InverseGamma(a + 1, b), dims="g")
        m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), var=v), dims=("g", "obs"))
        m.data("z", dims="obs")
        return m, {"z": np.zeros(3)}
    return m, {}


def one_number(rng):
    """A core of one number, or a plate of independent ones."""
    m = bk.Model(coords={"g": 3})
    dims = () if rng.random() < 0.5 else ("g",)
    m.data("z", dims="obs")
    kind = rng.integers(6)
    if kind == 0:
        y = bk.Poisson(m.latent("rate", bk.LogNormal(0, 1), dims=dims))
    elif kind == 1:
        y = bk.Gamma(m.latent("shape", bk.Gamma(2, 1), dims=dims), 1.5)
    elif kind == 2:
        mu = m.latent("mu", bk.Normal(0, 2), dims=dims)
        y = bk.Normal(mu, m.latent("s", bk.HalfNormal(1), dims=dims))
    elif kind == 3:
        y = bk.Binomial(4, m.latent("p", bk.Truncated(bk.Beta(2, 2), lower=0.2, upper=0.9), dims=dims))
    elif kind == 4:
        y = bk.Weibull(m.latent("shape", bk.LogNormal(0, 0.5), dims=dims), 2.0)
    else:
        y = bk.Cauchy(m.latent("at", bk.Normal(0, 3), dims=dims), 1.0)
    m.observed("y", y, dims=(*dims, "obs"))
    return m, {"z": np.zeros(int(rng.integers(1, 5)))}


def vectors(rng):
    """Intercepts and slopes that are normal together, with an unknown covariance."""
    cells, rows = int(rng.integers(2, 6)), int(rng.integers(3, 6))
    m = bk.Model(coords={"g": cells, "k": 2})
    mean = m.latent("mean", bk.Normal(0, 1), dims="k")
    kind = rng.integers(2)
    if kind:
        cov = m.latent("cov", bk.InverseWishart(5, 2 * np.eye(2)), dims=("k", "k_"))
        b = m.latent("b", bk.MvNormal(mean, cov=cov), dims=("g", "k"))
    else:
        precision = m.latent("precision", bk.Wishart(4, np.eye(2) / 4), dims=("k", "k_"))
        b = m.latent("b", bk.MvNormal(mean, tau=precision), dims=("g", "k"))
    m.observed("y", bk.Normal(m.data("x", dims=("obs", "k")) @ b, **scale(m, "s", rng)), dims=("g", "obs"))
    return m, {"x": np.column_stack([np.ones(rows), rng.normal(size=rows)])}


SMOOTH = (gaussian_hierarchy, smooth_plate, regression, conjugate_plate, one_number, vectors)
KINDS = (*SMOOTH, linked_plate)


# ---- calibration ----------------------------------------------------------------------------------------------------


def drawn_model(kind, rng):
    """A model of a kind with latents and data drawn from it; None where the data are beyond all bounds."""
    model, columns = kind(rng)
    open_ = bind(model, [read(model, columns, {})], draw_observed=True)
    with np.errstate(all="ignore"):
        state = {n: v[0] for n, v in draw_forward(open_, list(open_.latents), {}, rng, 1).items()}
    y = state.pop("y")
    return model, columns | {"y": y}, state


def calibrate(kinds, replicates, *, method="auto", rungs=("collapsed",), seed=1, draws=DRAWS, thin=THIN, tune=200):
    """Rank true values among draws; models that are not taken up by one of the rungs are passed over.

    That choice looks at the data, and given them a true value is one more draw from the posterior all the same.
    """
    taken = Counter()

    def simulate(rng):
        while True:
            kind = pick(rng, *kinds)
            model, data, truth = drawn_model(kind, rng)
            if np.abs(data["y"]).max() > 1e6:
                continue
            posterior = model.condition(data)
            taken[kind.__name__, posterior._plan.method] += 1
            if posterior._plan.method in rungs:
                break
        names = [n for n in truth for _ in range(truth[n].size)]
        chosen = [(names[k], int(rng.integers(truth[names[k]].size))) for k in rng.integers(0, len(names), 2)]
        return figures(posterior, {n: v[None] for n, v in truth.items()}, chosen), (posterior, chosen)

    def sample(case, rng, count):
        posterior, chosen = case
        tree = posterior.sample(count * thin, chains=1, tune=tune, seed=rng, method=method)
        values = {n: tree["posterior"][n].values[0, ::thin] for n in posterior._problem.latents}
        return figures(posterior, values, chosen)

    result = sbc(simulate, sample, replicates=replicates, draws=draws, bins=10, seed=seed)
    return result, taken


def figures(posterior, values, chosen):
    """Two numbers, and the log joint density."""
    first, second = (values[n].reshape(len(values[n]), -1)[:, k] for n, k in chosen)
    with np.errstate(all="ignore"):
        density = np.broadcast_to(posterior._problem.log_joint(values), first.shape)
    return {"first": first, "second": second, "density": density}


def test_ranks_over_models_at_random():
    _, taken = calibrate(SMOOTH, 90)
    assert sum(n for (_, rung), n in taken.items() if rung == "gibbs") < 0.1 * sum(taken.values())
    assert {kind for (kind, rung) in taken if rung == "collapsed"} == {k.__name__ for k in SMOOTH}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_ranks_over_models_of_a_kind(kind):
    calibrate([kind], 250 if kind is linked_plate else 600, seed=2, thin=10)


@pytest.mark.slow
def test_ranks_of_the_same_models_in_a_sweep():
    calibrate(KINDS, 200, method="gibbs", seed=3, tune=500, thin=10)


# ---- it can fail ----------------------------------------------------------------------------------------------------


def narrow(original):
    def draw(self, env, rng, batch):
        values, *rest = original(self, env, rng, batch)
        return {n: v.mean(axis=0) + 0.1 * (v - v.mean(axis=0)) for n, v in values.items()}, *rest

    return draw


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (GaussianPiece, gaussian_hierarchy),
        (ConjugatePiece, conjugate_plate),
        pytest.param(PlateIntegral, smooth_plate, marks=pytest.mark.slow),
    ],
    ids=lambda v: v.__name__,
)
def test_pieces_drawn_too_narrow_are_seen(piece, kind, monkeypatch):
    for way in [w for w in ("draw", "propose") if hasattr(piece, w)]:
        monkeypatch.setattr(piece, way, narrow(getattr(piece, way)))
    with pytest.raises(AssertionError, match="must be uniform"):
        calibrate([kind], 45, draws=19, thin=2)


@pytest.mark.slow
def test_a_forgotten_jacobian_is_seen(monkeypatch):
    def forgetful(self, vector, env):
        values, jacobian = original(self, vector, env)
        return values, 0.0 * jacobian

    original = Unconstrained.unpack
    monkeypatch.setattr(Unconstrained, "unpack", forgetful)
    with pytest.raises(AssertionError, match="must be uniform"):
        calibrate([conjugate_plate, regression], 400)
