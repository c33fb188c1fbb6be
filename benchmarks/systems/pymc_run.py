"""PyMC with its own NUTS. Not run unless asked for: in our field survey nutpie or NumPyro was always faster."""

from benchmarks.problem import CHAINS, TUNE


def prepare(problem, data, draws):
    statements = problem.statements()
    kept = {}

    def run(seed):
        import pymc as pm

        if not kept:
            kept["model"] = statements.pymc(data)
        with kept["model"]:
            return pm.sample(
                draws=draws,
                tune=TUNE,
                chains=CHAINS,
                random_seed=seed,
                nuts_sampler="pymc",
                progressbar=False,
                compute_convergence_checks=False,
            )

    return run


def as_tree(result):
    return result


def as_arrays(result):
    return {name: values.values for name, values in result["posterior"].data_vars.items()}
