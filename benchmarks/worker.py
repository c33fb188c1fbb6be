"""What runs in a fresh process: one measure of one thing. Started by `children.py`, which reads its lines.

python -m benchmarks.worker '{"measure": "fresh", "system": "bayeskit", "problem": "rats", "draws": 1000, ...}'
"""

import json
import sys
import time
from importlib import import_module

import numpy as np

from benchmarks.clock import process_peak
from benchmarks.problem import PROBLEMS

MARK = "@@ "


def emit(**figures):
    """Send figures to the parent: a line as soon as there is something to say, since the time may run out."""
    print(MARK + json.dumps(figures), flush=True)


def prepare(task):
    """Return the module of the system, a function of the seed that draws, and the names that are monitored."""
    from benchmarks.systems import load

    problem = PROBLEMS[task["problem"]]
    data = problem.data()
    emit(baseline=process_peak())
    module, options = load(task["system"])
    return module, module.prepare(problem, data, task["draws"], **options), problem.statements().MONITORED


def keep(module, result, monitored, path):
    """Write the draws that are monitored, for the parent to judge."""
    arrays = module.as_arrays(result)
    np.savez(path, **{name: arrays[name] for name in monitored})


def fresh(task):
    """Interpreter start to draws in hand as arrays; the parent's clock started before this process did."""
    module, run, monitored = prepare(task)
    result = run(task["seed"])
    module.as_arrays(result)
    emit(ready=time.monotonic(), memory=process_peak())
    keep(module, result, monitored, task["out"])


def warm(task):
    """Again and again in one process, data to DataTree."""
    module, run, monitored = prepare(task)
    spent = 0.0
    for repeat in range(1 + task["repeats"]):
        started = time.perf_counter()
        result = run(task["seed"] + repeat)
        module.as_tree(result)
        seconds = time.perf_counter() - started
        emit(**{"seconds" if repeat else "first": seconds}, memory=process_peak())
        spent += seconds
        if repeat == 1:
            keep(module, result, monitored, task["out"])
        if repeat and spent > task["limit"]:
            break


def main():
    task = json.loads(sys.argv[1])
    if task["measure"] in ("fresh", "warm"):
        {"fresh": fresh, "warm": warm}[task["measure"]](task)
    else:  # bayeskit alone: benchmarks/alone/<measure>.py
        import_module(f"benchmarks.alone.{task['measure']}").measure(task, emit)
    emit(done=True)


if __name__ == "__main__":
    main()
