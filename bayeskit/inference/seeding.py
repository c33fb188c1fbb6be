"""One seed, one run: whatever the user gives as a seed becomes a Generator and a text that reproduces it."""

from __future__ import annotations

import operator
import secrets

import numpy as np

from bayeskit.errors import ParameterError

__all__ = ["Seed", "make_rng"]

type Seed = int | np.random.SeedSequence | np.random.Generator | None


def make_rng(seed: Seed = None) -> tuple[np.random.Generator, str]:
    """Build the Generator of a run and the seed as a string.

    Parameters
    ----------
    seed
        A nonnegative integer; None for fresh entropy from the operating system; a SeedSequence; or a Generator,
        which is advanced, so that two runs from one Generator differ.

    Returns
    -------
    rng
        The Generator of the run.
    text
        The digits of an integer: `make_rng(int(text))` gives the same Generator, whatever `seed` was.

    Raises
    ------
    ParameterError
        If `seed` is none of these.

    Examples
    --------
    >>> rng, text = make_rng(2026)
    >>> text
    '2026'
    >>> rng, text = make_rng()
    >>> again, _ = make_rng(int(text))
    >>> bool(rng.random() == again.random())
    True
    """
    if isinstance(seed, np.random.Generator):
        entropy = int.from_bytes(seed.bytes(16), "little")
    elif isinstance(seed, np.random.SeedSequence):
        # Its whole identity (entropy, spawn key, pool size) goes into the 128 bits; the sequence itself is unchanged.
        entropy = int.from_bytes(seed.generate_state(4, np.uint32).tobytes(), "little")
    elif seed is None:
        entropy = secrets.randbits(128)
    else:
        entropy = _as_integer(seed)
    return np.random.default_rng(np.random.SeedSequence(entropy)), str(entropy)


def _as_integer(seed: object) -> int:
    """Nonnegative integer, or a sentence."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)  # type: ignore[arg-type]
        if number < 0:
            raise TypeError
    except TypeError:
        raise ParameterError(
            f"'seed' must be a nonnegative integer, None, a SeedSequence or a Generator. Got {seed!r}.\n"
            "Pass an integer such as seed=1 to get the same draws again."
        ) from None
    return number
