"""The published figures, where they are at hand, and how draws and exact marginals are held against them."""

import json
from pathlib import Path

import numpy as np
from arviz_stats.base import array_stats

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
LIMIT = 4.0  # in Monte Carlo errors
LEVELS = {"q025": 0.025, "q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95, "q975": 0.975}


def case(name):
    return json.loads((REFERENCE / "cases" / f"{name}.json").read_text())


def data(name):
    return json.loads((REFERENCE / "data" / f"{name}.json").read_text())


def known(names, folder="cases"):
    """Of names of cases (or data sets) those whose file is there: without the folder nothing is collected."""
    return [name for name in names if (REFERENCE / folder / f"{name}.json").exists()]


def best_figures(found):
    """The most precise figures of a case by name, and the digits they are printed with."""
    figures = {
        name: (figure, 4 if "quantiles" in found["expected_kind"] else 8) for name, figure in found["expected"].items()
    }
    for block in ("independent_check", "exact"):
        figures |= {name: (figure, 8) for name, figure in found.get(block, {}).items()}
    return {name: entry for name, entry in figures.items() if isinstance(entry[0], dict)}


def half_unit(value, digits):
    """Half a unit of the last of `digits` significant digits."""
    return 0.0 if value == 0 else 0.5 * 10.0 ** (np.floor(np.log10(abs(value))) - digits + 1)


def entry(variable, place):
    """One entry of a labelled answer, as an array."""
    return variable.sel(place).values


def disagreements(draws, figure, digits, *, moments=True):
    """What of a figure draws (chain, draw) contradict, in words; an empty list where they agree."""
    draws = np.asarray(draws, dtype=float)
    found = []
    own = {m: float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method=m)) for m in ("mean", "sd")}
    share_of_reference = 1 / figure["ess"] if "ess" in figure else 0.0
    if moments:
        bound = LIMIT * np.hypot(own["mean"], figure.get("mcse", 0.0)) + half_unit(figure["mean"], digits)
        if not abs(draws.mean() - figure["mean"]) <= bound:
            found.append(f"mean {draws.mean():.6g}, published {figure['mean']:.6g}, allowed +-{bound:.2g}")
    if np.unique(draws).size <= 2:
        return found  # the mean of an indicator is its whole distribution
    if moments and "sd" in figure:
        # 1 / sqrt(2 ESS) for normal draws; the kurtosis of others counts
        bound = 0.05 * figure["sd"] + LIMIT * np.hypot(own["sd"], figure["sd"] * np.sqrt(share_of_reference / 2))
        if not abs(draws.std(ddof=1) - figure["sd"]) <= bound:
            found.append(f"sd {draws.std(ddof=1):.6g}, published {figure['sd']:.6g}, allowed +-{bound:.2g}")
    for name in LEVELS.keys() & figure.keys():
        found += level_disagreement(draws, name, figure[name], share_of_reference, half_unit(figure[name], digits))
    return found


def level_disagreement(draws, name, quantile, share_of_reference, half):
    """Whether the share of draws below a published quantile is its level, as far as both Monte Carlo errors tell."""
    level = LEVELS[name]
    low, high = ((draws <= q).astype(float) for q in (quantile - half, quantile + half))
    if low.mean() <= level <= high.mean():
        return []
    below = low if low.mean() > level else high
    if below.min() == below.max():
        return [f"{name}: all draws on one side of the published {quantile:.6g}"]
    own = float(array_stats.mcse(below, chain_axis=0, draw_axis=1, method="mean"))
    own *= np.sqrt(level * (1 - level) / (below.mean() * (1 - below.mean())))  # the error where the level is the truth
    bound = LIMIT * np.sqrt(own**2 + level * (1 - level) * share_of_reference)
    if abs(below.mean() - level) <= bound:
        return []
    return [f"{name}: {below.mean():.4f} of the draws lie below the published {quantile:.6g}, allowed +-{bound:.2g}"]
