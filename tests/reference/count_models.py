"""Published models with counts and categories: from the data of a case to its posterior, and where its figures are."""

import numpy as np
from scipy.special import expit

import bayeskit as bk
from tests.reference.gaussian_models import entries, plain


# ---- conjugate ----------------------------------------------------------------------------------------------------
def binomial(successes, trials, prior):
    """One probability, exactly."""
    m = bk.Model()
    n = m.data("n")
    p = m.latent("p", prior)
    m.observed("y", bk.Binomial(n, p))
    return m.condition({"n": trials, "y": successes})


def binomials(successes, trials, prior):
    """A probability per group, exactly."""
    m = bk.Model()
    n = m.data("n", dims="group")
    p = m.latent("p", prior, dims="group")
    m.observed("y", bk.Binomial(n, p), dims="group")
    return m.condition({"n": trials, "y": successes})


def poissons(counts, exposures, prior):
    """A rate per group, exactly."""
    m = bk.Model()
    exposure = m.data("exposure", dims="group")
    rate = m.latent("rate", prior, dims="group")
    m.observed("y", bk.Poisson(exposure * rate), dims="group")
    return m.condition({"exposure": exposures, "y": counts})


def bugs_surgical_fixed(data):
    return binomials(data["r"], data["n"], bk.Beta(1, 1)), entries("p", "p", "group", 12)


def contingency_columns(table, concentration, *, common):
    """Independent multinomial columns: one distribution over the rows for all of them, or one for each."""
    table = np.asarray(table)
    rows, columns = table.shape
    m = bk.Model()
    total = m.data("total", dims="column")
    alpha = np.full(rows, columns * concentration - (columns - 1.0)) if common else np.full(rows, float(concentration))
    p = m.latent("p", bk.Dirichlet(alpha), dims="row" if common else ("column", "row"))
    m.observed("y", bk.Multinomial(total, p), dims=("column", "row"))
    return m.condition({"total": table.sum(axis=0), "y": table.T})


# ---- hierarchical -------------------------------------------------------------------------------------------------
def bugs_pumps(data):
    m = bk.Model()
    time = m.data("time", dims="pump")
    alpha, beta = m.latent("alpha", bk.Exponential(1)), m.latent("beta", bk.Gamma(0.1, 1))
    theta = m.latent("theta", bk.Gamma(alpha, beta), dims="pump")
    m.observed("x", bk.Poisson(theta * time), dims="pump")
    return m.condition({"time": data["t"], "x": data["x"]}), plain("alpha", "beta") | entries(
        "theta", "theta", "pump", 10
    )


def bugs_surgical_random(data):
    m = bk.Model()
    n = m.data("n", dims="hospital")
    mu, tau = m.latent("mu", bk.Normal(0, tau=1e-6)), m.latent("tau", bk.Gamma(0.001, 0.001))
    b = m.latent("b", bk.Normal(mu, tau=tau), dims="hospital")
    m.observed("r", bk.Binomial(n, logit=b), dims="hospital")
    m.derived("p", expit(b))
    m.derived("pop_mean", expit(mu))
    m.derived("sigma", tau**-0.5)
    figures = plain("mu", "sigma") | {"pop.mean": ("pop_mean", {})} | entries("p", "p", "hospital", 12)
    return m.condition({"n": data["n"], "r": data["r"]}), figures


def bugs_seeds(data):
    m = bk.Model()
    n, x1, x2 = (m.data(name, dims="plate") for name in ("n", "x1", "x2"))
    names = ("alpha0", "alpha1", "alpha2", "alpha12")
    alpha0, alpha1, alpha2, alpha12 = (m.latent(name, bk.Normal(0, tau=1e-6)) for name in names)
    sigma = m.latent("sigma", bk.Uniform(0, 10))
    eta = alpha0 + alpha1 * x1 + alpha2 * x2 + alpha12 * (x1 * x2)
    logit = m.latent("logit", bk.Normal(eta, sigma), dims="plate")
    m.observed("r", bk.Binomial(n, logit=logit), dims="plate")
    return m.condition({name: data[name] for name in ("n", "x1", "x2", "r")}), plain(*names, "sigma")


def bugs_blocker(data):
    m = bk.Model()
    nc, nt = m.data("nc", dims="trial"), m.data("nt", dims="trial")
    d, tau = m.latent("d", bk.Normal(0, tau=1e-6)), m.latent("tau", bk.Gamma(0.001, 0.001))
    mu = m.latent("mu", bk.Normal(0, tau=1e-5), dims="trial")
    delta = m.latent("delta", bk.Normal(d, tau=tau), dims="trial")
    m.observed("rc", bk.Binomial(nc, logit=mu), dims="trial")
    m.observed("rt", bk.Binomial(nt, logit=mu + delta), dims="trial")
    m.latent("delta_new", bk.Normal(d, tau=tau))
    m.derived("sigma", tau**-0.5)
    figures = plain("d", "sigma") | {"delta.new": ("delta_new", {})}
    return m.condition({name: data[name] for name in ("nc", "nt", "rc", "rt")}), figures


def bda_rat_tumors(data):
    """Beta-binomial under p(alpha, beta) = (alpha + beta)^(-5/2)."""
    m = bk.Model()
    n = m.data("n", dims="experiment")
    alpha, beta = m.latent("alpha", bk.Flat(lower=0)), m.latent("beta", bk.Flat(lower=0))
    m.factor("hyperprior", -2.5 * np.log(alpha + beta))
    theta = m.latent("theta", bk.Beta(alpha, beta), dims="experiment")
    m.observed("y", bk.Binomial(n, theta), dims="experiment")
    return m.condition({"n": data["n"], "y": data["y"]}), plain("alpha", "beta")


# ---- generalised linear -------------------------------------------------------------------------------------------
def bugs_beetles_logit(data):
    m = bk.Model()
    x, n = m.data("x", dims="dose"), m.data("n", dims="dose")
    centre = float(np.mean(data["x"]))
    alpha_star, beta = m.latent("alpha_star", bk.Normal(0, tau=0.001)), m.latent("beta", bk.Normal(0, tau=0.001))
    eta = alpha_star + beta * (x - centre)
    m.observed("r", bk.Binomial(n, logit=eta), dims="dose")
    m.derived("alpha", alpha_star - beta * centre)
    m.derived("rhat", n * expit(eta))
    figures = plain("alpha", "beta") | entries("rhat", "rhat", "dose", 8)
    return m.condition({name: data[name] for name in ("x", "n", "r")}), figures


def bda_bioassay(data):
    m = bk.Model()
    x, n = m.data("x", dims="group"), m.data("n", dims="group")
    alpha, beta = m.latent("alpha", bk.Flat()), m.latent("beta", bk.Flat())
    m.observed("y", bk.Binomial(n, logit=alpha + beta * x), dims="group")
    return m.condition({name: data[name] for name in ("x", "n", "y")}), plain("alpha", "beta")


def bugs_endo(data):
    m = bk.Model()
    beta = m.latent("beta", bk.Normal(0, tau=1e-6))
    m.observed("case_exposed", bk.Binomial(data["n10"] + data["n01"], logit=beta))
    return m.condition({"case_exposed": data["n10"]}), plain("beta")


def bugs_dogs(data):
    m = bk.Model()
    avoided, shocked = m.data("avoided", dims=("dog", "trial")), m.data("shocked", dims=("dog", "trial"))
    alpha, beta = m.latent("alpha", bk.Uniform(-10, -0.00001)), m.latent("beta", bk.Uniform(-10, -0.00001))
    m.observed("shock", bk.Bernoulli(np.exp(alpha * avoided + beta * shocked)), dims=("dog", "trial"))
    m.derived("A", np.exp(alpha))
    m.derived("B", np.exp(beta))
    success = np.asarray(data["Y"])
    before = success.cumsum(axis=1)[:, :-1]
    given = {"avoided": before, "shocked": np.arange(1, success.shape[1]) - before, "shock": 1 - success[:, 1:]}
    return m.condition(given), plain("alpha", "beta", "A", "B")


# ---- discrete -----------------------------------------------------------------------------------------------------
def bugs_hearts(data):
    m = bk.Model()
    total = m.data("total", dims="patient")
    alpha, delta = m.latent("alpha", bk.Normal(0, tau=1e-4)), m.latent("delta", bk.Normal(0, tau=1e-4))
    cured = m.latent("cured", bk.Bernoulli(logit=delta), dims="patient")
    m.observed("y", bk.Binomial(total, expit(alpha) * (1 - cured)), dims="patient")
    m.derived("beta", np.exp(alpha))
    m.derived("theta", expit(delta))
    total_count = np.asarray(data["x"]) + np.asarray(data["y"])
    return m.condition({"total": total_count, "y": data["y"]}), plain("alpha", "beta", "delta", "theta")


def bugs_asia(data):
    """A network of yes and no, a table a node; 1 is yes."""
    table = {name: np.asarray(data[f"p.{name}"])[..., 1] for name in ("smoking", "tuberculosis", "lung.cancer")}
    bronchitis_table, xray_table, dyspnoea_table = (
        np.asarray(data[f"p.{name}"])[..., 1] for name in ("bronchitis", "xray", "dyspnoea")
    )

    def chance(probabilities, state):
        return probabilities[0] + (probabilities[1] - probabilities[0]) * state

    m = bk.Model()
    smoking = m.latent("smoking", bk.Bernoulli(float(table["smoking"])))
    tuberculosis = m.latent("tuberculosis", bk.Bernoulli(float(table["tuberculosis"][data["asia"] - 1])))
    lung_cancer = m.latent("lung_cancer", bk.Bernoulli(chance(table["lung.cancer"], smoking)))
    bronchitis = m.latent("bronchitis", bk.Bernoulli(chance(bronchitis_table, smoking)))
    either = m.derived("either", np.maximum(tuberculosis, lung_cancer))
    m.latent("xray", bk.Bernoulli(chance(xray_table, either)))
    rows = [chance(row, bronchitis) for row in dyspnoea_table]
    m.observed("dyspnoea", bk.Bernoulli(chance(rows, either)))
    names = {"smoking": "smoking", "tuberculosis": "tuberculosis", "lung.cancer": "lung_cancer", "either": "either"}
    figures = {
        name: (variable, {}) for name, variable in (names | {"xray": "xray", "bronchitis": "bronchitis"}).items()
    }
    return m.condition({"dyspnoea": data["dyspnoea"] - 1}), figures
