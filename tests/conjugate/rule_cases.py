"""For every row of the table of rules a small model, in every form the row admits."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import bayeskit as bk
from bayeskit.conjugate.rules import RULES
from bayeskit.model.binding import bind, read

GROUPS, N, SIZE = 3, 7, 2  # labels of a grouping, rows, and entries of a vector


@dataclass
class Row:
    """A prior, a child given the expression in its parameter, and values in its support."""

    prior: Any
    child: Any  # (expression, model, dims) -> distribution; it may declare further latents and data
    values: Any  # (rng, shape) -> array
    data: Any = None  # (rng, shape) -> {name: array} for what the child declares
    event: bool = False  # whether values are vectors


def counts(high):
    return lambda rng, shape: rng.integers(0, high, shape).astype(float)


def positives(rng, shape):
    return rng.gamma(2.0, 1.0, shape) + 0.6


def reals(rng, shape):
    return rng.normal(1.0, 2.0, shape)


def angles(rng, shape):
    return rng.vonmises(2.5, 1.0, shape)


def vectors(rng, shape):
    return rng.normal(0.5, 1.5, (*shape, SIZE))


def binomial(p, m, dims):
    return bk.Binomial(m.data("n", dims=dims), p)


def weibull(x, m, dims):
    """Rows of known shapes, each times one that is not known."""
    alpha = m.data("times", dims=dims[-1:]) * unknown(m, "shape", bk.Gamma(5, 2))
    return bk.Weibull(alpha, x ** (-1 / alpha))


def shares(rng, shape):
    return rng.multinomial(5, np.ones(GROUPS) / GROUPS, shape).astype(float)


def unknown(m, name, prior):
    """A second latent: its draws differ between chains."""
    return m.latent(name, prior)


SPREAD = [[2.0, 0.5], [0.5, 1.0]]
ROWS = {
    ("Beta", "Bernoulli", "p"): Row(bk.Beta(2, 3), lambda p, m, d: bk.Bernoulli(p), counts(2)),
    ("Beta", "Binomial", "p"): Row(
        bk.Beta(2, 3), binomial, counts(4), lambda rng, shape: {"n": rng.integers(4, 9, shape)}
    ),
    ("Beta", "Geometric", "p"): Row(
        bk.Beta(2, 3), lambda p, m, d: bk.Geometric(p), lambda rng, shape: 1 + counts(5)(rng, shape)
    ),
    ("Beta", "NegativeBinomial", "p"): Row(
        bk.Beta(2, 3),
        lambda p, m, d: bk.NegativeBinomial(n=unknown(m, "size", bk.Gamma(4, 1)), p=p),
        counts(6),
    ),
    ("BetaBinomial", "Hypergeometric", "k"): Row(
        bk.BetaBinomial(20, 1.5, 0.7), lambda k, m, d: bk.Hypergeometric(20, k, 8), counts(6)
    ),
    ("Dirichlet", "Categorical", "p"): Row(
        bk.Dirichlet([1.0, 2.0, 0.5]), lambda p, m, d: bk.Categorical(p), counts(GROUPS)
    ),
    ("Dirichlet", "Multinomial", "p"): Row(
        bk.Dirichlet([1.0, 2.0, 0.5]), lambda p, m, d: bk.Multinomial(5, p), shares, event=True
    ),
    ("Gamma", "Poisson", "mu"): Row(bk.Gamma(2, 1), lambda x, m, d: bk.Poisson(x), counts(6)),
    ("Gamma", "Exponential", "lam"): Row(bk.Gamma(2, 1), lambda x, m, d: bk.Exponential(x), positives),
    ("Gamma", "Gamma", "beta"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.Gamma(unknown(m, "shape", bk.Gamma(5, 2)), x), positives
    ),
    ("Gamma", "InverseGamma", "beta"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.InverseGamma(unknown(m, "shape", bk.Gamma(5, 2)), x), positives
    ),
    ("Gamma", "Pareto", "alpha"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.Pareto(x, unknown(m, "least", bk.Uniform(0.1, 0.5))), positives
    ),
    ("Gamma", "Normal", "sigma"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.Normal(unknown(m, "mean", bk.Normal(0, 1)), tau=x), reals
    ),
    ("Gamma", "LogNormal", "sigma"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.LogNormal(unknown(m, "mean", bk.Normal(0, 1)), x**-0.5), positives
    ),
    ("Gamma", "HalfNormal", "sigma"): Row(bk.InverseGamma(3, 2), lambda x, m, d: bk.HalfNormal(var=x), positives),
    ("Gamma", "Laplace", "b"): Row(
        bk.InverseGamma(3, 2), lambda x, m, d: bk.Laplace(unknown(m, "mean", bk.Normal(0, 1)), x), reals
    ),
    ("Gamma", "InverseGaussian", "lam"): Row(
        bk.Gamma(2, 1), lambda x, m, d: bk.InverseGaussian(unknown(m, "mean", bk.Gamma(5, 2)), x), positives
    ),
    ("Gamma", "Weibull", "beta"): Row(
        bk.Gamma(2, 1), weibull, positives, lambda rng, shape: {"times": rng.uniform(0.5, 2.0, shape[-1:])}
    ),
    ("Pareto", "Uniform", "upper"): Row(bk.Pareto(2, 1.5), lambda x, m, d: bk.Uniform(0, x), positives),
    ("VonMises", "VonMises", "mu"): Row(
        bk.VonMises(0.4, 1.5), lambda x, m, d: bk.VonMises(x, unknown(m, "concentration", bk.Gamma(3, 1))), angles
    ),
    ("Normal", "Normal", "mu"): Row(
        bk.Normal(1, 2), lambda x, m, d: bk.Normal(x, unknown(m, "scale", bk.HalfNormal(2))), reals
    ),
    ("Normal", "LogNormal", "mu"): Row(
        bk.Normal(1, 2), lambda x, m, d: bk.LogNormal(x, unknown(m, "scale", bk.HalfNormal(2))), positives
    ),
    ("Normal", "MvNormal", "mu"): Row(
        bk.MvNormal(0, SPREAD), lambda x, m, d: bk.MvNormal(x, tau=SPREAD), vectors, event=True
    ),
    ("Wishart", "MvNormal", "tau"): Row(
        bk.Wishart(4, SPREAD),
        lambda x, m, d: bk.MvNormal(unknown(m, "mean", bk.Normal(0, 1)), tau=x),
        vectors,
        event=True,
    ),
    ("InverseWishart", "MvNormal", "cov"): Row(
        bk.InverseWishart(4, SPREAD),
        lambda x, m, d: bk.MvNormal(unknown(m, "mean", bk.Normal(0, 1)), x),
        vectors,
        event=True,
    ),
}

ALWAYS = ["identity", "plate", "index", "latent index"]
FORMS = {
    "share": [*ALWAYS, "complement", "missing"],
    "identity": [*ALWAYS],
    "power": [*ALWAYS, "coefficient", "divided", "missing"],
    "linear": [*ALWAYS, "coefficient", "offset", "complement", "missing", "two children"],
    "matrix": [*ALWAYS, "coefficient"],
    "angle": [*ALWAYS, "offset", "complement", "missing"],
}
ONE_SAMPLE = ["identity", "plate"]  # of each element: an index would give some of them more


def forms_of(rule):
    if rule.population:
        return ONE_SAMPLE
    forms = list(FORMS[rule.form])
    if rule.child == "Categorical":
        forms.append("missing")
    if rule.child == "MvNormal" and rule.form == "linear":
        forms = [f for f in forms if f not in ("missing", "two children")]
    return forms


CASES = [(rule, form) for rule in RULES for form in forms_of(rule)]


def key(rule):
    return rule.prior, rule.child, rule.parameter


def case_name(case):
    rule, form = case
    return f"{rule.child}({rule.parameter})-{form}"


class Builder:
    """One case as a model: where the latent's dims, the expression and the data come from."""

    def __init__(self, rule, form, prior=None):
        self.rule, self.form, self.row = rule, form, ROWS[key(rule)]
        self.rng = np.random.default_rng(len(rule.formula) + 31 * len(form))
        self.prior = self.row.prior if prior is None else prior
        self.m = bk.Model(coords={"group": GROUPS, "arm": ["A", "B"], "v": SIZE, "k": GROUPS})
        self.data = {}

    def event_dims(self):
        if self.rule.prior == "Dirichlet":
            return ("k",)
        if self.prior.event_ndim:
            return ("v",)
        return ()

    def build(self):
        grouped = {"plate": ("arm",), "index": ("group",), "latent index": ("group",)}.get(self.form, ())
        x = self.m.latent("x", self.prior, dims=(*grouped, *self.event_dims()))
        plates = ("arm", "obs") if self.form == "plate" else ("obs",)
        rows = 1 if self.rule.population else N
        shape = (2, rows) if self.form == "plate" else (rows,)
        dims = plates + (self.event_dims()[-1:] if self.row.event else ())
        self.observe("y", self.expression(x), plates, dims, shape)
        if self.form == "two children":
            self.observe("second", 0.5 * x - 1.0, ("other",), ("other",), (4,))
        return bind(self.m, [read(self.m, self.data, {})])

    def observe(self, name, expression, plates, dims, shape):
        if name == "second":
            child = {"Normal": bk.Normal, "LogNormal": bk.LogNormal}[self.rule.child](expression, 0.7)
        else:
            child = self.row.child(expression, self.m, plates)
            self.data |= self.row.data(self.rng, shape) if self.row.data else {}
        values = self.row.values(self.rng, shape)
        if self.form == "missing":
            values.ravel()[[1, 4]] = np.nan
        self.m.observed(name, child, dims=dims)
        self.data[name] = values

    def expression(self, x):
        m, rng = self.m, self.rng
        if self.form in ("identity", "plate", "missing", "two children"):
            return x
        if self.form == "index":
            self.data["row_group"] = rng.integers(0, GROUPS, N)
            return x[m.index("row_group", dims="obs", into="group")]
        if self.form == "latent index":
            z = m.latent("z", bk.Categorical(np.ones(GROUPS) / GROUPS), dims="obs")
            return x[{"group": z}]
        if self.form == "complement":
            return 1 - x
        c = m.data("c", dims="obs")
        self.data["c"] = rng.gamma(3.0, 0.5, N)
        w = m.latent("w", bk.Gamma(6, 4))
        if self.rule.form == "angle":
            return x + w * c - 0.3
        if self.rule.form == "matrix":
            return w * x * c
        if self.form == "coefficient":
            return c * x * w
        if self.form == "divided":
            return w / (c / x)
        return c * x + w * c - 0.3
