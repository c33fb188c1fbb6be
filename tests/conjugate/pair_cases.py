"""The conjugate pairs of the literature: a prior, what is observed, and both densities by scipy alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

import bayeskit as bk

PI = np.pi


@dataclass
class Pair:
    """One pair.

    ``child`` makes the distribution of an observation from the unknown and the known columns; ``log_prior(x)`` and
    ``log_like(y, x, *known)`` are its densities by scipy (of an improper prior, what the field writes); ``line`` says
    on which numbers the unknown lives.
    """

    prior: Any
    child: Callable[..., Any]
    log_prior: Callable[[Any], Any]
    log_like: Callable[..., Any]
    values: Callable[[np.random.Generator, tuple[int, ...]], Any]
    line: str = "positive"
    known: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = field(default_factory=dict)
    bounds: tuple[float, float] = (0.0, np.inf)

    @property
    def is_proper(self):
        return self.prior.is_proper


def flat(x):
    return 0.0 * x


def inverse(x):
    return -np.log(x)


def reals(rng, shape):
    return rng.normal(1.0, 2.0, shape)


def positives(rng, shape):
    return rng.gamma(2.0, 1.0, shape) + 0.3


def counts(high, low=0):
    return lambda rng, shape: rng.integers(low, high, shape)


def angles(rng, shape):
    return rng.vonmises(2.8, 1.5, shape)


def uniform(low, high):
    return lambda rng, shape: rng.uniform(low, high, shape)


def gamma(a, b):
    return stats.gamma(a, scale=1 / b).logpdf


def inverse_gamma(a, b):
    return stats.invgamma(a, scale=b).logpdf


def rayleigh(y, b):
    return stats.weibull_min(2.0, scale=b).logpdf(y)


def normal_variance(y, v):
    return stats.norm(0.5, np.sqrt(v)).logpdf(y)


def log_normal_variance(y, v):
    return stats.lognorm(np.sqrt(v), scale=np.exp(0.5)).logpdf(y)


def binomial(y, p, n):
    return stats.binom(n, p).logpmf(y)


def poisson(y, x, t):
    return stats.poisson(x * t).logpmf(y)


def weibull(y, rate, alpha):
    return stats.weibull_min(alpha, scale=rate ** (-1 / alpha)).logpdf(y)


def weibull_scale(y, theta, alpha):
    return stats.weibull_min(alpha, scale=theta ** (1 / alpha)).logpdf(y)


def wald(y, lam):
    return stats.invgauss(1.5 / lam, scale=lam).logpdf(y)


def uniform_to(y, x, c=1.0):
    return np.where((y >= 0) & (y <= c * x), -np.log(c * x), -np.inf)


TRIALS = {"n": counts(9, 5)}
EXPOSURE = {"t": uniform(0.5, 3.0)}
SHAPES = {"alpha": uniform(0.6, 2.5)}
POISSON = (lambda x, t: bk.Poisson(t * x)), poisson, counts(6)
WEIBULL = (lambda x, a: bk.Weibull(a, x ** (-1 / a))), weibull, positives
WEIBULL_SCALE = (lambda x, a: bk.Weibull(a, x ** (1 / a))), weibull_scale, positives
UP_TO = (lambda x: bk.Uniform(0, x)), uniform_to, uniform(0.0, 2.0)


def pair(prior, log_prior, makes, line="positive", known=None, bounds=(0.0, np.inf)):
    child, log_like, values = makes
    return Pair(prior, child, log_prior, log_like, values, line, known or {}, bounds)


PAIRS = {
    # ---- normal ----------------------------------------------------------------------------------------------------
    "normal mean": pair(
        bk.Normal(1, 2), stats.norm(1, 2).logpdf,
        (lambda x: bk.Normal(x, 1.3), lambda y, x: stats.norm(x, 1.3).logpdf(y), reals), "real"),
    "normal mean, flat": pair(
        bk.Flat(), flat, (lambda x: bk.Normal(x, 1.3), lambda y, x: stats.norm(x, 1.3).logpdf(y), reals), "real"),
    "normal variance": pair(
        bk.InverseGamma(3, 2), inverse_gamma(3, 2), (lambda x: bk.Normal(0.5, var=x), normal_variance, reals)),
    "normal variance, 1 / v": pair(
        bk.InverseGamma(0, 0), inverse, (lambda x: bk.Normal(0.5, var=x), normal_variance, reals)),
    "normal precision": pair(
        bk.Gamma(2, 1), gamma(2, 1),
        (lambda x: bk.Normal(0.5, tau=x), lambda y, x: stats.norm(0.5, x**-0.5).logpdf(y), reals)),
    # ---- log-normal ------------------------------------------------------------------------------------------------
    "log-normal mean": pair(
        bk.Normal(1, 2), stats.norm(1, 2).logpdf,
        (lambda x: bk.LogNormal(x, 1.3), lambda y, x: stats.lognorm(1.3, scale=np.exp(x)).logpdf(y), positives),
        "real"),
    "log-normal variance": pair(
        bk.InverseGamma(3, 2), inverse_gamma(3, 2),
        (lambda x: bk.LogNormal(0.5, np.sqrt(x)), log_normal_variance, positives)),
    # ---- shares ----------------------------------------------------------------------------------------------------
    "bernoulli": pair(
        bk.Beta(2, 3), stats.beta(2, 3).logpdf,
        (lambda x: bk.Bernoulli(x), lambda y, x: stats.bernoulli(x).logpmf(y), counts(2)), "share"),
    "binomial": pair(bk.Beta(2, 3), stats.beta(2, 3).logpdf,
                     (lambda x, n: bk.Binomial(n, x), binomial, counts(5)), "share", TRIALS),
    "binomial, Jeffreys": pair(bk.Beta(0.5, 0.5), stats.beta(0.5, 0.5).logpdf,
                               (lambda x, n: bk.Binomial(n, x), binomial, counts(5)), "share", TRIALS),
    "binomial, uniform": pair(bk.Uniform(0, 1), flat,
                              (lambda x, n: bk.Binomial(n, x), binomial, counts(5)), "share", TRIALS),
    "binomial, Haldane": pair(bk.Beta(0, 0), lambda x: -np.log(x) - np.log1p(-x),
                              (lambda x, n: bk.Binomial(n, x), binomial, counts(5, 1)), "share", TRIALS),
    "geometric": pair(
        bk.Beta(2, 3), stats.beta(2, 3).logpdf,
        (lambda x: bk.Geometric(x), lambda y, x: stats.geom(x).logpmf(y), counts(7, 1)), "share"),
    "negative binomial": pair(
        bk.Beta(2, 3), stats.beta(2, 3).logpdf,
        (lambda x, r: bk.NegativeBinomial(n=r, p=x), lambda y, x, r: stats.nbinom(r, x).logpmf(y), counts(7)),
        "share", {"r": counts(6, 1)}),
    # ---- rates -----------------------------------------------------------------------------------------------------
    "poisson": pair(bk.Gamma(2, 1), gamma(2, 1), POISSON, known=EXPOSURE),
    "poisson, 1 / rate": pair(bk.Gamma(0, 0), inverse, POISSON, known=EXPOSURE),
    "exponential": pair(
        bk.Gamma(2, 1), gamma(2, 1),
        (lambda x: bk.Exponential(x), lambda y, x: stats.expon(scale=1 / x).logpdf(y), positives)),
    "gamma": pair(
        bk.Gamma(2, 1), gamma(2, 1),
        (lambda x: bk.Gamma(2.5, x), lambda y, x: stats.gamma(2.5, scale=1 / x).logpdf(y), positives)),
    "inverse gamma": pair(
        bk.Gamma(2, 1), gamma(2, 1),
        (lambda x: bk.InverseGamma(2.5, x), lambda y, x: stats.invgamma(2.5, scale=x).logpdf(y), positives)),
    "pareto shape": pair(
        bk.Gamma(2, 1), gamma(2, 1),
        (lambda x: bk.Pareto(x, 0.2), lambda y, x: stats.pareto(x, scale=0.2).logpdf(y), positives)),
    "laplace scale": pair(
        bk.InverseGamma(3, 2), inverse_gamma(3, 2),
        (lambda x: bk.Laplace(0.5, x), lambda y, x: stats.laplace(0.5, x).logpdf(y), reals)),
    "inverse gaussian": pair(bk.Gamma(2, 1), gamma(2, 1), (lambda x: bk.InverseGaussian(1.5, x), wald, positives)),
    "inverse gaussian, 1 / lam": pair(bk.Gamma(0, 0), inverse,
                                      (lambda x: bk.InverseGaussian(1.5, x), wald, positives)),
    # ---- Weibull ---------------------------------------------------------------------------------------------------
    "weibull rate": pair(bk.Gamma(2, 1), gamma(2, 1), WEIBULL, known=SHAPES),
    "weibull rate, 1 / rate": pair(bk.Gamma(0, 0), inverse, WEIBULL, known=SHAPES),
    "weibull scale": pair(bk.InverseGamma(3, 2), inverse_gamma(3, 2), WEIBULL_SCALE, known=SHAPES),
    "rayleigh under a half-normal": pair(
        bk.HalfNormal(2), stats.halfnorm(scale=2).logpdf, (lambda x: bk.Weibull(2.0, x), rayleigh, positives)),
    # ---- upper ends ------------------------------------------------------------------------------------------------
    "uniform": pair(bk.Pareto(1.5, 0.7), stats.pareto(1.5, scale=0.7).logpdf, UP_TO, bounds=(0.7, np.inf)),
    "uniform, 1 / x": pair(bk.Gamma(0, 0), inverse, UP_TO),
    "uniform, flat": pair(bk.Flat(0), flat, UP_TO),
    "uniform, bounded": pair(bk.Uniform(0.5, 4), lambda x: flat(x) - np.log(3.5), UP_TO, bounds=(0.5, 4.0)),
    "uniform, cut": pair(
        bk.Truncated(bk.Pareto(1.5, 0.7), upper=4.0),
        lambda x: stats.pareto(1.5, scale=0.7).logpdf(x) - stats.pareto(1.5, scale=0.7).logcdf(4.0), UP_TO,
        bounds=(0.7, 4.0)),
    "uniform to a multiple": pair(
        bk.Pareto(1.5, 0.7), stats.pareto(1.5, scale=0.7).logpdf,
        (lambda x, c: bk.Uniform(0, c * x), uniform_to, uniform(0.0, 2.0)), known={"c": uniform(0.5, 2.0)},
        bounds=(0.7, np.inf)),
    # ---- directions ------------------------------------------------------------------------------------------------
    "direction": pair(
        bk.VonMises(-2.5, 1.2), stats.vonmises(1.2, loc=-2.5).logpdf,
        (lambda x: bk.VonMises(x, 2.0), lambda y, x: stats.vonmises(2.0, loc=x).logpdf(y), angles), "circle"),
    "direction, uniform": pair(
        bk.Uniform(-PI, PI), lambda x: flat(x) - np.log(2 * PI),
        (lambda x: bk.VonMises(x, 2.0), lambda y, x: stats.vonmises(2.0, loc=x).logpdf(y), angles), "circle"),
    "direction, flat, turned": pair(
        bk.Flat(-PI, PI), flat,
        (lambda x, o: bk.VonMises(o - x, 2.0), lambda y, x, o: stats.vonmises(2.0, loc=o - x).logpdf(y), angles),
        "circle", {"o": uniform(-1.0, 1.0)}),
}  # fmt: skip
