"""Plates of scalar latents by quadrature: against one-number integrals done otherwise, and draws against their cdf."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln, log_expit, logsumexp, ndtr

import bayeskit as bk
from bayeskit.errors import ImproperError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elementwise import elementwise
from bayeskit.inference.elimination import cell_quadrature, plates
from bayeskit.inference.elimination.cell_modes import find_modes
from bayeskit.inference.elimination.general_cells import GeneralPlate
from bayeskit.inference.elimination.linear_cells import Layout, LinearCells, LogitRows, LogRows
from bayeskit.inference.elimination.linear_plates import LinearPlate
from bayeskit.inference.elimination.mode_map import mode_map
from bayeskit.inference.elimination.plates import PlateIntegral, plate_integral
from tests.inference.monte_carlo import KS_LEVEL
from tests.reference.figures import case, data, known

LIMIT = 4.5  # standard errors
SEEDS = {
    "r": [10, 23, 23, 26, 17, 5, 53, 55, 32, 46, 10, 8, 10, 8, 23, 0, 3, 22, 15, 32, 3],
    "n": [39, 62, 81, 51, 39, 6, 74, 72, 51, 79, 13, 16, 30, 28, 45, 4, 12, 41, 30, 51, 7],
    "x1": [0] * 11 + [1] * 10,
    "x2": [0] * 5 + [1] * 6 + [0] * 5 + [1] * 5,
}  # Crowder (1978), as in the BUGS examples


# ---- integrals done otherwise -------------------------------------------------------------------------------------
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
SHARES = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 40)])
GRID = np.sort(
    np.concatenate([np.linspace(-60, 60, 2001), np.geomspace(1e-9, 1e6, 1000), -np.geomspace(1e-9, 1e6, 1000)])
)


def log_integral(log_f, rule="panels"):
    """The log integral of a density with one peak, on fine panels to where it is nothing, or by scipy's quadrature."""
    best = int(np.argmax(log_f(GRID)))
    around = GRID[max(best - 1, 0)], GRID[min(best + 1, GRID.size - 1)]
    found = minimize_scalar(lambda z: -log_f(z), bounds=around, method="bounded", options={"xatol": 1e-13})
    peak, top = found.x, -found.fun
    total = 0.0
    for sign in (-1, 1):
        distances = np.geomspace(1e-14, 1e8, 4001)
        end = distances[np.argmax(log_f(peak + sign * distances) < top - 45)]
        edges = end * SHARES
        if rule == "panels":
            half = 0.5 * np.diff(edges)[:, None]
            d = edges[:-1, None] + half * (1 + NODES)
            total += (np.exp(log_f(peak + sign * d) - top) * WEIGHTS * half).sum()
        else:
            density = lambda d, s=sign: np.exp(log_f(peak + s * d) - top)  # noqa: E731
            total += sum(quad(density, x, y, epsabs=0, epsrel=1e-11)[0] for x, y in pairwise(edges[::4]))
    return top + np.log(total)


def bernoulli(y, n, eta):
    return log_expit((2 * y - 1) * eta)


def binomial(y, n, eta):
    choose = gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)
    return choose + y * log_expit(eta) + (n - y) * log_expit(-eta)


def poisson(y, n, eta):
    with np.errstate(over="ignore"):
        return y * eta - np.exp(eta) - gammaln(y + 1)


def marginal(log_rows, mu, sigma, y, n=1):
    """The log marginal of one row under a normal intercept."""
    return log_integral(lambda z: log_rows(y, n, mu + sigma * z) + stats.norm.logpdf(z))


# ---- models -------------------------------------------------------------------------------------------------------
def one_row(family, y, n=1, *, prior=None):
    """One row with an intercept of its own, given mu and sigma."""
    m = bk.Model()
    mu, sigma = m.latent("mu", bk.Normal(0, 10)), m.latent("sigma", bk.HalfNormal(10))
    b = m.latent("b", (prior or bk.Normal)(mu, sigma), dims="g")
    values = {"y": [y]}
    if family == "binomial":
        values["n"] = [n]
        m.observed("y", bk.Binomial(m.data("n", dims="g"), logit=b), dims="g")
    elif family == "bernoulli":
        m.observed("y", bk.Bernoulli(logit=b), dims="g")
    else:
        m.observed("y", bk.Poisson(np.exp(b)), dims="g")
    return m.condition(values)._problem


def seeds(form="centred"):
    m = bk.Model()
    n, x1, x2 = (m.data(name, dims="plate") for name in ("n", "x1", "x2"))
    a, a1, a2, a12 = (m.latent(name, bk.Normal(0, tau=1e-6)) for name in ("a", "a1", "a2", "a12"))
    sigma = m.latent("sigma", bk.Uniform(0, 10))
    eta = a + a1 * x1 + a2 * x2 + a12 * (x1 * x2)
    if form == "centred":
        logit = m.latent("b", bk.Normal(eta, sigma), dims="plate")
    elif form == "zero":
        logit = eta + m.latent("b", bk.Normal(0, sigma), dims="plate")
    else:
        logit = eta + sigma * m.latent("b", bk.Normal(0, 1), dims="plate")
    r = bk.Binomial(n, expit(logit)) if form == "probability" else bk.Binomial(n, logit=logit)
    m.observed("r", r, dims="plate")
    return m.condition(SEEDS)._problem


CORE = ("a", "a1", "a2", "a12", "sigma")


def seeds_core(batch, seed=0):
    rng = np.random.default_rng(seed)
    centres, widths = (-0.55, 0.06, 1.36, -0.83), (0.21, 0.34, 0.31, 0.48)
    core = {k: rng.normal(c, w, batch) for k, c, w in zip(CORE, centres, widths, strict=False)}
    return core | {"sigma": np.exp(rng.normal(np.log(0.33), 0.6, batch))}


def piece_of(problem, name, others, *, fast=True):
    piece = plate_integral(problem, name, others)
    assert isinstance(piece, PlateIntegral), piece
    assert isinstance(piece.plate, LinearPlate) == fast
    return piece


def by_any_densities(problem, name):
    """The piece without its fast kernels."""
    return PlateIntegral(problem, GeneralPlate(elementwise(problem, name)))


def two_ways(problem, name, others):
    return piece_of(problem, name, others), by_any_densities(problem, name)


def test_the_yardstick():
    for log_rows, y, n in ((bernoulli, 1, 1), (binomial, 3, 5), (poisson, 0, 1), (poisson, 10_000, 1)):
        for sigma in (0.1, 1.0, 10.0, 100.0):

            def log_f(z, f=log_rows, y=y, n=n, sigma=sigma):
                return f(y, n, 0.7 + sigma * z) + stats.norm.logpdf(z)

            assert log_integral(log_f) == pytest.approx(log_integral(log_f, "quad"), abs=1e-9)


# ---- one row ------------------------------------------------------------------------------------------------------
ROWS = [
    ("bernoulli", bernoulli, 1, 1),
    ("bernoulli", bernoulli, 0, 1),
    ("binomial", binomial, 0, 5),
    ("binomial", binomial, 3, 5),
    ("binomial", binomial, 0, 10_000),
    ("binomial", binomial, 1, 10_000),
    ("binomial", binomial, 5_000, 10_000),
    ("poisson", poisson, 0, 1),
    ("poisson", poisson, 1, 1),
    ("poisson", poisson, 10_000, 1),
]


@pytest.mark.parametrize(("family", "log_rows", "y", "n"), ROWS)
def test_a_row_under_any_scale(family, log_rows, y, n):
    mu, sigma = (g.ravel() for g in np.meshgrid([-1.0, 3.0], [0.1, 1.0, 10.0, 100.0]))
    exact = [marginal(log_rows, a, s, y, n) for a, s in zip(mu, sigma, strict=True)]
    problem = one_row(family, y, n)
    for piece in two_ways(problem, "b", ["mu", "sigma"]):
        found = piece.log_marginal({**problem.env, "mu": mu, "sigma": sigma})
        assert found == pytest.approx(exact, abs=5e-7, rel=1e-9)
        assert piece.error < 1e-6


@pytest.mark.parametrize(("family", "log_rows", "y", "n"), ROWS[:4] + ROWS[6:])
def test_the_ends_of_the_core(family, log_rows, y, n):
    """As the scale goes to nothing the row's own density is left; under an enormous one nothing overflows."""
    problem = one_row(family, y, n)
    mu = np.array([-30.0, -2.0, 2.0, 6.0])
    for piece in two_ways(problem, "b", ["mu", "sigma"]):
        small = piece.log_marginal({**problem.env, "mu": mu, "sigma": np.full(4, 1e-8)})
        assert small == pytest.approx(log_rows(y, n, mu), rel=1e-9, abs=1e-9)
        large = piece.log_marginal({**problem.env, "mu": mu, "sigma": np.full(4, 1e4)})
        assert np.isfinite(large).all()
        values, log_density = piece.draw(
            {**problem.env, "mu": mu, "sigma": np.array([1e-8, 1e-8, 1e4, 1e4])}, np.random.default_rng(0), 4
        )
        assert np.isfinite(values["b"]).all()
        assert np.isfinite(log_density).all()
    exact = [marginal(log_rows, a, 1e4, y, n) for a in mu]
    assert large == pytest.approx(exact, abs=5e-7)


@pytest.mark.parametrize("prior", [bk.LogNormal, bk.Normal])
def test_overdispersion_of_a_rate(prior):
    """A factor of the rate that is log-normal is an intercept that is normal."""
    m = bk.Model()
    exposure = m.data("exposure", dims="g")
    mu, sigma = m.latent("mu", bk.Normal(0, 1)), m.latent("sigma", bk.HalfNormal(1))
    b = m.latent("b", prior(0, sigma), dims="g")
    factor = b if prior is bk.LogNormal else np.exp(b)
    m.observed("y", bk.Poisson(exposure * np.exp(mu) * factor), dims="g")
    exposures, counts = np.array([1.0, 3.0, 0.5, 0.0]), np.array([0, 7, 12, 0])
    problem = m.condition({"exposure": exposures, "y": counts})._problem
    core = {"mu": np.array([0.3, -1.0]), "sigma": np.array([0.7, 3.0])}
    exact = [
        sum(marginal(poisson, a + np.log(e), s, y) for e, y in zip(exposures[:3], counts[:3], strict=True))
        for a, s in zip(*core.values(), strict=True)
    ]
    for piece in two_ways(problem, "b", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=5e-7)


# ---- seeds --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["centred", "zero", "not centred", "probability"])
def test_seeds_at_some_core_points(form):
    core = seeds_core(3)
    problem = seeds(form)
    design = np.stack([np.ones(21), *(np.asarray(SEEDS[k]) for k in ("x1", "x2"))])
    eta = (
        core["a"][:, None] + core["a1"][:, None] * design[1] + core["a2"][:, None] * design[2]
        + core["a12"][:, None] * design[1] * design[2]
    )  # fmt: skip
    rows = list(zip(SEEDS["r"], SEEDS["n"], strict=True))
    exact = [sum(marginal(binomial, eta[k, i], s, *rows[i]) for i in range(21)) for k, s in enumerate(core["sigma"])]
    for piece in two_ways(problem, "b", CORE):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, rel=1e-8)
        assert piece.error < 1e-6


def test_starts_do_not_matter():
    """Alone, a core point's modes are looked for from the prior; among many from a map about their median."""
    problem, core = seeds(), seeds_core(40, seed=1)
    piece = piece_of(problem, "b", CORE)
    together = piece.log_marginal({**problem.env, **core})
    alone = [piece.log_marginal({**problem.env, **{k: v[i : i + 1] for k, v in core.items()}})[0] for i in range(40)]
    assert together == pytest.approx(alone, abs=1e-7)


def test_a_large_plate_goes_in_parts(monkeypatch):
    problem, core = seeds(), seeds_core(2, seed=1)
    piece, env = piece_of(problem, "b", CORE), {**problem.env, **core}
    whole = piece.log_marginal(env)
    monkeypatch.setattr(plates, "_MOST", 10)
    assert piece.log_marginal(env) == pytest.approx(whole, abs=1e-9)
    values, log_density = piece.draw(env, np.random.default_rng(0), 2)
    joint = sum(f.total({**env, **values}) for f in piece.factors)
    assert joint == pytest.approx(whole + log_density, abs=2e-6)


def test_one_evaluation_of_derivatives_is_mostly_enough(monkeypatch):
    counts = []
    step = LinearCells.derivatives
    monkeypatch.setattr(LinearCells, "derivatives", lambda self, z, s: counts.append(z.size) or step(self, z, s))
    problem, core = seeds(), seeds_core(2000, seed=2)
    piece_of(problem, "b", CORE).log_marginal({**problem.env, **core})
    assert sum(counts) < 1.1 * 2000 * 21


@pytest.mark.parametrize("name", known(["bugs_seeds"]))
def test_the_published_posterior_of_seeds(name):
    """Importance sampling of the five numbers of the core, the plate integrated out."""
    figures = case(name)["independent_check"]
    assert {k: list(v) for k, v in data(name).items() if k in SEEDS} == SEEDS
    problem, rng = seeds(), np.random.default_rng(3)
    piece = piece_of(problem, "b", CORE)
    published = dict(zip(CORE, ("alpha0", "alpha1", "alpha2", "alpha12", "sigma"), strict=True))
    centre = np.array([*(figures[published[k]]["mean"] for k in CORE[:4]), np.log(0.3)])
    width = np.array([*(figures[published[k]]["sd"] for k in CORE[:4]), 0.55])
    size = 20_000
    correlation = np.eye(5)
    correlation[0, 1:4] = correlation[1:4, 0] = -0.6, -0.7, 0.45
    correlation[1, 3] = correlation[3, 1] = -0.7
    correlation[2, 3] = correlation[3, 2] = -0.6
    correlation[1, 2] = correlation[2, 1] = 0.4
    proposal = stats.multivariate_t(centre, correlation * np.outer(width, width), df=6, seed=rng)
    points = proposal.rvs(size)
    core = dict(zip(CORE, points.T, strict=True))
    core["sigma"] = np.exp(core["sigma"])
    inside = core["sigma"] < 10
    core = {k: v[inside] for k, v in core.items()}
    env = {**problem.env, **core}
    log_prior = sum(problem.latents[k].prior.total(env) for k in CORE)
    weights = log_prior + piece.log_marginal(env) + np.log(core["sigma"]) - proposal.logpdf(points[inside])
    weights = np.exp(weights - logsumexp(weights))
    for k, values in core.items():
        figure = figures[published[k]]
        mean = weights @ values
        error = np.sqrt((weights**2) @ (values - mean) ** 2)
        assert abs(mean - figure["mean"]) < LIMIT * np.hypot(error, figure["mcse"]), k
        square = (values - mean) ** 2
        sd = np.sqrt(weights @ square)
        error = np.sqrt((weights**2) @ (square - sd**2) ** 2) / (2 * sd)
        assert abs(sd - figure["sd"]) < LIMIT * np.hypot(error, figure["mcse"]), k


# ---- many rows ----------------------------------------------------------------------------------------------------
def intercepts(kind, seed=4):
    """Rows in groups of unlike sizes, one of them empty, in no order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(7), [1, 2, 0, 5, 40, 3, 9]))
    x = rng.normal(size=(60, 2))
    m = bk.Model(coords={"group": 7})
    g = m.index("g", dims="obs", into="group")
    design = m.data("x", dims=("obs", "k"))
    beta, mu = m.latent("beta", bk.Normal(0, 1), dims="k"), m.latent("mu", bk.Normal(0, 1))
    tau = m.latent("tau", bk.HalfNormal(1))
    fixed = design @ beta
    values = {"g": group, "x": x}
    if kind == "slope":
        eta = fixed + m.latent("b", bk.Normal(mu, tau), dims="group")[g] * m.data("dose", dims="obs")
        values["dose"] = rng.normal(size=60)
    elif kind == "not centred":
        eta = mu + fixed + tau * m.latent("b", bk.Normal(0, 1), dims="group")[g]
    else:
        eta = fixed + m.latent("b", bk.Normal(mu, tau), dims="group")[g]
    if kind == "rates":
        m.observed("y", bk.Poisson(np.exp(eta)), dims="obs")
        values["y"] = rng.poisson(2.0, 60)
    elif kind == "trials":
        m.observed("y", bk.Binomial(4, logit=eta), dims="obs")
        values["y"] = rng.integers(0, 5, 60)
    elif kind == "probit":
        m.observed("y", bk.Bernoulli(ndtr(eta)), dims="obs")
        values["y"] = rng.integers(0, 2, 60)
    else:
        m.observed("y", bk.Bernoulli(logit=eta), dims="obs")
        values["y"] = rng.integers(0, 2, 60)
    return m.condition(values)._problem, values


def intercepts_core(batch, seed=5):
    rng = np.random.default_rng(seed)
    return {
        "beta": rng.normal(size=(batch, 2)),
        "mu": rng.normal(size=batch),
        "tau": np.exp(rng.normal(size=batch)),
    }


def exact_intercepts(kind, values, beta, mu, tau):
    """Group by group."""
    total = 0.0
    fixed = values["x"] @ beta
    dose = values.get("dose", np.ones(60))

    def rows(eta, y):
        if kind == "rates":
            return poisson(y, 1, eta)
        if kind == "trials":
            return binomial(y, 4, eta)
        return bernoulli(y, 1, eta)

    for k in range(7):
        some = np.flatnonzero(values["g"] == k)

        def log_f(z, some=some):
            z = np.asarray(z)
            eta = fixed[some] + dose[some] * (mu + tau * z[..., None])
            with np.errstate(over="ignore"):
                return rows(eta, values["y"][some]).sum(axis=-1) + stats.norm.logpdf(z)

        total += log_integral(log_f)
    return total


@pytest.mark.parametrize("kind", ["intercept", "not centred", "slope", "rates", "trials"])
def test_groups_of_rows(kind):
    problem, values = intercepts(kind)
    core = intercepts_core(30)
    fast, general = two_ways(problem, "b", core)
    env = {**problem.env, **core}
    found = fast.log_marginal(env)
    exact = [exact_intercepts(kind, values, *(v[k] for v in core.values())) for k in range(2)]
    assert found[:2] == pytest.approx(exact, abs=1e-6)
    assert found == pytest.approx(general.log_marginal(env), abs=1e-6)


def test_far_off_rows_are_right():
    """Predictors of hundreds, where exponentials overflow and products of odds too."""
    for kind in ("intercept", "rates", "slope"):
        problem, values = intercepts(kind)
        core = {
            "beta": np.array([[30.0, -30.0], [90.0, 300.0]]),
            "mu": np.array([30.0, -20.0]),
            "tau": np.array([0.5, 5]),
        }
        if kind == "rates":
            core["beta"] = core["beta"] / 30.0
        fast, general = two_ways(problem, "b", core)
        env = {**problem.env, **core}
        exact = [exact_intercepts(kind, values, *(v[k] for v in core.values())) for k in range(2)]
        assert fast.log_marginal(env) == pytest.approx(exact, abs=1e-6, rel=1e-10)
        assert general.log_marginal(env) == pytest.approx(exact, abs=1e-6, rel=1e-10)


def test_another_link_goes_by_any_densities():
    problem, values = intercepts("probit")
    core = intercepts_core(20)
    piece = piece_of(problem, "b", core, fast=False)

    def log_f(z, k, some):
        eta = values["x"][some] @ core["beta"][k] + core["mu"][k] + core["tau"][k] * np.asarray(z)[..., None]
        return stats.norm.logcdf((2 * values["y"][some] - 1) * eta).sum(axis=-1) + stats.norm.logpdf(z)

    groups = [np.flatnonzero(values["g"] == j) for j in range(7)]
    exact = [sum(log_integral(lambda z, k=k, s=some: log_f(z, k, s)) for some in groups) for k in range(2)]
    assert piece.log_marginal({**problem.env, **core})[:2] == pytest.approx(exact, abs=1e-6)


def test_a_rate_times_an_exponential():
    """A factor from the core that is not written as an exponential is an offset like any other."""
    m = bk.Model()
    rate, sigma = m.latent("rate", bk.Gamma(2, 1)), m.latent("sigma", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, sigma), dims="g")
    m.observed("y", bk.Poisson(rate * np.exp(b)), dims="g")
    problem = m.condition({"y": [0, 4]})._problem
    core = {"rate": np.array([0.2, 5.0]), "sigma": np.array([0.5, 1.5])}
    exact = [sum(marginal(poisson, np.log(r), s, y) for y in (0, 4)) for r, s in zip(*core.values(), strict=True)]
    for piece in two_ways(problem, "b", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=1e-7)


def test_two_kinds_of_rows_and_two_dims():
    """A site and a year have an intercept of their own, seen in counts and in yes or no."""
    rng = np.random.default_rng(6)
    m = bk.Model()
    tau = m.latent("tau", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, tau), dims=("site", "year"))
    m.observed("count", bk.Poisson(np.exp(0.5 + b)), dims=("site", "year"))
    m.observed("seen", bk.Bernoulli(logit=b - 1.0), dims=("year", "site"))
    values = {"count": rng.poisson(2.0, (3, 4)), "seen": rng.integers(0, 2, (4, 3))}
    problem = m.condition(values)._problem
    core = {"tau": np.array([0.2, 2.0])}
    exact = [
        sum(
            log_integral(
                lambda z, i=i, j=j, s=s: (
                    poisson(values["count"][i, j], 1, 0.5 + s * z)
                    + bernoulli(values["seen"][j, i], 1, s * z - 1.0)
                    + stats.norm.logpdf(z)
                )
            )
            for i in range(3)
            for j in range(4)
        )
        for s in core["tau"]
    ]
    for piece in two_ways(problem, "b", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=1e-6)
        values_, _ = piece.draw({**problem.env, **core}, rng, 2)
        assert values_["b"].shape == (2, 3, 4)


def test_rows_that_are_alike():
    """Rows that were made one cell count as often as they occurred."""
    rng = np.random.default_rng(18)
    values = {"g": rng.integers(0, 3, 400), "x": rng.integers(0, 2, 400) * 1.0, "y": rng.integers(0, 2, 400)}
    m = bk.Model(coords={"group": 3})
    g, x = m.index("g", dims="obs", into="group"), m.data("x", dims="obs")
    beta, tau = m.latent("beta", bk.Normal(0, 1)), m.latent("tau", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, tau), dims="group")
    m.observed("y", bk.Bernoulli(logit=b[g] + beta * x), dims="obs")
    problem = m.condition(values)._problem
    assert problem.factors[-1].shape[0] < 400
    core = {"beta": np.array([0.5, -2.0]), "tau": np.array([0.4, 1.5])}
    exact = np.zeros(2)
    for k in range(2):
        for j in range(3):
            some = values["g"] == j

            def log_f(z, k=k, some=some):
                eta = core["tau"][k] * np.asarray(z)[..., None] + core["beta"][k] * values["x"][some]
                return bernoulli(values["y"][some], 1, eta).sum(axis=-1) + stats.norm.logpdf(z)

            exact[k] += log_integral(log_f)
    for piece in two_ways(problem, "b", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=1e-6)


def test_a_missing_covariate():
    """Cells that touch no element of the latent are constants, and must be counted."""
    m = bk.Model()
    a = m.latent("a", bk.Normal(0, 1))
    x = m.observed("x", bk.Normal(a, 1), dims="obs")
    m.observed("y", bk.Bernoulli(logit=a + 2 * x), dims="obs")
    problem = m.condition({"x": [0.5, np.nan, -1.0, np.nan], "y": [1, 0, 0, 1]})._problem
    core = {"a": np.array([0.3, -2.0])}
    exact = [
        bernoulli(1, 1, c + 1.0)
        + bernoulli(0, 1, c - 2.0)
        + sum(log_integral(lambda z, y=y, c=c: bernoulli(y, 1, 3 * c + 2 * z) + stats.norm.logpdf(z)) for y in (0, 1))
        for c in core["a"]
    ]
    for piece in two_ways(problem, "x_missing", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=1e-7)


# ---- other priors -------------------------------------------------------------------------------------------------
Y, N = np.array([0, 3, 12, 9, 1]), np.array([4, 5, 12, 30, 1])


def under(prior, *, rows="binomial", **hyper):
    m = bk.Model()
    given = {k: m.latent(k, d) for k, d in hyper.items()}
    theta = m.latent("theta", prior(**given), dims="g")
    if rows == "binomial":
        m.observed("y", bk.Binomial(m.data("n", dims="g"), theta), dims="g")
    elif rows == "logit":
        m.observed("y", bk.Binomial(m.data("n", dims="g"), logit=theta), dims="g")
    else:
        m.observed("y", bk.Poisson(theta), dims="g")
    values = {"y": Y} if rows == "poisson" else {"n": N, "y": Y}
    return m.condition(values)._problem


def test_known_answers():
    """Beta and gamma latents, whose integrals are known."""
    a, b = np.array([0.8, 3.0, 40.0, 0.3]), np.array([1.5, 0.9, 2.0, 0.7])
    problem = under(bk.Beta, alpha=bk.Gamma(1, 1), beta=bk.Gamma(1, 1))
    found = piece_of(problem, "theta", ["alpha", "beta"], fast=False).log_marginal(
        {**problem.env, "alpha": a, "beta": b}
    )
    assert found == pytest.approx(stats.betabinom.logpmf(Y, N, a[:, None], b[:, None]).sum(axis=1), abs=1e-6)
    problem = under(bk.Gamma, rows="poisson", alpha=bk.Gamma(1, 1), beta=bk.Gamma(1, 1))
    found = piece_of(problem, "theta", ["alpha", "beta"], fast=False).log_marginal(
        {**problem.env, "alpha": a, "beta": b}
    )
    exact = stats.nbinom.logpmf(Y, a[:, None], (b / (1 + b))[:, None]).sum(axis=1)
    assert found == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("nu", [1, 4])
def test_heavy_tails_with_a_second_mode(nu):
    """A t prior far from the data: two peaks, one of the prior and one of the likelihood."""
    problem = under(
        lambda mu, sigma: bk.StudentT(nu, mu, sigma), rows="logit", mu=bk.Normal(0, 9), sigma=bk.HalfNormal(1)
    )
    core = {"mu": np.array([-8.0, 5.0, 0.0, 8.0]), "sigma": np.array([0.05, 0.3, 2.0, 0.2])}
    found = piece_of(problem, "theta", core, fast=False).log_marginal({**problem.env, **core})
    for k in range(4):
        mu, sigma = (v[k] for v in core.values())
        exact = 0.0
        for y, n in zip(Y, N, strict=True):
            edges = np.unique(
                np.concatenate([mu + sigma * np.sinh(np.linspace(-30, 30, 1500)), np.linspace(-20, 20, 800)])
            )
            nodes, weights = np.polynomial.legendre.leggauss(8)
            half = 0.5 * np.diff(edges)[:, None]
            z = edges[:-1, None] + half * (1 + nodes)
            exact += logsumexp(binomial(y, n, z) + stats.t.logpdf(z, nu, mu, sigma), b=half * weights)
        assert found[k] == pytest.approx(exact, abs=2e-6)


def test_a_corner_of_the_prior():
    core = {"mu": np.array([-1.0, 0.4, 2.0]), "sigma": np.array([0.1, 1.0, 8.0])}
    problem = under(lambda mu, sigma: bk.Laplace(mu, sigma), rows="logit", mu=bk.Normal(0, 9), sigma=bk.HalfNormal(1))
    exact = np.zeros(3)
    for k in range(3):
        mu, sigma = (v[k] for v in core.values())
        edges = np.concatenate([-np.geomspace(1e-3, 50, 400)[::-1], [0.0], np.geomspace(1e-3, 50, 400)])
        half = 0.5 * np.diff(edges)[:, None]
        z = edges[:-1, None] + half * (1 + NODES)
        for y, n in zip(Y, N, strict=True):
            exact[k] += logsumexp(binomial(y, n, mu + sigma * z) + stats.laplace.logpdf(z), b=half * WEIGHTS)
    found = piece_of(problem, "theta", core, fast=False).log_marginal({**problem.env, **core})
    assert found == pytest.approx(exact, abs=1e-6)


def test_a_scalar_latent():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    b = m.latent("b", bk.Normal(mu, 2))
    m.observed("y", bk.Bernoulli(logit=b), dims="obs")
    problem = m.condition({"y": [1, 1, 0, 1]})._problem
    core = {"mu": np.array([0.5, -1.0])}
    exact = [marginal(binomial, c, 2.0, 3, 4) - np.log(4) for c in core["mu"]]
    for piece in two_ways(problem, "b", core):
        assert piece.log_marginal({**problem.env, **core}) == pytest.approx(exact, abs=1e-7)
        values, log_density = piece.draw({**problem.env, **core}, np.random.default_rng(0), 2)
        assert values["b"].shape == log_density.shape == (2,)


# ---- draws --------------------------------------------------------------------------------------------------------
def cdf_of(log_f):
    """The distribution function of a one-number density, tabulated."""
    edges = np.unique(
        np.concatenate([np.linspace(-14, 14, 2000), np.geomspace(1e-7, 14, 700), -np.geomspace(1e-7, 14, 700)])
    )
    nodes, weights = np.polynomial.legendre.leggauss(6)
    half = 0.5 * np.diff(edges)
    values = log_f(edges[:-1, None] + half[:, None] * (1 + nodes))
    mass = (np.exp(values - values.max()) * weights).sum(axis=1) * half
    whole = np.concatenate([[0.0], np.cumsum(mass)])
    return lambda z: np.interp(z, edges, whole / whole[-1])


@pytest.mark.parametrize(("sigma", "fast"), [(0.3, True), (2.0, True), (2.0, False), (30.0, True), (1e4, False)])
@pytest.mark.parametrize(("family", "log_rows", "y", "n"), [ROWS[0], ROWS[3], ROWS[7], ("binomial", binomial, 1, 40)])
def test_draws_are_of_the_density(family, log_rows, y, n, sigma, fast):
    problem = one_row(family, y, n)
    piece = two_ways(problem, "b", ["mu", "sigma"])[0 if fast else 1]
    size = 10_000
    env = {**problem.env, "mu": np.array([0.4]), "sigma": np.array([sigma])}
    values, log_density = piece.draw(env, np.random.default_rng(7), size)
    z = (values["b"][:, 0] - 0.4) / sigma

    def log_f(z):
        return log_rows(y, n, 0.4 + sigma * z) + stats.norm.logpdf(z)

    assert stats.kstest(cdf_of(log_f)(z), "uniform").pvalue > KS_LEVEL
    exact = log_f(z) - marginal(log_rows, 0.4, sigma, y, n) - np.log(sigma)
    assert log_density == pytest.approx(exact, abs=2e-6)


@pytest.mark.slow
def test_draws_of_smooth_densities_in_fine():
    """A million draws each of moderately skew densities: errors of the cdf of 1e-3 would show."""
    problem = one_row("binomial", 2, 12)
    piece = piece_of(problem, "b", ["mu", "sigma"])
    for sigma in (0.5, 1.0, 1.5):
        env = {**problem.env, "mu": np.array([-0.5]), "sigma": np.array([sigma])}
        values, _ = piece.draw(env, np.random.default_rng(8), 1_000_000)
        cdf = cdf_of(lambda z, s=sigma: binomial(2, 12, -0.5 + s * z) + stats.norm.logpdf(z))
        assert stats.kstest(cdf((values["b"][:, 0] + 0.5) / sigma), "uniform").pvalue > KS_LEVEL


def test_rejection_draws_what_it_says(monkeypatch):
    """Cells that are near normal, and the same made to go by panels, have the same moments."""
    problem, core = seeds(), seeds_core(1, seed=9)
    env = {**problem.env, **core}
    piece = piece_of(problem, "b", CORE)
    smooth = piece.draw(env, np.random.default_rng(10), 20_000)[0]["b"]
    monkeypatch.setattr(cell_quadrature, "_TO_DRAW", 0.0)
    rough = piece.draw(env, np.random.default_rng(11), 20_000)[0]["b"]
    for power in (1, 2, 3):
        difference = (smooth**power).mean(axis=0) - (rough**power).mean(axis=0)
        error = np.sqrt(((smooth**power).var(axis=0) + (rough**power).var(axis=0)) / 20_000)
        assert np.abs(difference / error).max() < LIMIT


@pytest.mark.parametrize("form", ["centred", "not centred"])
def test_the_density_identity(form):
    """Factors at the draw = log marginal + log density of the draw, with every constant."""
    problem, core = seeds(form), seeds_core(50, seed=12)
    env = {**problem.env, **core}
    for piece in two_ways(problem, "b", CORE):
        values, log_density = piece.draw(env, np.random.default_rng(13), 50)
        joint = sum(f.total({**env, **values}) for f in piece.factors)
        assert joint == pytest.approx(piece.log_marginal(env) + log_density, abs=2e-6)


@pytest.mark.parametrize("prior", [bk.Beta, bk.Gamma])
def test_the_density_identity_on_other_supports(prior):
    problem = under(
        prior, rows="binomial" if prior is bk.Beta else "poisson", alpha=bk.Gamma(1, 1), beta=bk.Gamma(1, 1)
    )
    rng = np.random.default_rng(14)
    env = {**problem.env, "alpha": np.exp(rng.normal(1, 0.5, 30)), "beta": np.exp(rng.normal(1, 0.5, 30))}
    piece = piece_of(problem, "theta", ["alpha", "beta"], fast=False)
    values, log_density = piece.draw(env, rng, 30)
    joint = sum(f.total({**env, **values}) for f in piece.factors)
    assert joint == pytest.approx(piece.log_marginal(env) + log_density, abs=2e-6)


def test_the_same_seed_gives_the_same_draws():
    problem, core = seeds(), seeds_core(30, seed=15)
    piece = piece_of(problem, "b", CORE)
    first, second = (piece.draw({**problem.env, **core}, np.random.default_rng(1), 30)[0]["b"] for _ in range(2))
    assert np.array_equal(first, second)


# ---- kernels ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [LogitRows, LogRows])
@pytest.mark.parametrize("with_slopes", [True, False])
@pytest.mark.parametrize("with_units", [True, False])
def test_derivatives_and_parts(kind, with_slopes, with_units):
    """Analytic derivatives against differences; some of the cells against all."""
    rng = np.random.default_rng(16)
    counts = np.array([3, 0, 1, 5])
    rows = kind(
        Layout(counts), rng.normal(size=9), rng.normal(size=4), rng.uniform(1, 3, 9),
        rng.normal(size=9) if with_slopes else None, rng.normal(size=4) if with_units else None,
    )  # fmt: skip
    cells = LinearCells(rng.normal(size=4), rng.uniform(0.5, 1, 4), (rows,))
    z = rng.normal(size=4)
    exact = cells.derivatives(z, np.ones(4))
    assert cells.log_density(z[None])[0] == pytest.approx(exact[0])
    for k in range(4):
        up, down = (cells.derivatives(z + h, np.ones(4))[k] for h in (1e-5, -1e-5))
        assert exact[k + 1] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-7)
    index = np.array([3, 0, 3, 1, 2])
    assert cells.take(index).log_density(z[None, index])[0] == pytest.approx(exact[0][index])
    assert cells.take(index).derivatives(z[index], np.ones(5)) == pytest.approx(exact[:, index])


def test_the_mode_map_is_right_to_first_order():
    rng = np.random.default_rng(17)
    counts = np.array([3, 1, 5])
    y, a = np.array([2.0, 0.0, 3.0]), rng.normal(size=9)

    def plate(moved):
        rows = LogitRows(Layout(counts), a + moved, y, None, None, None)
        return LinearCells(np.zeros(3), np.full(3, 0.8 + 0.0), (rows,))

    at = find_modes(plate(0.0), np.zeros(3), np.ones(3), near=1e-6).at
    towards = mode_map(plate(0.0), at)
    errors = []
    for size in (0.1, 0.01):
        moved = size * rng.normal(size=9)
        mode = find_modes(plate(moved), np.zeros(3), np.ones(3), near=1e-6).at
        errors.append(np.abs(towards(plate(moved)) - mode).max())
    assert errors[0] < 0.02
    assert errors[1] < 0.03 * errors[0] + 1e-9


# ---- refusals -----------------------------------------------------------------------------------------------------
def test_what_is_refused():
    m = bk.Model()
    a = m.latent("a", bk.Normal(0, 1))
    b = m.latent("b", bk.Normal(a, 1), dims="g")
    z = m.latent("z", bk.Poisson(3), dims="g")
    s = m.latent("s", bk.Normal(0, 1), dims="g")
    t = m.latent("t", bk.Normal(0, 1), dims="g")
    m.factor("term", -((t - 1) ** 2).sum("g"))
    m.observed("y", bk.Poisson(np.exp(b + 0.1 * z)), dims="g")
    m.observed("w", bk.Poisson(np.exp(s.sum("g"))))
    m.observed("v", bk.Poisson(np.exp(t)), dims="g")
    problem = m.condition({"y": [1, 2], "w": 3, "v": [1, 0]})._problem
    for name, others, words in [
        ("z", ["b"], "discrete"),
        ("s", [], "several elements"),
        ("b", ["a"], "'z'"),
        ("t", [], "the term 'term'"),
    ]:
        refusal = plate_integral(problem, name, others)
        assert isinstance(refusal, Refusal)
        assert words in str(refusal)
    assert isinstance(plate_integral(problem, "b", ["a", "z"]), PlateIntegral)


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (lambda b: bk.Normal(b**2, 1), "mu = b**2"),
        (lambda b: bk.Normal(np.sin(b), 1), "sin"),
        (lambda b: bk.Normal(b, np.exp(b)), "mu and sigma"),
        (lambda b: bk.StudentT(3, b, 1), "parameter mu of StudentT"),
        (lambda b: bk.Normal(np.exp(b), 1), "mu = exp(b)"),
    ],
)
def test_what_may_have_several_peaks(child, words):
    m = bk.Model()
    b = m.latent("b", bk.Normal(0, 1), dims="g")
    m.observed("y", child(b), dims="g")
    refusal = plate_integral(m.condition({"y": [0.3, 4.0]})._problem, "b", [])
    assert isinstance(refusal, Refusal)
    assert "not known to have one peak" in str(refusal)
    assert words in str(refusal)


@pytest.mark.parametrize(
    "child",
    [
        lambda b: bk.Normal(0, np.exp(b)),
        lambda b: bk.Normal(1, tau=np.exp(-b)),
        lambda b: bk.NegativeBinomial(3 * np.exp(0.5 * b), 2),
        lambda b: bk.Gamma(2, np.exp(b)),
        lambda b: bk.Geometric(expit(1 - b)),
        lambda b: bk.Weibull(2, np.exp(b)),
    ],
)
def test_other_children(child):
    """Volatilities, rates and the like: the integral and the draws against the same density on a grid."""
    m = bk.Model()
    tau = m.latent("tau", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0.2, tau), dims="g")
    m.observed("y", child(b), dims="g")
    y = np.array([1.0, 3.0])
    problem = m.condition({"y": y})._problem
    core = {"tau": np.array([0.5, 2.0])}
    piece = piece_of(problem, "b", core, fast=False)
    z = np.linspace(-12, 12, 4001)
    child_ = problem.children_of("b")[0]
    for k, tau in enumerate(core["tau"]):
        cells = child_.log_prob({**problem.env, "b": np.repeat(0.2 + tau * z[:, None], 2, axis=1)})
        exact = logsumexp(cells + stats.norm.logpdf(z)[:, None], axis=0).sum() + 2 * np.log(z[1] - z[0])
        assert piece.log_marginal({**problem.env, **core})[k] == pytest.approx(exact, abs=1e-6)


def test_tails_that_do_not_decay():
    m = bk.Model()
    b = m.latent("b", bk.Flat(), dims="g")
    m.observed("y", bk.Bernoulli(logit=b), dims="g")
    problem = m.condition({"y": [1, 0]})._problem
    with pytest.raises(ImproperError, match="'b' must have a proper posterior"):
        piece_of(problem, "b", [], fast=False).log_marginal(problem.env)
