"""Published models with Gaussian observations: from the data of a case to its posterior, and where its figures are."""

import numpy as np

import bayeskit as bk


def entries(published, variable, dim, size):
    """From names such as ``theta[1]`` to the entries of a variable: BUGS counts from 1."""
    return {f"{published}[{i + 1}]": (variable, {dim: i}) for i in range(size)}


def plain(*names):
    """Figures that bear the name of their variable."""
    return {name: (name, {}) for name in names}


# ---- hierarchical -------------------------------------------------------------------------------------------------
def _rats(m, weight):
    """Growth curves: the priors, and the figures, are the same for both layouts of the data."""
    alpha_c, beta_c = m.latent("alpha_c", bk.Normal(0, tau=1e-6)), m.latent("beta_c", bk.Normal(0, tau=1e-6))
    tau_c, tau_alpha, tau_beta = (m.latent(n, bk.Gamma(0.001, 0.001)) for n in ("tau_c", "tau_alpha", "tau_beta"))
    alpha = m.latent("alpha", bk.Normal(alpha_c, tau=tau_alpha), dims="rat")
    beta = m.latent("beta", bk.Normal(beta_c, tau=tau_beta), dims="rat")
    weight(alpha, beta, tau_c)
    m.derived("alpha0", alpha_c - 22 * beta_c)
    m.derived("sigma", tau_c**-0.5)
    return {"alpha0": ("alpha0", {}), "beta.c": ("beta_c", {}), "sigma": ("sigma", {})}


def bugs_rats(data):
    """A table of rats by days."""
    m = bk.Model()
    day = m.data("day", dims="time")

    def weight(alpha, beta, tau):
        m.observed("weight", bk.Normal(alpha + beta * (day - 22), tau=tau), dims=("rat", "time"))

    figures = _rats(m, weight)
    return m.condition({"day": data["x"], "weight": data["Y"]}), figures


def bugs_rats_rows(data):
    """The same data, a row per weighing."""
    m = bk.Model()
    rat, day = m.index("rat", dims="obs"), m.data("day", dims="obs")

    def weight(alpha, beta, tau):
        m.observed("weight", bk.Normal(alpha[rat] + beta[rat] * (day - 22), tau=tau), dims="obs")

    figures = _rats(m, weight)
    weights = np.asarray(data["Y"])
    rats, days = weights.shape
    rows = {"rat": np.repeat(np.arange(rats), days), "day": np.tile(data["x"], rats), "weight": weights.ravel()}
    return m.condition(rows), figures


def pdb_eight_schools(data):
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    figures = plain("mu", "tau") | entries("theta", "theta", "school", 8)
    return m.condition({"se": data["sigma"], "y": data["y"]}), figures


def bda_eight_schools_flat_tau(data):
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Flat()), m.latent("tau", bk.Flat(lower=0))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition({"se": data["sigma"], "y": data["y"]}), entries("theta", "theta", "school", 8)


def bugs_dyes(data):
    m = bk.Model()
    theta = m.latent("theta", bk.Normal(0, tau=1e-10))
    tau_with, tau_btw = m.latent("tau_with", bk.Gamma(0.001, 0.001)), m.latent("tau_btw", bk.Gamma(0.001, 0.001))
    mu = m.latent("mu", bk.Normal(theta, tau=tau_btw), dims="batch")
    m.observed("y", bk.Normal(mu, tau=tau_with), dims=("batch", "sample_of_batch"))
    m.derived("sigma2_with", 1 / tau_with)
    m.derived("sigma2_btw", 1 / tau_btw)
    figures = {"sigma2.btw": ("sigma2_btw", {}), "sigma2.with": ("sigma2_with", {}), "theta": ("theta", {})}
    return m.condition({"y": data["y"]}), figures


# ---- regressions --------------------------------------------------------------------------------------------------
def bugs_line(data):
    m = bk.Model()
    x = m.data("x", dims="obs")
    alpha, beta = m.latent("alpha", bk.Normal(0, tau=1e-6)), m.latent("beta", bk.Normal(0, tau=1e-6))
    tau = m.latent("tau", bk.Gamma(0.001, 0.001))
    m.observed("Y", bk.Normal(alpha + beta * (x - 3), tau=tau), dims="obs")
    m.derived("sigma", tau**-0.5)
    return m.condition({"x": data["x"], "Y": data["Y"]}), plain("alpha", "beta", "sigma")


def bugs_stacks_normal(data):
    m = bk.Model(coords={"predictor": 3})
    z = m.data("z", dims=("obs", "predictor"))
    stack_loss = m.data("stack_loss", dims="obs")  # data a second time: outliers are a function of the observations
    beta0 = m.latent("beta0", bk.Normal(0, tau=1e-5))
    beta = m.latent("beta", bk.Normal(0, tau=1e-5), dims="predictor")
    tau = m.latent("tau", bk.Gamma(0.001, 0.001))
    m.observed("Y", bk.Normal(beta0 + z @ beta, tau=tau), dims="obs")
    shift = m.data("shift", dims="predictor")
    m.derived("b0", beta0 - beta @ shift)
    m.derived("sigma", tau**-0.5)
    m.derived("outlier", abs(stack_loss - beta0 - z @ beta) * tau**0.5 > 2.5)
    x = np.asarray(data["x"], dtype=float)
    mean, sd = x.mean(axis=0), x.std(axis=0, ddof=1)
    figures = plain("b0", "sigma") | entries("beta", "beta", "predictor", 3) | entries("outlier", "outlier", "obs", 21)
    given = {"z": (x - mean) / sd, "shift": mean / sd, "Y": data["Y"], "stack_loss": data["Y"]}
    return m.condition(given), figures


def _regression(outcome, columns, *, beta, sigma, published="beta"):
    """A regression on columns with one prior for every coefficient."""
    design = np.column_stack([np.asarray(c, dtype=float) for c in columns])
    m = bk.Model(coords={"k": design.shape[1]})
    x = m.data("X", dims=("obs", "k"))
    b = m.latent("beta", beta, dims="k")
    s = m.latent("sigma", sigma)
    m.observed("y", bk.Normal(x @ b, s), dims="obs")
    figures = plain("sigma") | entries(published, "beta", "k", design.shape[1])
    return m.condition({"X": design, "y": np.asarray(outcome, dtype=float)}), figures


def _ones(values):
    return np.ones(len(values))


def pdb_kidscore_interaction(data):
    score, school, iq = (np.asarray(data[n], dtype=float) for n in ("kid_score", "mom_hs", "mom_iq"))
    columns = [_ones(score), school, iq, school * iq]
    return _regression(score, columns, beta=bk.Flat(), sigma=bk.HalfCauchy(2.5))


def pdb_kidscore_momhsiq(data):
    columns = [_ones(data["kid_score"]), data["mom_hs"], data["mom_iq"]]
    return _regression(data["kid_score"], columns, beta=bk.Flat(), sigma=bk.HalfCauchy(2.5))


def pdb_mesquite(data):
    names = ("diam1", "diam2", "canopy_height", "total_height", "density", "group")
    columns = [_ones(data["weight"]), *(data[n] for n in names)]
    return _regression(data["weight"], columns, beta=bk.Flat(), sigma=bk.Flat(lower=0))


def pdb_logearn_interaction(data):
    height, male = np.asarray(data["height"]), np.asarray(data["male"])
    columns = [_ones(height), height, male, height * male]
    return _regression(np.log(data["earn"]), columns, beta=bk.Flat(), sigma=bk.Flat(lower=0))


def pdb_earn_height(data):
    columns = [_ones(data["earn"]), data["height"]]
    return _regression(data["earn"], columns, beta=bk.Flat(), sigma=bk.Flat(lower=0))


def pdb_sblri_blr(data):
    columns = list(np.asarray(data["X"]).T)
    return _regression(data["y"], columns, beta=bk.Normal(0, 10), sigma=bk.HalfNormal(10))


def pdb_arK(data):
    """Conditional on the first five values, the lags are data like any other."""
    y = np.asarray(data["y"], dtype=float)
    lags = np.lib.stride_tricks.sliding_window_view(y, 5)[:-1, ::-1]
    m = bk.Model(coords={"lag": 5})
    past = m.data("past", dims=("time", "lag"))
    alpha, beta = m.latent("alpha", bk.Normal(0, 10)), m.latent("beta", bk.Normal(0, 10), dims="lag")
    sigma = m.latent("sigma", bk.HalfCauchy(2.5))
    m.observed("y", bk.Normal(alpha + past @ beta, sigma), dims="time")
    return m.condition({"past": lags, "y": y[5:]}), plain("alpha", "sigma") | entries("beta", "beta", "lag", 5)


# ---- reference priors ---------------------------------------------------------------------------------------------
def nist_univariate(data):
    """Location and variance under p(mu, sigma2) = 1 / sigma2."""
    m = bk.Model()
    mu, sigma2 = m.latent("mu", bk.Flat()), m.latent("sigma2", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(mu, var=sigma2), dims="obs")
    m.derived("sigma", sigma2**0.5)
    return m.condition({"y": np.asarray(data["y"], dtype=float)}), plain("mu", "sigma2", "sigma")


# ---- conjugate ----------------------------------------------------------------------------------------------------
def hoff_midge(data):
    m = bk.Model()
    sigma2 = m.latent("sigma2", bk.InverseGamma(0.5, 0.005))
    theta = m.latent("theta", bk.Normal(1.9, var=sigma2))
    m.observed("y", bk.Normal(theta, var=sigma2), dims="obs")
    return m.condition({"y": data["y"]})


def radiata_pine(strength, predictor):
    """Strength of a plank on one measure of its density: conjugate, for the evidence."""
    m = bk.Model()
    x = m.data("x", dims="obs")
    tau = m.latent("tau", bk.Gamma(3, 180000))
    alpha, beta = m.latent("alpha", bk.Normal(3000, tau=0.06 * tau)), m.latent("beta", bk.Normal(185, tau=6 * tau))
    m.observed("y", bk.Normal(alpha + beta * x, tau=tau), dims="obs")
    centred = np.asarray(predictor) - np.mean(predictor)
    return m.condition({"x": centred, "y": strength})


def hoff_reading_mvn(data):
    """Scores before and after a course of instruction: mean and covariance semi-conjugate."""
    m = bk.Model(coords={"test": 2})
    prior = np.array([[625.0, 312.5], [312.5, 625.0]])
    theta = m.latent("theta", bk.MvNormal(np.array([50.0, 50.0]), cov=prior), dims="test")
    cov = m.latent("Sigma", bk.InverseWishart(4, prior), dims="test")
    m.observed("y", bk.MvNormal(theta, cov=cov), dims=("pupil", "test"))
    m.derived("gain", theta @ m.data("contrast", dims="test"))
    return m.condition({"y": data["y"], "contrast": [-1.0, 1.0]}), plain("gain")


# ---- mixtures -----------------------------------------------------------------------------------------------------
def pdb_low_dim_gauss_mix(data):
    m = bk.Model(coords={"component": 2})
    theta = m.latent("theta", bk.Beta(5, 5))
    mu = m.latent("mu", bk.Ordered(bk.Normal(0, 2)), dims="component")
    sigma = m.latent("sigma", bk.HalfNormal(2), dims="component")
    second = m.latent("second", bk.Bernoulli(1 - theta), dims="obs")
    m.observed("y", bk.Normal(mu[second], sigma[second]), dims="obs")
    figures = plain("theta") | entries("mu", "mu", "component", 2) | entries("sigma", "sigma", "component", 2)
    return m.condition({"y": data["y"]}), figures
