"""JAGS through pyjags, with and without the block samplers of its module glm.

One thread: with two, pyjags 2.4 gave wrong means on some of these problems.
"""

import numpy as np

from benchmarks.problem import CHAINS, TUNE


def prepare(problem, data, draws, glm=False):
    statements = problem.statements()
    given = getattr(statements, "jags_data", dict)(data)
    init = statements.jags_init(data) if hasattr(statements, "jags_init") else None
    finish = getattr(statements, "jags_draws", dict)
    monitored = list(getattr(statements, "JAGS_MONITORED", statements.MONITORED))

    def run(seed):
        import pyjags

        if glm:  # the module loaded last comes first, and the first model loads the others
            pyjags.Model(code="model { a ~ dnorm(0, 1) }", chains=1, adapt=0, progress_bar=False)
            pyjags.load_module("glm")
        model = pyjags.Model(
            code=statements.JAGS,
            data=given,
            init=init,
            chains=CHAINS,
            adapt=TUNE,
            threads=1,
            seed=seed,
            progress_bar=False,
        )
        samples = model.sample(draws, vars=monitored)
        # pyjags: (*dims, draw, chain), with a dim of one for a number
        arrays = {name: np.moveaxis(values, (-1, -2), (0, 1)) for name, values in samples.items()}
        return finish({name: a[..., 0] if a.shape[2:] == (1,) else a for name, a in arrays.items()})

    return run


def as_tree(result):
    from arviz_base import from_dict

    return from_dict({"posterior": result})


def as_arrays(result):
    return result
