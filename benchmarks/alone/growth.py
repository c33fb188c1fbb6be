"""How each stage grows with rows, groups and chains: one dial of one problem turned, the rest as it was."""

from functools import partial

from benchmarks.alone.stages import repeated, stages
from benchmarks.clock import traced_peak
from benchmarks.problem import CHAINS, PROBLEMS

DIALS = {  # dial -> problem, what is turned, and the other sizes
    "rows of normal_unknown": ("normal_unknown", "n", (1_000, 100_000, 10_000_000), {}),
    "rows of beta_bernoulli": ("beta_bernoulli", "n", (1_000, 100_000, 10_000_000), {}),
    "rows of linreg": ("linreg-1e3", "n", (1_000, 10_000, 100_000, 1_000_000), {}),
    "rows of varying_intercepts": ("varying_intercepts-1e4", "n", (10_000, 100_000, 1_000_000), {}),
    "rows of logistic": ("logistic-3020", "n", (1_000, 10_000), {}),
    "groups of ab_groups": ("ab_groups", "groups", (100, 10_000, 100_000), {}),
    "groups of varying_intercepts": ("varying_intercepts-1e4", "groups", (10, 100, 1_000, 10_000), {"n": 100_000}),
    "chains of eight_schools": ("eight_schools", "chains", (1, 4, 16, 64), {}),
    "chains of rats": ("rats", "chains", (1, 4, 16, 64), {}),
}
DRAWS, TUNE = 200, 200  # a chain: enough to see growth, and no more


def measure(task, emit):
    problem, dial, values, rest = DIALS[task["dial"]]
    statements = PROBLEMS[problem].statements()
    for value in values:
        options = {"draws": DRAWS, "tune": TUNE, "chains": value if dial == "chains" else CHAINS}
        data = statements.data(**(rest if dial == "chains" else rest | {dial: value}))
        _, figures = repeated(statements, data, task["repeats"], **options)
        memory = traced_peak(partial(stages, statements, data, **options))
        emit(point=figures | {"value": value, "memory": memory})
