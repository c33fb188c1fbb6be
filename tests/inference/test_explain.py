"""What ``explain()`` says, word for word: every sentence must be true of the model beside it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import bayeskit as bk

ROWS = np.array([[1.0, 2.0], [0.0, 1.0], [2.0, 2.5], [1.5, 0.5], [0.5, 3.0]])


def a_b_test():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m.condition({"n": [1000, 1010], "y": [52, 71]})


def regression(common=True):
    m = bk.Model()
    x = m.data("x", dims="obs")
    s2 = m.latent("s2", bk.InverseGamma(2, 1))
    a = m.latent("a", bk.Normal(0, var=100 * s2) if common else bk.Normal(0, 10))
    b = m.latent("b", bk.Normal(0, 10 * np.sqrt(s2)) if common else bk.Normal(0, 10))
    m.observed("y", bk.Normal(a + b * x, var=s2), dims="obs")
    return m.condition({"x": np.arange(5.0), "y": [1.0, 2.0, 2.5, 4.0, 5.0]})


def regression_with_known_prior_sd():
    return regression(common=False)


def normal_wishart(known=False, rows=ROWS):
    m = bk.Model()
    S = m.latent("S", bk.InverseWishart(4, np.eye(2)), dims="d")
    mu = m.latent("mu", bk.Normal(0, 10) if known else bk.MvNormal(np.zeros(2), cov=S / 0.1), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    return m.condition({"y": rows})


def wishart_with_known_prior_sd():
    return normal_wishart(known=True)


def wishart_partly_missing():
    rows = ROWS.copy()
    rows[3, 1] = np.nan
    return normal_wishart(rows=rows)


def finite():
    m = bk.Model(coords={"hypothesis": ["null", "alternative"]})
    z = m.latent("z", bk.Categorical([0.3, 0.7]))
    p = m.data("p", dims="hypothesis")
    m.observed("y", bk.Binomial(10, p[z]))
    return m.condition({"p": [0.5, 0.8], "y": 7})


def eight_schools():
    m = bk.Model(coords={"school": list("ABCDEFGH")})
    se = m.data("se", dims="school")
    mu = m.latent("mu", bk.Normal(0, 5))
    tau = m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition({"se": [15, 10, 16, 11, 9, 11, 10, 18], "y": [28, 8, -3, 7, -1, 1, 18, 12]})


def rats():
    m = bk.Model()
    x = m.data("x", dims="time")
    mean_a, mean_b = m.latent("mean_a", bk.Normal(0, 1000)), m.latent("mean_b", bk.Normal(0, 1000))
    var_a, var_b, var_y = (m.latent(n, bk.InverseGamma(0.001, 0.001)) for n in ("var_a", "var_b", "var_y"))
    a = m.latent("a", bk.Normal(mean_a, var=var_a), dims="rat")
    b = m.latent("b", bk.Normal(mean_b, var=var_b), dims="rat")
    m.observed("y", bk.Normal(a + b * (x - 22), var=var_y), dims=("rat", "time"))
    y = np.random.default_rng(0).normal(240, 20, (30, 5))
    return m.condition({"x": [8, 15, 22, 29, 36], "y": y})


def mixture():
    m = bk.Model(coords={"k": 2})
    w = m.latent("w", bk.Dirichlet([1, 1]), dims="k")
    mu = m.latent("mu", bk.Normal(0, 10), dims="k")
    s2 = m.latent("s2", bk.InverseGamma(2, 1), dims="k")
    z = m.latent("z", bk.Categorical(w), dims="obs")
    m.observed("y", bk.Normal(mu[z], var=s2[z]), dims="obs")
    return m.condition({"y": [-2.0, -1.5, 2.0, 2.2, 1.8]})


def student_t():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 100))
    sigma = m.latent("sigma", bk.HalfNormal(10))
    nu = m.latent("nu", bk.Gamma(2, 0.1))
    m.observed("y", bk.StudentT(nu, mu, sigma), dims="obs")
    return m.condition({"y": [1.0, 2.0, 3.0, 10.0]})


def laplace():
    m = bk.Model()
    mu, b = m.latent("mu", bk.Normal(0, 100)), m.latent("b", bk.HalfCauchy(10))
    m.observed("y", bk.Laplace(mu, b), dims="obs")
    return m.condition({"y": [1.0, 2.0, 3.0, 10.0]})


def logistic():
    m = bk.Model()
    x, n = m.data("x", dims="dose"), m.data("n", dims="dose")
    a, b = m.latent("a", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 10))
    m.observed("y", bk.Binomial(n, logit=a + b * x), dims="dose")
    return m.condition({"x": [-0.86, -0.3, -0.05, 0.73], "n": [5] * 4, "y": [0, 1, 3, 5]})


def hierarchical_poisson():
    m = bk.Model()
    g = m.index("group", dims="obs")
    mu, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("tau", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, tau), dims="group")
    m.observed("y", bk.Poisson(np.exp(a[g])), dims="obs")
    return m.condition({"group": ["u", "u", "v", "v", "w"], "y": [1, 2, 3, 5, 1]})


def pumps():
    m = bk.Model()
    t = m.data("t", dims="pump")
    alpha, beta = m.latent("alpha", bk.Exponential(1)), m.latent("beta", bk.Gamma(0.1, 1))
    theta = m.latent("theta", bk.Gamma(alpha, beta), dims="pump")
    m.observed("y", bk.Poisson(theta * t), dims="pump")
    return m.condition({"t": [94.3, 15.7, 62.9], "y": [5, 1, 5]})


def one_normal(y, sigma=None):
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 10))
    s = m.latent("sigma", bk.HalfNormal(5) if sigma is None else sigma)
    m.observed("y", bk.Normal(mu, s), dims="obs")
    return m.condition({} if y is None else {"y": y})


def missing_entries():
    return one_normal([1.0, 2.0, np.nan, 4.0])


def prior_only():
    return one_normal(None)


def exponential_sd():
    return one_normal([1.0, 2.0, 3.0], bk.Exponential(1))


def flat_scale_above_the_data():
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Flat()), m.latent("tau", bk.Flat(lower=0))
    a = m.latent("a", bk.Normal(mu, tau), dims="group")
    m.observed("y", bk.Normal(a, 1), dims="group")
    return m.condition({"y": [1.0, 2.0, 3.0, 4.0]})


def terms():
    m = bk.Model()
    p, q = m.latent("p", bk.Beta(2, 2)), m.latent("q", bk.Beta(1, 1))
    m.require(p < q)
    m.factor("penalty", -(p**2))
    m.observed("y", bk.Binomial(10, p))
    m.observed("z", bk.Binomial(10, q))
    return m.condition({"y": 3, "z": 5})


def wrong_prior_of_a_share():
    m = bk.Model()
    p = m.latent("p", bk.Truncated(bk.Normal(0.5, 0.2), 0, 1))
    m.observed("y", bk.Binomial(10, p))
    return m.condition({"y": 3})


def wrong_prior_of_a_rate():
    m = bk.Model()
    rate = m.latent("rate", bk.LogNormal(0, 1))
    m.observed("y", bk.Poisson(2 * rate), dims="obs")
    return m.condition({"y": [1, 2]})


def wrong_prior_of_an_sd():
    m = bk.Model()
    sigma = m.latent("sigma", bk.LogNormal(0, 1))
    m.observed("y", bk.Normal(0, sigma), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


def wrong_prior_on_a_common_scale():
    m = bk.Model()
    sigma = m.latent("sigma", bk.HalfNormal(1))
    mu = m.latent("mu", bk.Normal(0, 2 * sigma))
    m.observed("y", bk.Normal(mu, sigma), dims="obs")
    return m.condition({"y": [1.0]})


def product():
    m = bk.Model()
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Normal(a * b, 1), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


def share_in_a_mean():
    m = bk.Model()
    mu, p = m.latent("mu", bk.Normal(0, 1)), m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Normal(mu + p, 1), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


def offset_scale():
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1))
    m.observed("y", bk.Normal(mu, 1 + s), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


def unknown_number_of_trials():
    m = bk.Model()
    n, p = m.latent("n", bk.Poisson(10)), m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Binomial(n, p), dims="obs")
    return m.condition({"y": [3, 4, 5]})


def some_of_each():
    m = bk.Model()
    rate = m.latent("rate", bk.Gamma(2, 1), dims="g")
    w = m.latent("w", bk.Dirichlet([1, 1, 1]), dims="c")
    m.latent("next", bk.Poisson(rate), dims="g")
    m.observed("y", bk.Poisson(rate), dims="g")
    m.observed("k", bk.Multinomial(6, w), dims="c")
    return m.condition({"y": [1, 2], "k": [1, 2, 3]})


def no_latents():
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


def idle_data():
    m = bk.Model()
    m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Normal(0, 1), dims="obs")
    return m.condition({"y": [1.0, 2.0]})


GOLDEN = {
    a_b_test: """\
method: exact (every posterior is known in closed form)
  p  exact; conjugate: Beta(1, 1) prior with Binomial(p) of 'y'""",
    regression: """\
method: exact (every posterior is known in closed form)
  s2, a, b  exact; normal-inverse-gamma: every row of 'a', 'b', 'y' is scaled by 's2' alone""",
    regression_with_known_prior_sd: """\
method: collapsed (a core of 1 number; 2 integrated out)
  s2    core of one number, by quadrature with 000 nodes (drawn independently)
  a, b  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
Not exact because 'a' ~ Normal(0, 10) does not scale with 's2'; an exact posterior needs a prior scaled by a known
multiple of 's2'.""",
    normal_wishart: """\
method: exact (every posterior is known in closed form)
  S, mu  exact; normal-inverse-Wishart: 'mu' and 'S' jointly, every row scaled by 'S'""",
    wishart_with_known_prior_sd: """\
method: collapsed (a core of 2 numbers; 4 integrated out)
  S   integrated out, and drawn given the core; conjugate: InverseWishart(4, [[1.0, 0.0], [0.0, 1.0]]) prior with
      MvNormal(cov) of 'y'
  mu  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance 0.00,
      Pareto k 0.00
Not exact because 'mu' ~ Normal(0, 10) does not scale with 'S'; an exact posterior needs a MvNormal scaled by a known
multiple of 'S'.""",
    wishart_partly_missing: """\
method: gibbs (3 blocks in a sweep)
  S          conjugate step: InverseWishart(4, [[1.0, 0.0], [0.0, 1.0]]) prior with MvNormal(cov) of 'mu',
             MvNormal(cov) of 'y'
  mu         joint Gaussian block of 2 numbers: normal priors, normal children linear in them
  y_missing  conjugate step: missing entries of 'y' given the known ones of the same vector
Not exact because 'y_missing' fills parts of the vectors that 'S' scales.
Not collapsed because 'y_missing' fills parts of vectors, and is drawn with them in a sweep.""",
    finite: """\
method: exact (every posterior is known in closed form)
  z  exact; finite: 2 values enumerated""",
    eight_schools: """\
method: collapsed (a core of 1 number; 9 integrated out)
  mu, theta  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in
             them
  tau        core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because 'tau' lies above the data: 'y' ~ Normal(theta, se) has another scale.""",
    rats: """\
method: collapsed (a core of 3 numbers; 62 integrated out)
  mean_a, mean_b, a, b  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and
                        linear in them
  var_a, var_b, var_y   core of 3 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected
                        acceptance 0.00, Pareto k 0.00
Not exact because 'mean_a', 'mean_b', 'var_a', 'var_b', 'var_y', 'a', 'b' depend on each other and are not one known
family.""",
    mixture: """\
method: gibbs (4 blocks in a sweep)
  w   conjugate step: Dirichlet([1, 1]) prior with Categorical(p) of 'z'
  mu  joint Gaussian block of 2 numbers: normal priors, normal children linear in them
  s2  conjugate step: InverseGamma(2, 1) prior with Normal(sigma) of 'y'
  z   enumeration of 2 values, element by element
Not exact because 'w', 'mu', 's2', 'z' depend on each other and are not one known family.
Not collapsed because 's2' (2 numbers) would be left beside 'z', and one at most is integrated there.""",
    student_t: """\
method: collapsed (a core of 3 numbers; nothing integrated out)
  mu, sigma, nu  core of 3 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance
                 0.00, Pareto k 0.00
Not exact because of 'mu': its child 'y' ~ StudentT is not Gaussian.""",
    laplace: """\
method: collapsed (a core of 2 numbers; nothing integrated out)
  mu, b  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance 0.00,
         Pareto k 0.00
Not exact because of 'mu': its child 'y' ~ Laplace is not Gaussian.""",
    logistic: """\
method: collapsed (a core of 2 numbers; nothing integrated out)
  a, b  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance 0.00,
        Pareto k 0.00
Not exact because of 'a': its child 'y' ~ Binomial is not Gaussian.""",
    hierarchical_poisson: """\
method: collapsed (a core of 2 numbers; 3 integrated out)
  mu, tau  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance 0.00,
           Pareto k 0.00
  a        integrated out, and drawn given the core; 3 numbers, independent given the rest: each by adaptive
           quadrature; when drawn, proposed with the core
Not exact because of 'a': its child 'y' ~ Poisson is not Gaussian.""",
    pumps: """\
method: collapsed (a core of 2 numbers; 3 integrated out)
  alpha, beta  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance
               0.00, Pareto k 0.00
  theta        integrated out, and drawn given the core; conjugate: Gamma(alpha, beta) prior with Poisson(mu) of 'y'
Not exact because 'alpha', 'beta', 'theta' depend on each other and are not one known family.""",
    missing_entries: """\
method: collapsed (a core of 1 number; 1 integrated out)
  mu         integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in
             them
  sigma      core of one number, by quadrature with 000 nodes (drawn independently)
  y_missing  drawn forward: missing entries of 'y', and nothing observed depends on them
Not exact because 'mu' ~ Normal(0, 10) does not scale with 'sigma'; an exact posterior needs a prior scaled by a known
multiple of 'sigma'.""",
    prior_only: """\
method: exact (no data: the prior is the posterior)
  mu     drawn forward from Normal(0, 10): nothing observed depends on it
  sigma  drawn forward from HalfNormal(5): nothing observed depends on it""",
    exponential_sd: """\
method: collapsed (a core of 1 number; 1 integrated out)
  mu     integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
  sigma  core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because 'mu' ~ Normal(0, 10) does not scale with 'sigma'; an exact posterior needs a prior scaled by a known
multiple of 'sigma'.""",
    flat_scale_above_the_data: """\
method: collapsed (a core of 1 number; 5 integrated out)
  mu, a  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
  tau    core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because 'tau' lies above the data: 'y' ~ Normal(a, 1) has another scale.""",
    terms: """\
method: collapsed (a core of 2 numbers; nothing integrated out)
  p, q  core of 2 numbers, sampled by independence Metropolis-Hastings proposed in bulk; expected acceptance 0.00,
        Pareto k 0.00
Not exact because the term 'penalty' of the density has no closed form.
Terms of m.factor and m.require are not renormalised in the evidence.""",
    wrong_prior_of_a_share: """\
method: collapsed (a core of 1 number; nothing integrated out)
  p  core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because of 'p': Truncated(Normal(0.5, 0.2), lower=0, upper=1) is not a Beta distribution; for Binomial(p) of
'y' a Beta prior would be conjugate.""",
    wrong_prior_of_a_rate: """\
method: collapsed (a core of 1 number; nothing integrated out)
  rate  core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because of 'rate': LogNormal(0, 1) is not of the gamma family; for Poisson(mu) of 'y' a Gamma prior would be
conjugate.""",
    wrong_prior_of_an_sd: """\
method: collapsed (a core of 1 number; nothing integrated out)
  sigma  core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because of 'sigma': LogNormal(0, 1) is not of the gamma family; for Normal(sigma) of 'y' a HalfNormal prior
on it, or an InverseGamma prior on its square, would be conjugate.""",
    wrong_prior_on_a_common_scale: """\
method: collapsed (a core of 1 number; 1 integrated out)
  sigma  core of one number, by quadrature with 000 nodes (drawn independently)
  mu     integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
Not exact because HalfNormal(1) is not an inverse gamma on the variance; an InverseGamma prior on the variance, or a
Gamma prior on the precision, would make it exact.""",
    product: """\
method: collapsed (a core of 1 number; 1 integrated out)
  a  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
  b  core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because of 'b': in 'y', a * b is a product of two factors that both contain 'a', 'b'.""",
    share_in_a_mean: """\
method: collapsed (a core of 1 number; 1 integrated out)
  mu  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
  p   core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because of 'p': Beta(1, 1) is not a normal prior, and it enters the mean of a normal.""",
    offset_scale: """\
method: collapsed (a core of 1 number; 1 integrated out)
  mu  integrated out, and drawn given the core; joint Gaussian: normal priors, and 'y' normal and linear in them
  s   core of one number, by quadrature with 000 nodes (drawn independently)
Not exact because the scale of 'y' is not a known multiple of 's'.""",
    unknown_number_of_trials: """\
method: gibbs (2 blocks in a sweep)
  n  slice sampling: Poisson has no known finite range
  p  conjugate step: Beta(1, 1) prior with Binomial(p) of 'y'
Not exact because 'n', 'p' depend on each other and are not one known family.
Not collapsed because 'n' is discrete, and is not integrated out.""",
    some_of_each: """\
method: exact (every posterior is known in closed form)
  rate  exact; conjugate: Gamma(2, 1) prior with Poisson(mu) of 'y'
  w     exact; conjugate: Dirichlet([1, 1, 1]) prior with Multinomial(p) of 'k'
  next  drawn forward from Poisson(rate): nothing observed depends on it""",
    no_latents: """\
method: exact (there are no latents: the density of the data is the evidence)""",
    idle_data: """\
method: exact (the data say nothing of the latents: the prior is the posterior)
  p  drawn forward from Beta(1, 1): nothing observed depends on it""",
}


# The same models, swept because it is asked for.
SWEPT = {
    regression_with_known_prior_sd: """\
method: gibbs (1 block in a sweep)
  s2    conjugate step given the Gaussian block: InverseGamma(2, 1) prior, scale of 'y'
  a, b  joint Gaussian block of 2 numbers: normal priors, normal children linear in them""",
    wishart_with_known_prior_sd: """\
method: gibbs (1 block in a sweep)
  S   conjugate step given the Gaussian block: InverseWishart(4, [[1.0, 0.0], [0.0, 1.0]]) prior, scale of 'y'
  mu  joint Gaussian block of 2 numbers: normal priors, normal children linear in them""",
    eight_schools: """\
method: gibbs (1 block in a sweep)
  mu, theta  joint Gaussian block of 9 numbers (8 groups of 1, 1 beside them): normal priors, normal children linear
             in them
  tau        slice sampling with the Gaussian block integrated out: it scales only 8 numbers, and given the block it
             would stick""",
    rats: """\
method: gibbs (1 block in a sweep)
  mean_a, mean_b, a, b  joint Gaussian block of 62 numbers (30 groups of 2, 2 beside them): normal priors, normal
                        children linear in them
  var_a                 conjugate step given the Gaussian block: InverseGamma(0.001, 0.001) prior, scale of 'a'
  var_b                 conjugate step given the Gaussian block: InverseGamma(0.001, 0.001) prior, scale of 'b'
  var_y                 conjugate step given the Gaussian block: InverseGamma(0.001, 0.001) prior, scale of 'y'""",
    hierarchical_poisson: """\
method: gibbs (4 blocks in a sweep)
  mu   joint Gaussian block of 1 number: normal priors, normal children linear in them
  tau  conjugate step: HalfNormal(1) prior with Normal(sigma) of 'a'; moved a second time with 'a' stretched along
  a    slice sampling: in 'y', exp(a[group]) is no power of 'a'; a Gamma prior on the parameter itself would be
       conjugate for Poisson(mu) of 'y'; not in a Gaussian block: its child 'y' ~ Poisson is not Gaussian""",
    pumps: """\
method: gibbs (3 blocks in a sweep)
  alpha  slice sampling: no rule has Gamma(alpha) of 'theta' as a child
  beta   conjugate step: Gamma(0.1, 1) prior with Gamma(beta) of 'theta'
  theta  conjugate step: Gamma(alpha, beta) prior with Poisson(mu) of 'y'""",
    missing_entries: """\
method: gibbs (1 block in a sweep)
  mu         joint Gaussian block of 1 number: normal priors, normal children linear in them
  sigma      conjugate step given the Gaussian block: HalfNormal(5) prior, scale of 'y'
  y_missing  drawn forward: missing entries of 'y', and nothing observed depends on them""",
    exponential_sd: """\
method: gibbs (1 block in a sweep)
  mu     joint Gaussian block of 1 number: normal priors, normal children linear in them
  sigma  slice sampling with the Gaussian block integrated out: its children are linear in its power 2, where
         Exponential is conjugate for 1 and -1 only""",
    flat_scale_above_the_data: """\
method: gibbs (1 block in a sweep)
  mu, a  joint Gaussian block of 5 numbers (4 groups of 1, 1 beside them): normal priors, normal children linear in
         them
  tau    slice sampling with the Gaussian block integrated out: it scales only 4 numbers, and given the block it would
         stick
The prior of 'tau', 'mu' is improper; that the posterior is proper was not checked.""",
    wrong_prior_on_a_common_scale: """\
method: gibbs (1 block in a sweep)
  sigma  slice sampling with the Gaussian block integrated out: it scales only 1 number, and given the block it would
         stick
  mu     joint Gaussian block of 1 number: normal priors, normal children linear in them""",
    product: """\
method: gibbs (2 blocks in a sweep)
  a  joint Gaussian block of 1 number: normal priors, normal children linear in them
  b  conjugate step: Normal(0, 1) prior with Normal(mu) of 'y'; not in a Gaussian block: in 'y', a * b is a product of
     two factors that both contain 'a', 'b'""",
    share_in_a_mean: """\
method: gibbs (2 blocks in a sweep)
  mu  joint Gaussian block of 1 number: normal priors, normal children linear in them
  p   slice sampling: Beta is not a normal distribution, cut or flat; for Normal(mu) of 'y' a Normal prior would be
      conjugate""",
    offset_scale: """\
method: gibbs (2 blocks in a sweep)
  mu  joint Gaussian block of 1 number: normal priors, normal children linear in them
  s   slice sampling: in 'y', 1 + s is no power of 's'; an InverseGamma prior on the square of the parameter itself
      would be conjugate for Normal(sigma) of 'y'""",
}


@pytest.mark.parametrize("model", GOLDEN, ids=lambda f: f.__name__)
def test_explain(model):
    text = model().explain()
    assert without_figures(text) == without_figures(GOLDEN[model])
    assert max(map(len, text.splitlines())) <= 118


@pytest.mark.parametrize("model", SWEPT, ids=lambda f: f.__name__)
def test_explain_a_sweep(model):
    text = model().explain(method="gibbs")
    assert text == SWEPT[model]
    assert max(map(len, text.splitlines())) <= 118


def without_figures(text):
    """Leave out the figures of a fitted proposal: they differ in the last digit from machine to machine."""
    text = re.sub(r"(acceptance|Pareto k|acceptance\n +|Pareto\n +k)(\s+)-?\d\.\d\d", r"\1\g<2>0.00", text)
    return re.sub(r"with \d+ nodes", "with 000 nodes", text)


def test_a_long_list_of_names_stands_on_a_line_of_its_own():
    m = bk.Model()
    names = [f"coefficient_{i}" for i in range(4)]
    total = sum(m.latent(n, bk.Normal(0, 1)) for n in names)
    m.observed("y", bk.Normal(total, 1), dims="obs")
    lines = m.condition({"y": [1.0, 2.0]}).explain().splitlines()
    assert lines[1] == "  coefficient_0, coefficient_1, coefficient_2, coefficient_3"
    assert lines[2].startswith("      ") and "joint Gaussian" in lines[2]


def test_repr_and_draws_carry_the_explanation():
    posterior = a_b_test()
    assert repr(posterior).endswith(posterior.explain())
    assert posterior.sample(2, seed=1).attrs["explain"] == posterior.explain()
