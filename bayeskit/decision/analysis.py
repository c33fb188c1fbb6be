"""The choice between actions by expected utility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.decision.figures import PER_ACTION, PER_DECISION, figures
from bayeskit.decision.result import Decision
from bayeskit.decision.sources import draws_dataset
from bayeskit.decision.utilities import utility_array
from bayeskit.errors import DecisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    Utility = (
        Callable[[xr.Dataset], xr.DataArray | Mapping[Hashable, xr.DataArray | float]]
        | xr.DataArray
        | Mapping[Hashable, xr.DataArray | float]
    )


def decide(
    source: Any,
    *,
    utility: Utility | None = None,
    loss: Utility | None = None,
    action: str | None = None,
    draws: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> Decision:
    r"""Choose the action of greatest expected utility, with the figures that say how sure the choice is.

    Over draws s = 1..S of the posterior, with :math:`U_{sa}` the utility of action a,

    .. math::

        \text{expected utility}_a = \frac1S \sum_s U_{sa}, \qquad
        \text{expected loss}_a = \frac1S \sum_s \bigl(\max_b U_{sb} - U_{sa}\bigr),

        \text{prob best}_a = \frac1S \sum_s
            \frac{[U_{sa} = \max_b U_{sb}]}{\#\{b: U_{sb} = \max_c U_{sc}\}}, \qquad
        \text{EVPI} = \frac1S \sum_s \max_a U_{sa} - \max_a \frac1S \sum_s U_{sa}.

    The expected loss is the regret of not knowing which action is best, in the unit of the utility; that of the best
    action *is* the expected value of perfect information: what knowing the unknowns exactly would be worth.

    Parameters
    ----------
    source : DataTree, Dataset, mapping, data frame or posterior
        Draws by anybody: a DataTree with the group ``posterior``, a Dataset with the dims chain and draw (or
        ``draw``, or ``sample``, alone: one chain), a named DataArray, a dict of DataArrays or of arrays of shape
        (chain, draw, ...) or all of them (draw,), a data frame with a row per draw; or an object whose
        ``sample(draws=, seed=)`` returns a DataTree, such as an exact posterior.
    utility : callable, DataArray or mapping
        Called with the Dataset (chain, draw, ...), returns a DataArray (chain, draw, action), or a dict
        {action: DataArray or number} whose keys become the labels. Either may also be given ready made. The one dim
        beyond chain and draw is the action.
    loss : callable, DataArray or mapping
        Minus the utility; ``expected_loss`` is then still the regret. Exactly one of `utility` and `loss` is given.
    action : str, optional
        The action dim, where several remain beyond chain and draw; each combination of the others is then a decision
        of its own. With a dict, the name of the new dim ("action" by default).
    draws : int, optional
        Draws to ask of ``source.sample``, 1000 (per chain) by default. Refused where `source` holds its draws already.
    seed : int or Generator, optional
        Passed to ``source.sample``; without effect elsewhere, as nothing is drawn.

    Returns
    -------
    Decision
        Immutable. ``best``, ``resolved``, ``gap``, ``expected_utility``, ``expected_loss``, ``prob_best``, ``evpi``,
        each figure with its Monte Carlo standard error under the same name with ``_mcse``.

    Raises
    ------
    DecisionError
        Both or neither of `utility` and `loss`; a source without draws; a utility of the wrong type or dims, with
        NaN or infinite values, or that asks for a variable that the draws do not hold.

    Notes
    -----
    *Standard errors* are those of :func:`arviz_stats.mcse` (``method="mean"``), so autocorrelation counts. They are
    *paired*: that of the gap is the MCSE of the mean of :math:`U_{s,\text{best}} - U_{s,\text{next}}`. A figure that is
    the same number in every draw has the MCSE 0 (so ``prob_best`` 0 means "never seen best in these draws", not
    "impossible"); with fewer than 4 draws in a chain it is NaN.

    *Resolved* means that the best action is ahead of every other one by more than 2 paired MCSEs: more draws would
    hardly change the choice. It says nothing of whether more *data* would; that is what ``evpi`` is about.
    Actions with equal expected utility: the first is ``best``, and the choice is not resolved. A single action is
    best, resolved, with an infinite gap and an EVPI of 0.

    *Bias*: the largest of noisy means is on average too large, so the EVPI from draws is too small where actions are
    nearly tied: by 0.4 times the MCSE of the gap for two tied ones, by nothing to speak of once resolved.

    One decision is computed at a time, so memory beyond the utility itself does not grow with the extra dims.

    References
    ----------
    Raiffa, H. and Schlaifer, R. (1961). Applied Statistical Decision Theory. Harvard University. Ch. 4-5.
    Briggs, A., Claxton, K. and Sculpher, M. (2006). Decision Modelling for Health Economic Evaluation. Oxford
    University Press. Ch. 6.

    Examples
    --------
    Change the price? It costs 1 and brings an uncertain gain.

    >>> import numpy as np
    >>> from bayeskit.decision import decide
    >>> gain = np.random.default_rng(1).normal(1.5, 1.0, size=(4, 1000))
    >>> d = decide({"gain": gain}, utility=lambda post: {"change": post["gain"] - 1, "keep": 0})
    >>> d.best.item(), bool(d.resolved)
    ('change', True)
    >>> bool(abs(d.evpi - 0.1978) < 4 * d.evpi_mcse)  # the unit normal loss integral at 0.5
    True
    """
    if (utility is None) == (loss is None):
        got = "neither" if utility is None else "both"
        raise DecisionError(
            f"Exactly one of 'utility' and 'loss' must be given. Got {got}.\n"
            "Pass a function of the draws that returns one number per draw and action."
        )
    word, what = ("utility", utility) if loss is None else ("loss", loss)
    value, name = utility_array(draws_dataset(source, draws, seed), what, action, word)
    return _decision(value, name, word)


def _decision(value: xr.DataArray, action: str, word: str) -> Decision:
    """Decide cell by cell over the extra dims and put the labels back."""
    extra = [str(dim) for dim in value.dims if dim not in ("chain", "draw", action)]
    ordered = value.transpose("chain", "draw", *extra, action)
    per_action = ordered.isel(chain=0, draw=0, drop=True).drop_attrs(deep=False)
    per_decision = per_action.isel({action: 0}, drop=True)
    cells: list[dict[str, NDArray[np.generic]]] = []
    for index in np.ndindex(per_decision.shape):
        # One cell at a time: a copy of the whole array could be gigabytes, and lazy arrays load piece by piece.
        cell = ordered.variable[(slice(None), slice(None), *index)].to_numpy().astype(np.float64)
        _check_finite(cell, per_action, per_decision, index, word)
        cells.append(figures(0.0 - cell if word == "loss" else cell))

    def labelled(name: str) -> xr.DataArray:
        template = per_action if name.removesuffix("_mcse") in PER_ACTION else per_decision
        values = np.stack([cell[name] for cell in cells]).reshape(template.shape)
        if name == "best":
            values = per_action[action].to_numpy()[values]
        answer: xr.DataArray = template.copy(data=values).rename(name)
        if isinstance(answer.data, np.ndarray):
            answer.data.setflags(write=False)
        return answer

    names = [name + end for name in PER_ACTION + PER_DECISION for end in ("", "_mcse")]
    return Decision(
        action=action,
        chains=value.sizes["chain"],
        draws=value.sizes["draw"],
        **{name: labelled(name) for name in ["best", "resolved", *names]},
    )


def _check_finite(
    cell: NDArray[np.float64], per_action: xr.DataArray, per_decision: xr.DataArray, index: tuple[int, ...], word: str
) -> None:
    finite = np.isfinite(cell)
    if finite.all():
        return
    bad = np.flatnonzero(~finite.all(axis=(0, 1)))
    column = cell[:, :, bad[0]]
    kind, count = ("NaN", np.isnan(column).sum()) if np.isnan(column).any() else ("an infinite value", None)
    count = np.isinf(column).sum() if count is None else count
    label = per_action[per_action.dims[-1]].to_numpy()[bad[0]]
    where = ", ".join(
        f"{dim}={per_decision[dim].to_numpy()[i]!s}" for dim, i in zip(per_decision.dims, index, strict=True)
    )
    others = f" (and of {bad.size - 1} more)" if bad.size > 1 else ""
    raise DecisionError(
        f"The {word} of action {str(label)!r} must be a finite number in every draw. Got {kind} in {count} of "
        f"{column.size} draws{' at ' + where if where else ''}{others}.\n"
        f"Find the draws with xarray's isnull(), and give them the {word} they would really have."
    )
