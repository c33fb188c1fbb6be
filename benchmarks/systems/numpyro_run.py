"""NumPyro's NUTS, one compiled function from the key to the draws, so that the second call compiles nothing.

(`MCMC.run` compiles again at every call.) Numbers have 32 bits, its default, or 64; chains run in parallel on the
host's cores, or vectorised.
"""

import os

import numpy as np

from benchmarks.problem import CHAINS, TUNE


def prepare(problem, data, draws, vectorized=False, x64=False):
    compiled = []

    def run(seed):
        if not compiled:
            compiled.append(compile_sampler(problem.statements(), data, draws, vectorized, x64))
        import jax

        key = jax.random.PRNGKey(seed)
        samples = compiled[0](key if vectorized else jax.random.split(key, CHAINS))
        return {name: np.asarray(values) for name, values in samples.items()}

    return run


def compile_sampler(statements, data, draws, vectorized, x64):
    os.environ["JAX_PLATFORMS"] = "cpu"
    import numpyro

    numpyro.set_host_device_count(CHAINS)
    if x64:
        numpyro.enable_x64()
    import jax
    from numpyro.infer import MCMC, NUTS, init_to_uniform, init_to_value

    options = {"num_chains": CHAINS, "chain_method": "vectorized"} if vectorized else {"num_chains": 1}
    init = getattr(statements, "INIT", None)
    kernel = NUTS(statements.numpyro, init_strategy=init_to_value(values=init) if init else init_to_uniform)
    mcmc = MCMC(kernel, num_warmup=TUNE, num_samples=draws, progress_bar=False, **options)
    given = {name: jax.numpy.asarray(values) for name, values in data.items()}

    def sample(key):
        mcmc.run(key, **given)
        samples = mcmc.get_samples(group_by_chain=vectorized)
        return {name: samples[name] for name in statements.MONITORED}

    return jax.jit(sample) if vectorized else jax.pmap(sample)


def as_tree(result):
    from arviz_base import from_dict

    return from_dict({"posterior": result})


def as_arrays(result):
    return result
