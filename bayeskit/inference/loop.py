"""The loop over sweeps: tuning, records of the retained draws, progress, and what an interrupt leaves behind."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bayeskit.errors import ParameterError, SamplingWarning

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Advance", "Trace", "run"]

# A bar is worth its flicker where the whole run lasts longer than this, in seconds.
WORTH_A_BAR = 1.5
# The first sweeps pay for caches and imports; they are not timed, and none before this many decides.
TRUSTED_SWEEPS = 8


class Advance[S](Protocol):
    """One sweep: `(state, tuning) -> (state, record)`; each entry of the record has the chains in front."""

    def __call__(self, state: S, tuning: bool, /) -> tuple[S, Mapping[str, npt.ArrayLike]]:
        """Sweep once."""


@dataclass(frozen=True)
class Trace[S]:
    """What a run leaves.

    Attributes
    ----------
    values
        The recorded arrays, each (chain, draw, ...).
    draws
        Number of retained draws; fewer than asked for where the run was interrupted.
    interrupted
        Whether it was.
    seconds
        Duration, tuning included.
    state
        State after the last complete sweep.
    """

    values: dict[str, npt.NDArray[Any]]
    draws: int
    interrupted: bool
    seconds: float
    state: S


def run[S](
    advance: Advance[S],
    state: S,
    *,
    tune: int,
    draws: int,
    progress: bool | None = None,
    label: str = "sampling",
) -> Trace[S]:
    """Sweep `tune` times for nothing and `draws` times for the record.

    Parameters
    ----------
    advance
        The sweep, `(state, tuning) -> (state, record)`. Records of the tuning sweeps are dropped; those of the others
        must have the same names, shapes and dtypes in every sweep.
    state
        Where to begin.
    tune, draws
        Number of sweeps.
    progress
        True and False show or hide a progress bar. None shows one where the run is expected to last longer than
        1.5 seconds and stderr is a terminal.
    label
        Name of the bar.

    Returns
    -------
    Trace

    Raises
    ------
    KeyboardInterrupt
        If interrupted before the first retained draw. After it the draws so far come back, with a SamplingWarning.

    Examples
    --------
    >>> import numpy as np
    >>> def advance(count, tuning):
    ...     return count + 1, {"count": np.full(2, count)}
    >>> run(advance, 0, tune=10, draws=3).values["count"]
    array([[10, 11, 12],
           [10, 11, 12]])
    """
    for name, number in (("tune", tune), ("draws", draws)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise ParameterError(
                f"{name!r} must be a nonnegative integer. Got {number!r}.\nPass {name}=1000, the default, if in doubt."
            )
    bar = _Progress(tune + draws, progress, label)
    values: dict[str, npt.NDArray[Any]] = {}
    kept = 0
    interrupted = False
    started = time.perf_counter()
    try:
        for _ in range(tune):
            state, _unused = advance(state, True)
            bar.step()
        for _ in range(draws):
            new_state, record = advance(state, False)
            if not kept:
                values = _allocate(record, draws)
            for name, value in record.items():
                values[name][:, kept] = value
            state = new_state
            kept += 1
            bar.step()
    except KeyboardInterrupt:
        if not kept:
            raise
        interrupted = True
    finally:
        bar.close()
    if interrupted:
        values = {name: array[:, :kept].copy() for name, array in values.items()}
        warnings.warn(
            f"The run was interrupted after {kept} of {draws} draws; the draws so far are returned.\n"
            "Check the effective sample sizes before using them.",
            SamplingWarning,
            stacklevel=2,
        )
    return Trace(values, kept, interrupted, time.perf_counter() - started, state)


def _allocate(record: Mapping[str, npt.ArrayLike], draws: int) -> dict[str, npt.NDArray[Any]]:
    """Arrays (chain, draw, ...) in the shapes and dtypes of the first record."""
    firsts = {name: np.asarray(value) for name, value in record.items()}
    return {name: np.empty((len(first), draws, *first.shape[1:]), first.dtype) for name, first in firsts.items()}


class _Progress:
    """A tqdm bar that appears once it is known to be worth it, and costs one comparison while it is not."""

    def __init__(self, total: int, wanted: bool | None, label: str) -> None:
        self.total, self.label = total, label
        self.done = 0
        self.bar: tqdm[Any] | None = None
        self.undecided = wanted is None and sys.stderr is not None and sys.stderr.isatty()
        self.timed_from = 0.0
        if wanted:
            self._open()

    def step(self) -> None:
        """Count one sweep."""
        self.done += 1
        if self.bar is not None:
            self.bar.update(1)
        elif self.undecided:
            self._decide()

    def close(self) -> None:
        """Take the bar off the terminal's hands, if there is one."""
        if self.bar is not None:
            self.bar.close()

    def _decide(self) -> None:
        """Extrapolate from the sweeps after the first; the clock is read after 1, 2, 4, 8, ... sweeps only."""
        if self.done & (self.done - 1):
            return
        now = time.perf_counter()
        if self.done == 1:
            self.timed_from = now
            return
        elapsed = now - self.timed_from
        if self.done < TRUSTED_SWEEPS and elapsed < WORTH_A_BAR / 3:
            return
        if elapsed / (self.done - 1) * self.total > WORTH_A_BAR:
            self.undecided = False
            self._open()

    def _open(self) -> None:
        """Import tqdm only now: most runs end before a bar would be drawn."""
        from tqdm import tqdm

        self.bar = tqdm(total=self.total, initial=self.done, desc=self.label, unit="sweep", leave=False)
