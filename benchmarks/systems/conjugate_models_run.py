"""conjugate-models: the closed form, and independent draws of it."""

import numpy as np

from benchmarks.problem import CHAINS


def prepare(problem, data, draws):
    statements = problem.statements()

    def run(seed):
        return statements.conjugate_models(data, (CHAINS, draws), np.random.default_rng(seed))

    return run


def as_tree(result):
    from arviz_base import from_dict

    return from_dict({"posterior": result})


def as_arrays(result):
    return result
