"""The figures of one decision, from an array of utilities: arrays in, arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeskit.decision.mcse import mcse_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_ACTION = ("expected_utility", "expected_loss", "prob_best")
"""Figures with one number per action; each has its ``_mcse`` beside it."""

PER_DECISION = ("gap", "evpi")
"""Figures with one number per decision; each has its ``_mcse`` beside it."""

RESOLVED_AT = 2.0
"""How many paired MCSEs the best action must be ahead of every other one to be called resolved."""


def figures(utility: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    r"""Figures of one decision.

    With :math:`U_{sa}` the utility of action a in draw s, :math:`M_s = \max_a U_{sa}` and the regret
    :math:`R_{sa} = M_s - U_{sa}`, averages over draws give the expected utility :math:`\bar U_a`, the expected loss
    :math:`\bar R_a` and, with :math:`a^* = \arg\min_a \bar R_a = \arg\max_a \bar U_a`, the value of perfect information
    :math:`\overline{M} - \bar U_{a^*} = \bar R_{a^*}`.

    Everything is a mean of *paired* series (differences within a draw), so what the actions share cancels
    before it can cost precision.

    Parameters
    ----------
    utility : ndarray of shape (chain, draw, action)
        Finite numbers.

    Returns
    -------
    dict
        Arrays of shape (action,) for `PER_ACTION`, 0-d for `PER_DECISION`, ``best`` (a position) and ``resolved``.
    """
    regret = utility.max(axis=-1, keepdims=True) - utility
    is_best = regret == 0
    first = utility[:1, :1]  # taken off before summing: utilities of 1e9 that differ by 1 keep their digits
    series = {
        "expected_utility": utility,
        "expected_loss": regret,
        "prob_best": is_best / is_best.sum(axis=-1, keepdims=True),
    }
    answer: dict[str, NDArray[np.generic]] = {f"{name}_mcse": mcse_mean(x) for name, x in series.items()}
    answer["expected_utility"] = first[0, 0] + (utility - first).mean(axis=(0, 1))
    answer["expected_loss"] = regret.mean(axis=(0, 1))
    answer["prob_best"] = series["prob_best"].mean(axis=(0, 1))
    best = int(np.argmin(answer["expected_loss"]))
    answer["best"] = np.asarray(best)
    answer["evpi"] = np.asarray(answer["expected_loss"][best])
    answer["evpi_mcse"] = np.asarray(answer["expected_loss_mcse"][best])
    return answer | _lead(utility, regret, best, answer["expected_utility_mcse"])


def _lead(
    utility: NDArray[np.float64], regret: NDArray[np.float64], best: int, mcse: NDArray[np.generic]
) -> dict[str, NDArray[np.generic]]:
    """How far the best action is ahead of the runner-up, and whether it is ahead of all others beyond doubt."""
    behind = regret.mean(axis=(0, 1))
    behind -= behind[best]
    others = np.delete(np.arange(utility.shape[-1]), best)
    if others.size == 0:  # nothing competes
        return {"gap": np.asarray(np.inf), "gap_mcse": np.asarray(0.0), "resolved": np.asarray(True)}
    second = others[np.argmin(behind[others])]
    gap_mcse = mcse_mean(utility[..., [best]] - utility[..., [second]])[0]
    resolved = behind[second] > RESOLVED_AT * gap_mcse
    # A later action may be behind by more and yet be less sure to be. The sd of a difference is at most the sum of the
    # sds, so who is clear by that bound needs no series of its own.
    doubtful = others[~(behind[others] > RESOLVED_AT * (mcse[others] + mcse[best]))]
    if resolved and doubtful.size:
        resolved = np.all(behind[doubtful] > RESOLVED_AT * mcse_mean(utility[..., [best]] - utility[..., doubtful]))
    return {"gap": np.asarray(behind[second]), "gap_mcse": np.asarray(gap_mcse), "resolved": np.asarray(bool(resolved))}
