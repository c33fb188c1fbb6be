"""The answer of a decision analysis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ROWS_SHOWN = 20


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Decision:
    """The best action, and how sure that is. Made by :func:`bayeskit.decide`; immutable.

    Every attribute is a DataArray with the dims of the utility other than chain and draw; those marked (action) have
    the action dim too. Where the utility has no extra dims the others are 0-d: ``decision.best.item()``,
    ``float(decision.evpi)``.

    Attributes
    ----------
    best : DataArray
        Label of the action of greatest expected utility (its position where the action dim has no labels).
    resolved : DataArray of bool
        Whether the best action is ahead of every other by more than 2 paired MCSEs.
    gap, gap_mcse : DataArray
        Expected utility of the best action minus that of the runner-up. Infinite for a single action.
    expected_utility, expected_utility_mcse : DataArray (action)
        Mean utility; minus the mean loss where a loss was given.
    expected_loss, expected_loss_mcse : DataArray (action)
        Expected regret: what the best action of each draw has over this one, on average. Never negative.
    prob_best, prob_best_mcse : DataArray (action)
        Share of draws in which the action is the best one; ties are shared equally.
    evpi, evpi_mcse : DataArray
        Expected value of perfect information. Never negative.
    action : str
        Name of the action dim.
    chains, draws : int
        Number of chains, and of draws in each.

    Examples
    --------
    >>> import numpy as np
    >>> from bayeskit.decision import decide
    >>> p = np.random.default_rng(0).beta([[53, 71]], [[949, 940]], size=(4, 500, 2))
    >>> d = decide({"p": p}, utility=lambda post: {"A": post.p[..., 0], "B": post.p[..., 1]})
    >>> print(d.best.item(), d.expected_loss.sel(action="B").item() == d.evpi.item())
    B True
    >>> list(d.summary().index)
    ['A', 'B']
    """

    best: xr.DataArray
    resolved: xr.DataArray
    gap: xr.DataArray
    gap_mcse: xr.DataArray
    expected_utility: xr.DataArray
    expected_utility_mcse: xr.DataArray
    expected_loss: xr.DataArray
    expected_loss_mcse: xr.DataArray
    prob_best: xr.DataArray
    prob_best_mcse: xr.DataArray
    evpi: xr.DataArray
    evpi_mcse: xr.DataArray
    action: str
    chains: int
    draws: int

    def to_dataset(self) -> xr.Dataset:
        """All figures as one Dataset.

        Returns
        -------
        Dataset
            A variable per attribute; ``action``, ``chains`` and ``draws`` in the attributes.
        """
        import xarray as xr

        names = [field.name for field in fields(self) if field.name not in ("action", "chains", "draws")]
        attributes = {"action": self.action, "chains": self.chains, "draws": self.draws}
        return xr.Dataset({name: getattr(self, name).copy() for name in names}, attrs=attributes)

    def summary(self) -> pd.DataFrame:
        """The figures of the actions as a table.

        Returns
        -------
        pandas.DataFrame
            One row per action (per cell of the extra dims and action, where there are any), with ``best`` (bool) and
            the columns ``expected_utility``, ``expected_loss``, ``prob_best``, each followed by its ``_mcse``.
        """
        from bayeskit.decision.figures import PER_ACTION

        columns = [name + end for name in PER_ACTION for end in ("", "_mcse")]
        dataset = self.to_dataset()
        table = dataset[columns].reset_coords(drop=True).to_dataframe(dim_order=list(self.expected_utility.dims))
        is_best = (self.expected_utility[self.action] == self.best).transpose(*self.expected_utility.dims)
        table.insert(0, "best", is_best.to_numpy().ravel())
        return table

    def __str__(self) -> str:
        """One line on the choice, then a small table."""
        size, total = self.expected_utility.sizes[self.action], self.chains * self.draws
        plural = "s" if size > 1 else ""
        head = f"Decision between {size} action{plural}, from {total} draws ({self.chains} x {self.draws})"
        return "\n".join([head, *(self._lines_of_one() if self.best.ndim == 0 else self._lines_of_many())])

    __repr__ = __str__

    def _lines_of_one(self) -> list[str]:
        from bayeskit.decision.figures import PER_ACTION

        labels = self.expected_utility[self.action].to_numpy()
        rows = [[self.action, *PER_ACTION]]
        for i, label in enumerate(labels[:ROWS_SHOWN]):
            pairs = [(getattr(self, name)[i], getattr(self, f"{name}_mcse")[i]) for name in PER_ACTION]
            rows.append([str(label), *(_with_error(value.item(), mcse.item()) for value, mcse in pairs)])
        clear = "resolved" if self.resolved else "not resolved by these draws"
        lead = (
            "the only action" if labels.size == 1 else f"ahead by {_with_error(self.gap.item(), self.gap_mcse.item())}"
        )
        return [
            f"best: {self.best.item()!s}, {lead} ({clear})",
            f"value of perfect information: {_with_error(self.evpi.item(), self.evpi_mcse.item())}",
            *_table(rows, labels.size),
        ]

    def _lines_of_many(self) -> list[str]:
        dims = [str(dim) for dim in self.best.dims]
        rows = [[*dims, "best", "resolved", "gap", "evpi"]]
        for index in list(np.ndindex(self.best.shape))[:ROWS_SHOWN]:
            labels = [str(self.best[dim].to_numpy()[i]) for dim, i in zip(dims, index, strict=True)]
            figures = [
                _with_error(getattr(self, name)[index].item(), getattr(self, f"{name}_mcse")[index].item())
                for name in ("gap", "evpi")
            ]
            rows.append([*labels, str(self.best[index].item()), "yes" if self.resolved[index] else "no", *figures])
        return _table(rows, self.best.size)


def _with_error(value: float, mcse: float) -> str:
    """A figure and its MCSE, to two digits of the latter."""
    if not (np.isfinite(mcse) and mcse > 0):
        return f"{value:.6g}"
    decimals = 1 - int(np.floor(np.log10(mcse)))
    if decimals > 12:
        return f"{value:.6g} ({mcse:.2g})"
    return f"{value:.{max(decimals, 0)}f} ({mcse:.{max(decimals, 0)}f})"


def _table(rows: list[list[str]], size: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if (hidden := size - len(rows) + 1) > 0:
        lines.append(f"... and {hidden} more")
    return [*lines, "(in brackets: the Monte Carlo standard error)"]
