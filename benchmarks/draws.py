"""What the draws are worth: the worst bulk ESS over all scalars, and means and sds to see that systems agree."""

import numpy as np

MOST_SCALARS = 2000  # of a larger variable, so many elements evenly spaced
COMPARED = 40  # scalars a variable whose mean and sd are kept


def spaced(values: np.ndarray, most: int) -> np.ndarray:
    """Return (chain, draw, scalar), with at most so many scalars."""
    flat = values.reshape(*values.shape[:2], -1)
    places = np.unique(np.linspace(0, flat.shape[2] - 1, min(most, flat.shape[2])).astype(int))
    return flat[..., places].astype(float)


def worst_ess(arrays: dict[str, np.ndarray]) -> float:
    """Return the smallest bulk ESS, as ArviZ computes it; 0 where a chain is stuck or has no numbers."""
    from arviz_stats.base import array_stats

    worst = np.inf
    for values in arrays.values():
        ess = array_stats.ess(spaced(values, MOST_SCALARS), chain_axis=0, draw_axis=1, method="bulk")
        worst = min(worst, np.min(ess))
    return float(worst) if np.isfinite(worst) else 0.0


def moments(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """Return medians, sds and Monte Carlo errors of some scalars a variable (some variances here have heavy tails)."""
    kept = {}
    for name, values in sorted(arrays.items()):
        some = spaced(values, COMPARED)
        low, middle, high = np.quantile(some, [0.159, 0.5, 0.841], axis=(0, 1))
        kept[name] = {"median": middle.tolist(), "sd": ((high - low) / 2).tolist()}
    return kept


def disagreement(ours: dict, theirs: dict) -> float:
    """Return the largest difference of two medians, in posterior sds."""
    return max(
        float(np.max(np.abs(np.subtract(a["median"], theirs[name]["median"])) / np.maximum(a["sd"], 1e-300)))
        for name, a in ours.items()
    )
