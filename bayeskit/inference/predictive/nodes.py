"""Nodes: what a predictive distribution is a mixture over, and whether there are enough of them.

A core of one number is known at its quadrature nodes, a finite latent at its values. Given these the predictive has a
closed form; over them it is a mixture. The nodes were laid for the core's own density, which may be wide where the
predictive given the core is narrow: they are doubled until the mixture no longer changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.distributions.mixture import Mixture
from bayeskit.distributions.panels import Panels, gauss_points
from bayeskit.inference.predictive.cells import NoClosedForm

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray

_DOUBLINGS = 4
_LEVELS = np.array([0.005, 0.1, 0.5, 0.9, 0.995])
_LOOKED_AT = 40  # cells in which a mixture is compared with that over twice as many nodes
_SAME = 1e-7  # probabilities that are as close as this are equal
_MOST = 20_000_000  # numbers of one parameter of a mixture


@dataclass(frozen=True, eq=False)
class Nodes:
    """Values of some latents that the rest is conditioned on.

    Attributes
    ----------
    env : mapping
        What is known, the latents among it: ``(nodes or 1, *dims)``.
    names : frozenset of str
        The latents.
    weights : Panels, array or None
        ``(nodes, cells or 1)``, or panels of which these are the probabilities; None where there is nothing to mix.
    """

    env: Mapping[str, Array]
    names: frozenset[str] = frozenset()
    weights: Panels | Array | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        if self.weights is None:
            return 1
        return len(self.weights.nodes if isinstance(self.weights, Panels) else self.weights)


Build = Callable[[Nodes], "tuple[Distribution, bool]"]


def halved(panels: Panels) -> Panels:
    """Return the same densities on panels of half the width."""
    middle = 0.5 * (panels.edges[1:] + panels.edges[:-1])
    edges = np.empty((2 * len(middle) + 1, panels.cells))
    edges[::2], edges[1::2] = panels.edges, middle
    return Panels(edges, panels.log_density(gauss_points(edges), np.arange(panels.cells)))


def mixed(at: Callable[[Panels | None], Nodes], panels: Panels | None, build: Build) -> Distribution:
    """Return the mixture over nodes of what has a closed form given them.

    Parameters
    ----------
    at : callable
        From panels to the nodes on them; from None to those that are as they are.
    panels : Panels or None
        The panels of a core, where there is one.
    build : callable
        From nodes to the distribution given them, and whether it is mixed over them already.
    """
    result = _mixture(at(panels), build)
    if panels is None:
        return _collapsed(result)
    for _ in range(_DOUBLINGS):
        panels = halved(panels)
        finer = _mixture(at(panels), build)
        if _agree(result, finer):
            return _collapsed(result)
        result = finer
    raise NoClosedForm("given its core of one number it is too narrow to be summed over the nodes of the core")


def _mixture(nodes: Nodes, build: Build) -> Distribution:
    given, done = build(nodes)
    return given if done or nodes.weights is None else Mixture(given, nodes.weights)


def _agree(one: Distribution, two: Distribution) -> bool:
    """Whether two mixtures over more and fewer nodes are the same, in some cells."""
    cells = np.arange(int(np.size(one.canonical["cell"])))[:_LOOKED_AT] if "cell" in one.canonical else None
    if cells is None or one.event_ndim:
        return bool(np.allclose(one.mean(), two.mean(), rtol=1e-7, atol=1e-12, equal_nan=True))
    with np.errstate(all="ignore"):
        x = two._quantile(_LEVELS[:, None], cells)
        return bool(np.max(np.abs(one._cdf(x, cells) - two._cdf(x, cells)), initial=0.0) < _SAME)


def _collapsed(mixture: Distribution) -> Distribution:
    """Return a mixture of Bernoullis or of categories as one."""
    from bayeskit.distributions import Bernoulli, Categorical
    from bayeskit.distributions.mixture import NODE

    if not isinstance(mixture, Mixture) or mixture.base.family not in ("Bernoulli", "Categorical"):
        return mixture
    if mixture.base.family == "Bernoulli":
        mean = mixture.mean()
        return Bernoulli(mean if mean.dims else float(mean))
    base = mixture.base
    if "p" not in base.canonical:
        return mixture
    p = base.canonical["p"]
    weights = mixture._matrix
    if weights.shape[1] != 1 or NODE not in p.dims:
        return mixture
    axis = p.dims.index(NODE)
    return Categorical((p * weights[:, 0].reshape([-1 if i == axis else 1 for i in range(p.ndim)])).sum(NODE))


def check_size(nodes: int, cells: int) -> None:
    """Refuse mixtures that would fill the memory."""
    if nodes * cells > _MOST:
        raise NoClosedForm(f"{cells} cells at {nodes} nodes are too many to be held; give fewer rows at a time")
