"""Independent parts of a computation on several threads: the same numbers, however many threads there are.

NumPy's generators, its loops over large arrays and its matrix products release the interpreter's lock, so that threads
draw and add beside each other in one memory. What decides the result is settled before there are threads: how the work
is cut (by its size alone), and one stream of random numbers for every part.

Threads live as long as one call: none is left behind for a fork or the end of the interpreter to wait for. They take
about 0.1 ms to start, so a part should be worth several of these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import copy_context

import numpy as np

__all__ = ["each", "streams", "threads"]

# Parts that are worked on at once hold their memory at once, and what moves through memory gains little from more.
MOST_THREADS = 8


def threads() -> int:
    """Return how many threads a call may use: the cores that this process may run on, at most 8.

    ``OMP_NUM_THREADS`` lowers the number (that is how schedulers, and libraries that run processes beside each other,
    ask for one thread a process); limits of one library, such as ``OPENBLAS_NUM_THREADS``, do not.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is of nested levels, outermost first
    asked = int(limit) if limit.isdecimal() and int(limit) > 0 else MOST_THREADS
    return min(cores, asked, MOST_THREADS)


def each[Part, Result](task: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Call a task with every part, several at a time, and return the results in the order of the parts.

    Parameters
    ----------
    task : callable
        Reads what all parts share, and writes to no place but its own. It sees the caller's ``np.errstate``. Its matrix
        products should be small, or else BLAS starts threads of its own beneath these.
    parts : sequence
        One part is worked on without any further thread.

    Raises
    ------
    Exception
        What the task raises, as it is: of several the one of the earliest part. Parts that were not begun are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(6.0)
    >>> each(lambda part: float(x[part].sum()), [slice(0, 3), slice(3, 6)])
    [3.0, 12.0]
    """
    count = min(threads(), len(parts))
    if count <= 1:
        return [task(part) for part in parts]
    from concurrent.futures import ThreadPoolExecutor

    contexts = [copy_context() for _ in parts]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda context, part: context.run(task, part), contexts, parts))


def streams(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return independent generators, one for each part, that follow from the state of one, which is advanced.

    They are SFC64, which draws normal numbers a fifth faster than PCG64. Every one is seeded by its own spawn key.

    Examples
    --------
    >>> first, second = streams(np.random.default_rng(1), 2)
    >>> again, _ = streams(np.random.default_rng(1), 2)
    >>> bool(first.random() == again.random()), bool(first.random() == second.random())
    (True, False)
    """
    entropy = int.from_bytes(rng.bytes(16), "little")
    seeds = (np.random.SeedSequence(entropy, spawn_key=(i,)) for i in range(count))
    return [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
