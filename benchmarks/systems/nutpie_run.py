"""nutpie on the PyMC model: compiled by Numba at the first call, sampled by the same compiled function after."""

from benchmarks.problem import CHAINS, TUNE


def prepare(problem, data, draws):
    statements = problem.statements()
    kept = {}

    def run(seed):
        import nutpie

        if not kept:
            kept["compiled"] = nutpie.compile_pymc_model(statements.pymc(data), var_names=list(statements.MONITORED))
        return nutpie.sample(
            kept["compiled"], draws=draws, tune=TUNE, chains=CHAINS, seed=seed, save_warmup=False, progress_bar=False
        )

    return run


def as_tree(result):
    return result


def as_arrays(result):
    return {name: values.values for name, values in result["posterior"].data_vars.items()}
