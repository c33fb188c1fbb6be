"""One problem, stage by stage: condition, plan, sample, export; when warm, medians of a few repeats."""

from statistics import median

import numpy as np

from benchmarks.clock import process_peak, timed
from benchmarks.problem import CHAINS, PROBLEMS, TUNE

LONG = 5.0  # seconds


def known(statements, data):
    """Return a posterior that has its plan (`explain` makes it), and the seconds of both stages."""
    posterior, condition = timed(lambda: statements.bayeskit(data))
    _, plan = timed(posterior.explain)
    return posterior, {"condition": condition, "plan": plan}


def stages(statements, data, *, draws, tune=TUNE, chains=CHAINS, seed=1):
    """Return the draws, and the seconds of each stage."""
    posterior, seconds = known(statements, data)
    tree, sample = timed(lambda: posterior.sample(draws=draws, tune=tune, chains=chains, seed=seed, progress=False))
    return tree, seconds | {"sample": sample}


def repeated(statements, data, repeats, **options):
    """Return the last draws and the median seconds of each stage, after a first call that is not counted.

    Where the first call is so long that imports are nothing in it, it is the only one that draws.
    """
    tree, first = stages(statements, data, seed=0, **options)
    if sum(first.values()) > LONG:
        return tree, first | known(statements, data)[1]
    runs = []
    for seed in range(1, 1 + repeats):
        tree, seconds = stages(statements, data, seed=seed, **options)
        runs.append(seconds)
    return tree, {stage: median(run[stage] for run in runs) for stage in first}


def measure(task, emit):
    problem = PROBLEMS[task["problem"]]
    data = problem.data()
    rows = max(len(values) for values in data.values())
    emit(rows=rows, baseline=process_peak())
    tree, figures = repeated(problem.statements(), data, task["repeats"], draws=task["draws"])
    method = tree["posterior"].attrs.get("bayeskit_method", tree.attrs.get("bayeskit_method", "?"))
    emit(**figures, method=method, chains=CHAINS, tune=TUNE, memory=process_peak())
    monitored = {name: tree["posterior"][name].values for name in problem.statements().MONITORED}
    np.savez(task["out"], **monitored)
