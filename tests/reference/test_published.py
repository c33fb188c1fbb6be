"""Published models against published figures: nothing here is collected where the figures are not at hand.

The folder is shared between projects and lies beside the repository. Draws are judged in multiples of the Monte Carlo
errors of both sides, exact answers by the digits given.
"""

from typing import NamedTuple

import numpy as np
import pytest

from tests.reference import count_models, gaussian_models
from tests.reference.figures import LEVELS, best_figures, case, data, disagreements, entry, known


class Run(NamedTuple):
    """How a case is sampled, and the figures its own notes call too heavy-tailed for moments."""

    draws: int = 1000
    slow: bool = False
    quantiles_only: tuple[str, ...] = ()


SAMPLED = {
    "bugs_rats": Run(),
    "pdb_eight_schools": Run(),
    "bugs_dyes": Run(quantiles_only=("sigma2.btw",)),
    "bugs_line": Run(quantiles_only=("sigma",)),
    "bugs_stacks_normal": Run(2000),
    "pdb_kidscore_interaction": Run(),
    "pdb_kidscore_momhsiq": Run(),
    "pdb_sblri_blr": Run(),
    "pdb_arK": Run(),
    "pdb_low_dim_gauss_mix": Run(500),
    "bugs_pumps": Run(),
    "bugs_surgical_random": Run(),
    "bugs_seeds": Run(4000, slow=True),
    "bugs_blocker": Run(4000, slow=True),
    "bugs_beetles_logit": Run(),
    "bugs_endo": Run(),
    "bugs_dogs": Run(500),
    "bugs_hearts": Run(),
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
    tree = posterior.sample(draws=run.draws, seed=1)
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


# ---- the network of asia ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(["bugs_asia"]))
def test_a_network_of_yes_and_no(name):
    """Published are means of states 1 and 2."""
    exact = case(name)["exact"]
    posterior, places = count_models.bugs_asia(data(name))
    tree = posterior.sample(draws=4000, seed=1)
    figures = {n: ({"mean": exact[n] - 1}, 10) for n in places}
    assert contradictions(tree, places, figures, Run()) == {}
