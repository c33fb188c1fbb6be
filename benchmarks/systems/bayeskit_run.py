"""bayeskit: state the model, condition, sample. By the public interface only, and the plan's own choice of method."""

from benchmarks.problem import CHAINS


def prepare(problem, data, draws):
    statements = problem.statements()

    def run(seed):
        # Drawing is left to what the draws are wanted as, which is timed with it.
        return statements.bayeskit(data), {"draws": draws, "chains": CHAINS, "seed": seed, "progress": False}

    return run


def as_tree(result):
    posterior, options = result
    return posterior.sample(**options)


def as_arrays(result):
    posterior, options = result
    return posterior.sample_arrays(**options)
