"""Small posteriors of every kind, each with further data for an update and new columns for a prediction."""

import datetime

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

import bayeskit as bk

RNG = np.random.default_rng(20240229)
SHOPS = np.array(["East", "North", "South"])
ROWS = {"shop": SHOPS[[0, 1, 2, 1, 0, 2, 2]], "x": RNG.normal(size=7), "y": RNG.normal(size=7)}
NEW_ROWS = {"shop": ["West", "North"], "x": [0.1, 1 / 3], "y": [1.0, 2.0]}
NEW_COLUMNS = {"shop": ["South", "Far"], "x": [0.5, -0.5]}


def arms():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    m.derived("lift", p["B"] - p["A"])
    return m.condition({"n": [100, 101], "y": [5, 7]}), {"n": [10, 12], "y": [1, 0]}, {"n": [7, 8]}


def exposures():
    m = bk.Model(coords={"pump": 3})
    time = m.data("time", dims="pump")
    rate = m.latent("rate", bk.Gamma(0.5, scale=2), dims="pump")
    m.observed("x", bk.Poisson(rate * time), dims="pump")
    return m.condition({"time": [1.5, 2, 30], "x": [0, 4, 11]}), {"time": [1, 2, 3], "x": [1, 1, 1]}, {"time": [1] * 3}


def indexed_regression():
    m = bk.Model()
    shop, x = m.index("shop", dims="obs"), m.data("x", dims="obs")
    base, slope = m.latent("base", bk.Normal(0, 5), dims="shop"), m.latent("slope", bk.Normal(0, 10))
    m.observed("y", bk.Normal(base[shop] + slope * (x - 0.1), 1.5), dims="obs")
    return m.condition(ROWS), NEW_ROWS, NEW_COLUMNS


def flat_regression():
    m = bk.Model(coords={"k": ["one", "x", "square"]})
    design = m.data("design", dims=("obs", "k"))
    b, var = m.latent("b", bk.Flat(), dims="k"), m.latent("var", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(design @ b, var=var), dims="obs")
    x = np.linspace(-1, 1, 9)
    columns = np.stack([np.ones(9), x, x**2], axis=1)
    return m.condition({"design": columns, "y": np.sin(x)}), {"design": columns[:2], "y": [1, 2]}, {"design": columns}


def eight_schools():
    schools = list("ABCDEFGH")
    m = bk.Model(coords={"school": schools})
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    given = {"se": [15, 10, 16, 11, 9, 11, 10, 18], "y": [28.0, 8, -3, 7, -1, 1, 18, 12]}
    more = {n: xr.DataArray(v, dims="school", coords={"school": ["I"]}) for n, v in {"se": [9.5], "y": [3.25]}.items()}
    return m.condition(given), more, {"se": xr.DataArray([9.0, 8.0], dims="school", coords={"school": ["B", "Z"]})}


def random_intercepts():
    m = bk.Model()
    shop, n = m.index("shop", dims="obs"), m.data("n", dims="obs")
    mu, sd = m.latent("mu", bk.Normal(0, 1)), m.latent("sd", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, sd), dims="shop")
    m.observed("y", bk.Binomial(n, logit=a[shop]), dims="obs")
    m.derived("p", expit(a))
    columns = {"shop": ROWS["shop"], "n": np.full(7, 9)}
    return (
        m.condition(columns, y=[1, 3, 9, 0, 2, 5, 4]),
        {"shop": ["West"], "n": [3], "y": [2]},
        {"shop": ["Far"], "n": [3]},
    )


def mixture_with_gaps():
    m = bk.Model(coords={"component": 2})
    weight = m.latent("weight", bk.Dirichlet([1, 1]), dims="component")
    centre = m.latent("centre", bk.Ordered(bk.Normal(0, 3)), dims="component")
    sigma = m.latent("sigma", bk.HalfStudentT(3, 2))
    z = m.latent("z", bk.Categorical(weight), dims="obs")
    m.observed("y", bk.Normal(centre[z], sigma), dims="obs")
    values = np.r_[RNG.normal(-2, 1, 8), RNG.normal(2, 1, 8)]
    values[[3, 12]] = np.nan
    more = xr.DataArray([0.5, np.nan], dims="obs", coords={"obs": [16, 17]})
    return m.condition({"y": values}), {"y": more}, None


def days():
    start = np.datetime64("2024-02-27", "D")
    m = bk.Model(coords={"day": start + np.arange(4)})
    step = m.latent("step", bk.Normal(0, 0.5), dims="day")
    level = m.derived("level", step.cumsum("day"))
    m.observed("y", bk.Normal(level, 1), dims="day")
    m.derived("last", level[{"day": -1 + 4 * (level.mean("day") > -99)}] - level.sum("day") / 4)
    return m.condition({"y": [0.1, 0.2, np.nan, 0.4]}), {"y": [0.3, 0.2, 0.1, 0.0]}, None


def truncated():
    m = bk.Model()
    p = m.latent("p", bk.Truncated(bk.Beta(2, 2), lower=0.2, upper=0.9))
    low = m.data("low", dims="obs")
    m.observed("y", bk.Truncated(bk.Normal(p, 0.5), lower=low), dims="obs")
    return m.condition({"low": [0, 0.5], "y": [0.25, 0.75]}), {"low": [0.1], "y": [0.2]}, {"low": [0.0]}


def terms():
    m = bk.Model()
    a, b = m.latent("a", bk.Flat(lower=0)), m.latent("b", bk.Gamma(2, 0.5))
    m.factor("hyperprior", -2.5 * np.log(a + b) - b)
    m.require((a < 5) & ~(b > 20))
    m.require(np.minimum(a, b) >= 0.01)
    theta = m.latent("theta", bk.Beta(a, b), dims="g")
    m.observed("y", bk.Binomial(10, theta), dims="g")
    return m.condition({"y": [1, 3, 4, 2]}), None, None


def means_and_covariance():
    m = bk.Model(coords={"k": ["u", "v"]})
    cov = m.latent("cov", bk.InverseWishart(5, 2 * np.eye(2)), dims="k")
    mu = m.latent("mu", bk.MvNormal([0, 1], cov=cov / 3), dims="k")
    m.observed("y", bk.MvNormal(mu, cov=cov), dims=("obs", "k"))
    m.derived("r", bk.correlation(cov))
    m.derived("volume", bk.det(cov))
    m.derived("precision", bk.inverse(cov))
    return m.condition({"y": RNG.normal(size=(6, 2))}), {"y": [[0.5, 1 / 7]]}, None


def precision_matrix():
    m = bk.Model(coords={"g": 4, "k": 2})
    tau = m.latent("tau", bk.Wishart(4, np.eye(2) / 4), dims=("k", "k_"))
    b = m.latent("b", bk.MvNormal(0, tau=tau), dims=("g", "k"))
    x = m.data("x", dims=("obs", "k"))
    m.observed("y", bk.Normal(x @ b, m.latent("s", bk.Exponential(1))), dims=("g", "obs"))
    return m.condition({"x": [[1.0, -1], [1, 0], [1, 1]], "y": RNG.normal(size=(4, 3))}), None, None


def shares():
    m = bk.Model(coords={"party": ["left", "middle", "right"]})
    p = m.latent("p", bk.Dirichlet([1.5, 1, 0.5]), dims="party")
    m.observed("vote", bk.Categorical(p), dims="voter")
    m.observed("votes", bk.Multinomial(10, p), dims=("town", "party"))
    data = {"vote": ["left", "right", "left"], "votes": [[3, 3, 4], [10, 0, 0]]}
    return m.condition(data), {"vote": ["middle"], "votes": [[1, 2, 7]]}, None


def outliers():
    m = bk.Model()
    x = m.data("x", dims="obs")
    a, b, s = m.latent("a", bk.Normal(0, 5)), m.latent("b", bk.Laplace(0, 2)), m.latent("s", bk.HalfCauchy(1))
    m.observed("y", bk.StudentT(4, a + b * x, s), dims="obs")
    return m.condition({"x": ROWS["x"], "y": ROWS["y"]}), {"x": [0.5], "y": [9.0]}, {"x": [0.0]}


def softmax():
    m = bk.Model(coords={"class": ["a", "b", "c"], "free": 2})
    x = m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 1), dims="free"), m.latent("b", bk.Normal(0, 1), dims="free")
    m.observed("y", bk.Categorical(logit=bk.concat([0, x * b + a], dim="class")), dims="obs")
    m.derived("both", bk.stack([a.sum("free"), b.mean("free"), 2], dim="which"))
    return m.condition({"x": [0.5, 1, -1, 2], "y": ["a", "c", "c", "b"]}), None, {"x": [0.0]}


def written_arrays():
    regions = xr.DataArray([0.5, 1.5, 2.5], dims="region", coords={"region": ["w", "e", "n"]}, name="centre")
    m = bk.Model(coords={"region": ["e", "n", "w"]})
    mu = m.latent("mu", bk.Normal(regions, xr.DataArray([1, 2, 3], dims="region")), dims="region")
    weight = np.where(mu > 1, 2, 1) * regions + mu * xr.DataArray([1, 2, 3], dims="region")
    m.observed("y", bk.Logistic(weight, 1), dims=("obs", "region"))
    return m.condition({"y": [[0.1, 0.2, 0.3], [1, 2, 3]]}), {"y": [[0.0, 0.5, 1.0]]}, None


def two_way_table():
    m = bk.Model(coords={"mother": ["R", "W"], "father": ["R", "W"]})
    mother, father = m.index("mother", dims="brood"), m.index("dad", dims="brood", into="father")
    p = m.latent("p", bk.Uniform(0, 1), dims=("mother", "father"))
    m.observed("mated", bk.Bernoulli(p[{"mother": mother, "father": father}]), dims="brood")
    return (
        m.condition({"mother": ["R", "W", "W"], "dad": ["R", "W", "R"], "mated": [True, False, True]}),
        {"mother": ["R"], "dad": ["W"], "mated": [True]},
        {"mother": ["W"], "dad": ["W"]},
    )


def table_with_gaps():
    frame = pd.DataFrame(
        {
            "day": [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)],
            "shop": ["North", None, "South"],
            "sold": [12.0, None, 9.5],
            "open": [True, False, True],
        }
    )
    m = bk.Model()
    day, open_ = m.index("day", dims="obs"), m.data("open", dims="obs")
    level = m.latent("level", bk.Normal(10, 5), dims="day")
    kind = m.observed("shop", bk.Categorical(m.latent("share", bk.Dirichlet([1, 1]), dims="which")), dims="obs")
    m.observed("sold", bk.Normal(level[day] + open_ + kind, 1.5), dims="obs")
    more = {"day": [datetime.date(2024, 1, 3)], "shop": [1], "sold": [8.0], "open": [False]}
    return m.condition(frame.assign(shop=[0, None, 1])), more, None


def moments_as_labels():
    moments = pd.to_datetime(["2024-03-01 12:00", "2024-03-02 12:00", "2024-03-01 12:00"])
    m = bk.Model()
    at = m.index("at", dims="obs")
    m.observed("y", bk.Normal(m.latent("level", bk.Normal(0, 1), dims="at")[at], 1), dims="obs")
    return m.condition(pd.DataFrame({"at": moments, "y": [1.0, 2.0, 3.0]})), None, None


def network():
    m = bk.Model()
    rain = m.latent("rain", bk.Bernoulli(0.2))
    sprinkler = m.latent("sprinkler", bk.Bernoulli(np.where(rain > 0, 0.01, 0.4)))
    m.observed("wet", bk.Bernoulli(1 - (1 - 0.9 * rain) * (1 - 0.8 * sprinkler)))
    return m.condition({"wet": 1}), None, None


def scales_of_all_kinds():
    m = bk.Model()
    sd = m.latent("sd", bk.Power(bk.InverseGamma(3, 2), 0.5), dims="g")
    odds = m.latent("odds", bk.Monotone(bk.Beta(8, 4), "odds", bk.distributions.elementary.Affine(2.0, 0.5)))
    m.observed("y", bk.Normal(odds, sd), dims=("obs", "g"))
    return m.condition({"y": [[2.0, 5.0], [3.0, 4.5]]}), None, None


def shared_expressions():
    m = bk.Model()
    rate = m.latent("rate", bk.LogNormal(0, tau=4))
    twice = np.exp(np.log(rate) + 0.5)
    size = m.latent("size", bk.Gamma(2, 0.5))
    m.observed("y", bk.NegativeBinomial(twice, size), dims="obs")
    m.observed("t", bk.Weibull(1.5, twice), dims="obs")
    m.derived("half", twice / 2)
    return m.condition({"y": [1, 0, 3], "t": [0.5, 1.5, 0.25]}), {"y": [2], "t": [1.0]}, None


def known_latent():
    posterior, more, new = indexed_regression()
    return posterior.model.condition(ROWS, slope=0.25), more, new


def no_data():
    posterior, _, new = indexed_regression()
    return posterior.model.condition({n: ROWS[n] for n in ("shop", "x")}), None, new


MODELS = {
    f.__name__: f
    for f in (
        arms, exposures, indexed_regression, flat_regression, eight_schools, random_intercepts, mixture_with_gaps, days,
        truncated, terms, means_and_covariance, precision_matrix, shares, outliers, softmax, written_arrays,
        two_way_table, table_with_gaps, moments_as_labels, network, scales_of_all_kinds, shared_expressions,
        known_latent, no_data,
    )
}  # fmt: skip
