"""Seconds and memory."""

import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its seconds."""
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def warm_seconds(function: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of some calls, after one that is not counted."""
    return median([timed(function)[1] for _ in range(1 + repeats)][1:])


def process_peak() -> float:
    """Return the most memory that this process has held so far, in MB: libraries, data, everything."""
    try:  # on Linux ru_maxrss starts from what the parent held
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def traced_peak(function: Callable[[], Any]) -> float:
    """Return the most memory that a call holds above what was held before, in MB. Slow: never inside a timed part."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
