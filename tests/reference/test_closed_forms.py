"""Published closed forms, evidences and decisions: exact answers to the digits given."""

from fractions import Fraction

import numpy as np
import pytest

import bayeskit as bk
from tests.reference import count_models as counts
from tests.reference import gaussian_models as gaussian
from tests.reference.figures import case, data, known


def close(own, published, relative=1e-9):
    np.testing.assert_allclose(np.asarray(own, dtype=float), published, rtol=relative)


# ---- one number ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(["bda_placenta_previa"]))
def test_placenta_previa(name):
    given, exact = data(name), case(name)["exact"]
    theta = counts.binomial(given["y"], given["n"], bk.Beta(1, 1))["p"]
    close([theta.mean(), theta.sd()], [exact["mean"], exact["sd"]])
    close(theta.quantile([0.025, 0.5, 0.975]), [exact["q025"], exact["median"], exact["q975"]])
    close(theta.cdf(0.485), exact["prob_below_0_485"])


@pytest.mark.parametrize("name", known(["bda_placenta_prior_sensitivity"], "data"))
def test_placenta_previa_under_other_priors(name):
    """Gelman et al. (2013), Bayesian Data Analysis, table 2.1: median and 95% interval, three digits."""
    given = data(name)
    published = [[0.446, 0.415, 0.477]] * 4 + [[0.447, 0.416, 0.478], [0.450, 0.420, 0.479], [0.453, 0.424, 0.481]]
    for (mean, size), figures in zip(given["priors"], published, strict=True):
        theta = counts.binomial(given["y"], given["n"], bk.Beta(mean * size, (1 - mean) * size))["p"]
        np.testing.assert_allclose(theta.quantile([0.5, 0.025, 0.975]), figures, atol=0.5e-3)


@pytest.mark.parametrize("name", known(["bda_asthma_gamma_poisson"]))
def test_asthma(name):
    given, exact = data(name), case(name)["exact"]
    for which in "ab":
        y, exposure = given[which]
        theta = counts.poissons([y], [exposure], bk.Gamma(3, 5))["rate"]
        close(theta.mean(), [exact[f"{which}_mean"]])
        close(theta.sd(), [exact[f"{which}_sd"]])
        close(1 - theta.cdf(1.0), [exact[f"{which}_prob_gt_1"]])


@pytest.mark.parametrize("name", known(["albert_sleepers"]))
def test_sleepers(name):
    given, exact = data(name), case(name)["exact"]
    prior = bk.Beta(3.26, 7.19)
    close(prior.quantile([0.5, 0.9]), [exact["prior_median"], exact["prior_q90"]])
    p = counts.binomial(given["s"], given["s"] + given["f"], prior)["p"]
    close([p.mean(), 1 - p.cdf(0.5)], [exact["mean"], exact["prob_p_ge_half"]])
    close(p.quantile([0.05, 0.95]), [exact["q05"], exact["q95"]])


@pytest.mark.parametrize("name", known(["hoff_birth_rates"], "data"))
def test_birth_rates(name):
    """Hoff (2009), A First Course in Bayesian Statistical Methods, sec. 3.2.2: printed R output."""
    given = data(name)
    rate = counts.poissons(given["sum_y"], given["n"], bk.Gamma(2, 1))["rate"]
    np.testing.assert_allclose(rate.mean(), [1.955357, 1.511111], atol=0.5e-6)
    np.testing.assert_allclose(rate.mode(), [1.946429, 1.488889], atol=0.5e-6)
    published = [[1.704943, 2.222679], [1.173437, 1.890836]]
    np.testing.assert_allclose(rate.quantile([0.025, 0.975]), published, atol=0.5e-6)


@pytest.mark.parametrize("name", known(["hoff_midge_nig"]))
def test_midges(name):
    posterior, exact = gaussian.hoff_midge(data(name)), case(name)["exact"]
    theta, sigma2 = posterior["theta"], posterior["sigma2"]
    close([theta.mean(), theta.sd(), sigma2.mean()], [exact["mu_n"], exact["theta_sd"], exact["sigma2_mean"]])
    close(theta.quantile([0.025, 0.975]), [exact["theta_q025"], exact["theta_q975"]])


@pytest.mark.parametrize("name", known(["bda_newcomb_light"], "data"))
def test_newcomb(name):
    """Gelman et al. (2013), sec. 3.2: mean 26.2, 95% interval 26.2 -+ 1.997 s / sqrt(66) = [23.6, 28.9]."""
    posterior, _ = gaussian.nist_univariate(data(name))
    np.testing.assert_allclose(posterior["mu"].quantile([0.025, 0.5, 0.975]), [23.6, 26.2, 28.9], atol=0.05)


@pytest.mark.parametrize("name", known(["bda_preelection_dirichlet"], "data"))
def test_preelection_poll(name):
    """Moments of Dirichlet(728, 584, 138): a linear form of a Dirichlet is known in its mean and variance."""
    votes = np.asarray(data(name)["y"])
    m = bk.Model(coords={"candidate": 3})
    theta = m.latent("theta", bk.Dirichlet([1, 1, 1]), dims="candidate")
    m.observed("y", bk.Multinomial(int(votes.sum()), theta), dims="candidate")
    exact = m.condition({"y": votes})["theta"]
    alpha = votes + 1
    close(exact.mean(), alpha / alpha.sum(), 1e-14)
    close(exact.var(), alpha * (alpha.sum() - alpha) / (alpha.sum() ** 2 * (alpha.sum() + 1)), 1e-13)


# ---- NIST ---------------------------------------------------------------------------------------------------------
UNIVARIATE = ["nist_univariate_lew", "nist_univariate_michelso", "nist_univariate_numacc2", "nist_univariate_pidigits"]


@pytest.mark.parametrize("name", known(UNIVARIATE))
def test_certified_means_and_variances(name):
    found = case(name)
    exact = found["exact"]
    posterior, _ = gaussian.nist_univariate(data(found["data_file"].removesuffix(".json")))
    assert posterior.is_exact
    mu, sigma2 = posterior["mu"], posterior["sigma2"]
    close(mu.mean(), exact["mu"]["mean"], 1e-14)
    close([mu.sd(), *mu.quantile([0.025, 0.975])], [exact["mu"][q] for q in ("sd", "q025", "q975")], 1e-12)
    close(sigma2.mean(), exact["sigma2"]["mean"], 1e-11)
    close(posterior["sigma"].mean(), exact["sigma"]["mean"], 1e-11)


@pytest.mark.parametrize(
    "name", known(["nist_Lottery", "nist_univariate_mavro", "nist_NumAcc3", "nist_NumAcc4", "nist_mcmc01"], "data")
)
def test_means_and_variances_against_rational_arithmetic(name):
    """The certified figures are of the decimals; the floats nearest to them have their own mean and variance."""
    y = [Fraction(float(v)) for v in data(name)["y"]]
    mean = sum(y) / len(y)
    squares = sum((v - mean) ** 2 for v in y)
    posterior, _ = gaussian.nist_univariate(data(name))
    close(posterior["mu"].mean(), float(mean), 1e-15)
    close(posterior["sigma2"].mean(), float(squares / (len(y) - 3)), 1e-12)


# ---- evidences ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(["evidence_radiata_pine_conjugate"]))
def test_radiata_pine(name):
    given, exact = data(name), case(name)["exact"]
    one, two = (float(gaussian.radiata_pine(given["y"], given[x]).log_evidence()) for x in "xz")
    close([one, two, two - one], [exact["logml_M1"], exact["logml_M2"], exact["log_BF21"]], 1e-11)


@pytest.mark.parametrize("name", known(["bf_gunel_dickey_racedolls"]))
def test_gunel_and_dickey(name):
    """Dependence against independence: a distribution for each column (or row) against one for all."""
    table, exact = np.asarray(data(name)["y"]), case(name)["exact"]

    def bayes_factor(table, concentration):
        each, common = (counts.contingency_columns(table, concentration, common=c) for c in (False, True))
        return np.exp(float(each.log_evidence()) - float(common.log_evidence()))

    own = [bayes_factor(table, 1), bayes_factor(table.T, 1), bayes_factor(table, 2)]
    close(own, [exact[n] for n in ("columns_fixed", "rows_fixed", "columns_fixed_a2")], 1e-9)


# ---- decisions ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(["ab_bernoulli_2arm", "ab_poisson_3arm"]))
def test_which_arm(name):
    given, exact = data(name), case(name)["exact"]
    if name == "ab_bernoulli_2arm":
        posterior, variable = counts.binomials(given["successes"], given["trials"], bk.Beta(0.5, 0.5)), "p"
    else:
        posterior, variable = counts.poissons(given["sums"], given["n"], bk.Gamma(0.1, 0.1)), "rate"
    tail = (1 - exact["level"]) / 2
    close(posterior[variable].quantile([tail, 1 - tail]), exact["credible_intervals"], 1e-7)
    decision = bk.decide(posterior, utility=lambda post: post[variable], draws=10_000, seed=1)
    for figure in ("prob_best", "expected_loss"):
        own, error = getattr(decision, figure), getattr(decision, f"{figure}_mcse")
        assert (np.abs(own - exact[figure]) <= 4 * error + 1e-8).all(), figure
    assert decision.best == int(np.argmax(exact["prob_best"]))


@pytest.mark.parametrize("name", known(["voi_bcea_vaccine"]))
def test_value_of_information_on_draws_of_others(name):
    given, exact = data("bcea_vaccine"), case(name)["exact"]
    effects, costs = np.asarray(given["effects"]), np.asarray(given["costs"])
    for price, figures in exact["by_k"].items():
        net = float(price) * effects - costs
        draws = {"status_quo": net[:, 0], "vaccination": net[:, 1]}
        decision = bk.decide(draws, utility=lambda post: {a: post[a] for a in ("status_quo", "vaccination")})
        status_quo, vaccination = decision.expected_utility.values
        close([vaccination - status_quo, decision.evpi], [figures["EIB"], figures["EVPI"]], 1e-6)
        close(decision.prob_best.values[1], figures["CEAC"], 1e-12)
