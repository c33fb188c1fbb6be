"""How each system is run. Every module has `prepare(problem, data, draws)`, which returns a function of the seed.

A call of that function does what a user would: from the data to draws on the host, (chain, draw, ...). The first call
imports and compiles; the second is "warm". `as_tree(result)` makes the DataTree, `as_arrays(result)` the arrays.
"""

from importlib import import_module
from types import ModuleType

SYSTEMS = {  # name -> (module, options of its prepare)
    "bayeskit": ("bayeskit_run", {}),
    "pyjags": ("pyjags_run", {}),
    "pyjags-glm": ("pyjags_run", {"glm": True}),
    "nutpie": ("nutpie_run", {}),
    "numpyro": ("numpyro_run", {}),
    "numpyro-vectorized": ("numpyro_run", {"vectorized": True}),
    "numpyro-x64": ("numpyro_run", {"x64": True}),
    "pymc": ("pymc_run", {}),
    "conjugate-models": ("conjugate_models_run", {}),
}
GRADIENT = ("nutpie", "numpyro", "numpyro-vectorized", "numpyro-x64", "pymc")
NEEDS = {  # what a problem's module must state
    "bayeskit": "bayeskit",
    "pyjags": "JAGS",
    "pyjags-glm": "JAGS_GLM",
    "nutpie": "pymc",
    "pymc": "pymc",
    "numpyro": "numpyro",
    "numpyro-vectorized": "numpyro",
    "numpyro-x64": "numpyro",
    "conjugate-models": "conjugate_models",
}


def load(system: str) -> tuple[ModuleType, dict[str, object]]:
    module, options = SYSTEMS[system]
    return import_module(f"benchmarks.systems.{module}"), options
