"""Laplace's approximation of a posterior: what is exact stays exact, cores are normal about their modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeskit.inference.collapsed.component import CollapsedComponent
from bayeskit.inference.collapsed.laplace import laplace_core
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.exact import ExactComponent, exact_component
from bayeskit.inference.explain import explain
from bayeskit.inference.matrix_rows import by_rows
from bayeskit.inference.plan import Plan
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.structure import components, forward_latents, without
from bayeskit.inference.sweep import sample
from bayeskit.model.problem import Problem
from bayeskit.posterior.evidence import log_evidence
from bayeskit.posterior.tree import to_tree

if TYPE_CHECKING:
    import xarray as xr


class Laplace:
    """Laplace's approximation of a posterior: made by ``Posterior.laplace``.

    The core of every component (what is left when everything is integrated out that can be) is normal about its mode,
    on the unconstrained scale: logs of positive numbers, log odds of shares. The rest is exact given the core.

    Attributes
    ----------
    log_evidence : float
        The approximate log density of the data. Its error is not known; it falls with the number of rows.
    """

    log_evidence: float

    def __init__(self, problem: Problem) -> None:
        self._plan = _laplace_plan(problem)
        self.log_evidence = float(log_evidence(self._plan))

    def explain(self) -> str:
        """Return, for every variable, what is approximated and what is exact."""
        return explain(self._plan)

    def sample(self, draws: int = 1000, *, chains: int = 4, seed: Seed = None) -> xr.DataTree:
        """Draw independently from the approximation.

        Parameters
        ----------
        draws, chains : int
            Draws a chain, chains.
        seed : int, optional
            The same seed gives the same draws.

        Returns
        -------
        xarray.DataTree
            As ``Posterior.sample`` gives it.
        """
        rng, text = make_rng(seed)
        run = sample(self._plan, rng, draws=draws, tune=0, chains=chains)
        return to_tree(
            self._plan, run, rng, (), {"bayeskit_method": "laplace", "seed": text, "explain": self.explain()}
        )

    def __repr__(self) -> str:
        return self.explain()


def _laplace_plan(problem: Problem) -> Plan:
    forward = forward_latents(problem)
    informed = by_rows(without(problem, forward))
    exact: list[ExactComponent] = []
    approximated: list[CollapsedComponent] = []
    notes = dict.fromkeys(forward, "drawn forward: nothing observed depends on it")
    for names in components(informed, list(informed.latents)):
        found = exact_component(informed, names)
        if isinstance(found, Refusal):
            core = laplace_core(informed, names)
            approximated.append(core)
            notes |= core.notes
        else:
            exact.append(found)
            notes |= {n: f"exact; {found.reason}" for n in names}
    return Plan("laplace", problem, problem, exact, [], forward, notes, {}, approximated)
