"""Published models against published figures: nothing here is collected where the figures are not at hand.

The folder is shared between projects and lies beside the repository. Draws are judged in multiples of the Monte Carlo
errors of both sides, exact answers by the digits given.
"""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import betaln, expit

from tests.reference import count_models, gaussian_models
from tests.reference.figures import LEVELS, best_figures, case, data, disagreements, entry, known, level_disagreement


class Run(NamedTuple):
    """How a case is sampled, and the figures its own notes call too heavy-tailed for moments."""

    draws: int = 1000
    tune: int = 500
    slow: bool = False
    quantiles_only: tuple[str, ...] = ()


SAMPLED = {
    "bugs_rats": Run(),
    "pdb_eight_schools": Run(500, tune=200),
    "bugs_dyes": Run(tune=200, quantiles_only=("sigma2.btw",)),
    "bugs_line": Run(500, tune=200, quantiles_only=("sigma",)),
    "bugs_stacks_normal": Run(2000),
    "pdb_kidscore_interaction": Run(),
    "pdb_kidscore_momhsiq": Run(),
    "pdb_sblri_blr": Run(),
    "pdb_arK": Run(),
    "pdb_low_dim_gauss_mix": Run(400, tune=300),
    "bugs_pumps": Run(),
    "bugs_surgical_random": Run(),
    "bugs_seeds": Run(1000, tune=300),
    "bugs_blocker": Run(4000, slow=True),
    "bugs_beetles_logit": Run(500, tune=300),
    "bugs_endo": Run(500, tune=200),
    "bugs_dogs": Run(400, tune=300),
    "bugs_hearts": Run(500, tune=300),
}
# relative to the larger of the figure and its sd: what the case's hint says of its own digits
EXACT = {"bugs_surgical_fixed": 1e-6, "pdb_mesquite": 1e-5, "pdb_logearn_interaction": 1e-5, "pdb_earn_height": 1e-5}


def model(name):
    return getattr(gaussian_models, name, None) or getattr(count_models, name)


def sampled_cases():
    return [pytest.param(n, marks=[pytest.mark.slow] if SAMPLED[n].slow else []) for n in known(SAMPLED)]


def contradictions(tree, places, figures, run):
    found = {}
    for name, (figure, digits) in figures.items():
        if name in places:
            variable, place = places[name]
            draws = entry(tree["posterior"][variable], place)
            found[name] = disagreements(draws, figure, digits, moments=name not in run.quantiles_only)
    assert found, "no published figure is an entry of the model"
    return {name: text for name, text in found.items() if text}


@pytest.mark.parametrize("name", sampled_cases())
def test_draws_agree(name):
    found, run = case(name), SAMPLED[name]
    posterior, places = model(name)(data(found["data_file"].removesuffix(".json")))
    tree = posterior.sample(draws=run.draws, tune=run.tune, seed=1)
    assert contradictions(tree, places, best_figures(found), run) == {}


@pytest.mark.parametrize("name", known(["bugs_rats"]))
def test_rows_of_a_table_give_what_the_rectangle_gives(name):
    found = case(name)
    posterior, places = gaussian_models.bugs_rats_rows(data(name))
    assert contradictions(posterior.sample(seed=2), places, best_figures(found), Run()) == {}


@pytest.mark.parametrize("name", known(EXACT))
def test_exact_marginals_agree(name):
    found = case(name)
    posterior, places = model(name)(data(found["data_file"].removesuffix(".json")))
    assert posterior.is_exact
    for published, figure in found["exact"].items():
        variable, place = places[published]
        marginal = posterior[variable]
        own = {"mean": marginal.mean(), "sd": marginal.sd()}
        own |= {q: marginal.quantile(level) for q, level in LEVELS.items()}
        for key, value in figure.items():
            size = max(abs(value), figure["sd"])
            assert abs(float(entry(own[key], place)) - value) <= EXACT[name] * size, (published, key)


# ---- figures that are not in a case -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(["bugs_asia"]))
def test_a_network_of_yes_and_no(name):
    """Published are means of states 1 and 2."""
    exact = case(name)["exact"]
    posterior, places = count_models.bugs_asia(data(name))
    tree = posterior.sample(draws=2000, tune=200, seed=1)
    figures = {n: ({"mean": exact[n] - 1}, 10) for n in places}
    assert contradictions(tree, places, figures, Run()) == {}


@pytest.mark.parametrize("name", known(["bda_eight_schools_flat_tau"], "data"))
def test_eight_schools_under_a_flat_prior(name):
    """Gelman et al. (2013), table 5.3: quantiles of 200 draws, rounded to whole points."""
    published = {
        "q025": [-2, -5, -11, -7, -9, -7, -1, -6],
        "q25": [7, 3, 2, 4, 1, 2, 7, 3],
        "q50": [10, 8, 7, 8, 5, 6, 10, 8],
        "q75": [16, 12, 11, 11, 10, 10, 15, 13],
        "q975": [31, 23, 19, 21, 18, 28, 26, 33],
    }
    posterior, places = gaussian_models.bda_eight_schools_flat_tau(data(name))
    tree = posterior.sample(seed=1)
    for level, quantiles in published.items():
        for quantile, (variable, place) in zip(quantiles, places.values(), strict=True):
            draws = entry(tree["posterior"][variable], place)
            assert level_disagreement(draws, level, quantile, 1 / 200, 0.5) == []


@pytest.mark.parametrize("name", known(["hoff_reading_mvn"], "data"))
def test_reading_scores(name):
    """Hoff (2009), sec. 7.4: quantiles of the gain from 5,000 sweeps, and the probability that there is one."""
    posterior, _ = gaussian_models.hoff_reading_mvn(data(name))
    gain = posterior.sample(draws=2000, seed=1)["posterior"]["gain"].values
    for level, quantile in {"q025": 1.513573, "q50": 6.668097, "q975": 11.794824}.items():
        assert level_disagreement(gain, level, quantile, 1 / 5000, 0.5e-6) == []
    assert disagreements((gain > 0), {"mean": 0.9942, "mcse": (0.9942 * 0.0058 / 5000) ** 0.5}, 4) == []


@pytest.mark.parametrize("name", known(["bda_bioassay"], "data"))
def test_bioassay(name):
    """Gelman et al. (2013), sec. 3.7: a flat prior on two coefficients; moments by summing over a grid."""
    given = data(name)
    x, n, y = (np.asarray(given[c], dtype=float)[:, None, None] for c in "xny")
    alpha, beta = np.linspace(-5, 12, 681)[:, None], np.linspace(-5, 60, 1301)
    eta = alpha + beta * x
    log_density = (y * eta - n * np.logaddexp(0, eta)).sum(axis=0)
    figures = {n: (moments(v, log_density), 8) for n, v in (("alpha", alpha), ("beta", beta))}
    posterior, places = count_models.bda_bioassay(given)
    assert contradictions(posterior.sample(seed=1), places, figures, Run()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", known(["bda_rat_tumors"], "data"))
def test_rat_tumors(name):
    """Gelman et al. (2013), sec. 5.3: means 2.4 and 14.3 over a grid of log(alpha / beta) and log(alpha + beta)."""
    given = data(name)
    ratio, size = np.linspace(-2.6, -1.0, 321)[:, None], np.linspace(0.5, 8.0, 751)
    alpha, beta = expit(ratio) * np.exp(size), expit(-ratio) * np.exp(size)
    log_density = -2.5 * size + np.log(alpha) + np.log(beta)
    for deaths, animals in zip(given["y"], given["n"], strict=True):
        log_density += betaln(alpha + deaths, beta + animals - deaths) - betaln(alpha, beta)
    figures = {n: (on_grid(v, log_density), 8) for n, v in (("alpha", alpha), ("beta", beta))}
    assert [round(figures[n][0]["mean"], 1) for n in ("alpha", "beta")] == [2.4, 14.3]
    posterior, places = count_models.bda_rat_tumors(given)
    tree = posterior.sample(draws=10_000, seed=1)
    assert contradictions(tree, places, figures, Run(quantiles_only=("alpha", "beta"))) == {}
    assert set(figures["alpha"][0]) >= {"q025", "q50", "q975"}, "there is nothing to hold the draws against"


def on_grid(values, log_density):
    """Moments and quantiles of `values` on a grid of log densities."""
    values, weight = np.broadcast_to(values, log_density.shape), np.exp(log_density - log_density.max())
    order = np.argsort(values, axis=None)
    cumulative = np.cumsum(weight.ravel()[order])
    levels = {n: np.searchsorted(cumulative, level * cumulative[-1]) for n, level in LEVELS.items()}
    quantiles = {n: float(values.ravel()[order][place]) for n, place in levels.items()}
    return moments(values, log_density) | quantiles


def moments(values, log_density):
    """Mean and sd of `values` on a grid of log densities."""
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = (weight * values).sum()
    return {"mean": float(mean), "sd": float(np.sqrt((weight * (values - mean) ** 2).sum()))}
