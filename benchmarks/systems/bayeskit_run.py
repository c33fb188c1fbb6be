"""bayeskit: state the model, condition, sample. By the public interface only, and the plan's own choice of method."""

from benchmarks.problem import CHAINS


def prepare(problem, data, draws):
    statements = problem.statements()

    def run(seed):
        return statements.bayeskit(data).sample(draws=draws, chains=CHAINS, seed=seed, progress=False)

    return run


def as_tree(result):
    return result


def as_arrays(result):
    return {name: values.values for name, values in result["posterior"].data_vars.items()}
