"""The list of problems, and their data: simulated once from fixed seeds and kept; every system reads the same."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

CACHE = Path(__file__).parent / ".cache"
CHAINS = 4
TUNE = 1000  # sweeps or warm-up a chain, for every system that has any


@dataclass(frozen=True)
class Problem:
    """A module of benchmarks/problems at one size.

    The module has `data(**sizes)`, `MONITORED` (the latents whose effective draws count), `bayeskit(data)`, and of the
    peers' statements those that it can be stated in: `JAGS`, `pymc(data)`, `numpyro(**data)`, `conjugate_models(data)`.
    """

    name: str
    module: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    measures: tuple[str, ...] = ("warm", "fresh")
    draws: int = 4000  # a chain, when warm
    limit: float = 150.0  # seconds a call
    extra: bool = False  # only run when it is named

    def statements(self) -> ModuleType:
        return import_module(f"benchmarks.problems.{self.module}")

    def data(self) -> dict[str, np.ndarray]:
        """Return the data, from plain files that every system reads at the speed of the disk's cache."""
        folder = CACHE / self.name
        if not folder.exists():
            unfinished = folder.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            for name, values in self.statements().data(**self.sizes).items():
                np.save(unfinished / f"{name}.npy", values)
            unfinished.rename(folder)
        return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


FRESH = ("fresh",)  # where the target speaks of a fresh process only
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("normal_unknown", "normal_unknown", {"n": 1_000}),
        Problem("beta_bernoulli", "beta_bernoulli", {"n": 1_000}),
        Problem("dirichlet_multinomial", "dirichlet_multinomial", {"n": 1_000}),
        Problem("ab_groups", "ab_groups", {"groups": 10_000}, draws=1000),  # 4,000 would be 1.3 GB of draws
        Problem("eight_schools", "eight_schools"),
        Problem("rats", "rats"),
        Problem("pumps", "pumps"),
        Problem("seeds", "seeds"),
        Problem("linreg-1e3", "linreg", {"n": 1_000}),
        Problem("varying_intercepts-1e4", "varying_intercepts", {"n": 10_000}),
        Problem("logistic-3020", "logistic", {"n": 3_020}),
        Problem("logit_re", "logit_re", {"n": 10_000}),
        Problem("gmm", "gmm", {"n": 1_000}),
        Problem("mvn_missing", "mvn_missing", {"n": 1_000}),
        Problem("linreg-1e5", "linreg", {"n": 100_000}, FRESH),
        Problem("linreg-1e6", "linreg", {"n": 1_000_000}, FRESH, limit=300),
        Problem("varying_intercepts-1e6", "varying_intercepts", {"n": 1_000_000}, FRESH, limit=300),
        Problem("normal_unknown-1e6", "normal_unknown", {"n": 1_000_000}, FRESH, extra=True),
        Problem("beta_bernoulli-1e6", "beta_bernoulli", {"n": 1_000_000}, FRESH, extra=True),
        Problem("logistic-1e5", "logistic", {"n": 100_000}, FRESH, extra=True),
    )
}
