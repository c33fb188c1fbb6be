"""Tools that prove a sampler right: the density identity, moments in Monte Carlo errors, Geweke's test, calibration.

None of them has a tolerance to choose. The density identity is exact; the others speak in Monte Carlo standard errors
(MCSE) or p-values, with the seed given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import ConjugateUpdate, match
from bayeskit.model.problem import Problem

__all__ = ["Calibration", "assert_moments", "density_identity", "geweke", "prior_state", "sbc"]

Array = np.ndarray
State = Mapping[str, Array]


# ---- the density identity -------------------------------------------------------------------------------------------
def density_identity(
    source: Any,
    name: str | Sequence[str],
    state: State | None = None,
    *,
    chains: int = 4,
    seed: int = 0,
    rtol: float = 1e-10,
) -> float:
    r"""Check that a conditional is the joint density, up to what does not depend on the latent.

    For draws a and b of a latent from its conditional, given the rest r, in several chains at once,

    .. math:: \log p(a, r) - \log p(b, r) = \log q(a \mid r) - \log q(b \mid r), \qquad
              \log p(a, r) - \log q(a \mid r) = \log Z(r)

    with Z the evidence that the conjugate update (or the Gaussian block) claims. Both sides are evaluated by code that
    shares nothing: the left by the distributions, the right by rules and statistics.

    Parameters
    ----------
    source : Problem or Posterior
        The bound model.
    name : str or sequence of str
        One latent, checked as a conjugate update; or several, checked as one joint Gaussian block.
    state : mapping, optional
        Values ``(chain, *dims)`` of the other latents; those not given are drawn from their priors.
    chains : int
        How many chains to check at once.
    seed : int
        Seed of the draws.
    rtol : float
        Largest error allowed, relative to the largest log density that is subtracted.

    Returns
    -------
    float
        The largest relative error found.

    Raises
    ------
    AssertionError
        Where the identity fails, or the latent is not conjugate.

    Examples
    --------
    >>> import bayeskit as bk
    >>> from bayeskit.model.binding import bind, read
    >>> m = bk.Model()
    >>> p = m.latent("p", bk.Beta(1, 1))
    >>> y = m.observed("y", bk.Bernoulli(p), dims="obs")
    >>> problem = bind(m, [read(m, {"y": [1, 0, 1]}, {})])
    >>> density_identity(problem, "p") < 1e-10
    True
    """
    problem = _problem(source)
    rng = np.random.default_rng(seed)
    names = [name] if isinstance(name, str) else list(name)
    rest = prior_state(problem, chains, rng, given=state or {}, skip=names)
    if isinstance(name, str):
        joint, conditional, evidence = _conjugate_sides(problem, name, rest, chains, rng)
    else:
        joint, conditional, evidence = _block_sides(problem, names, rest, chains, rng)
    scale = 1.0 + max(np.abs(joint).max(), np.abs(conditional).max())
    between = np.abs((joint[0] - joint[1]) - (conditional[0] - conditional[1])).max() / scale
    against = np.abs(joint - conditional - evidence).max() / scale
    worst = float(max(between, against))
    if not worst <= rtol:
        raise AssertionError(
            f"The conditional of {', '.join(names)} is not that of the joint density: the identity of two draws is off "
            f"by {between:.2e} and the evidence by {against:.2e}, relative to {scale:.3g}. It must be at most {rtol:g}."
        )
    return worst


def _problem(source: Any) -> Problem:
    problem: Problem = source if isinstance(source, Problem) else source.problem
    return problem


def _conjugate_sides(
    problem: Problem, name: str, rest: State, chains: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    update = match(problem, name)
    if not isinstance(update, ConjugateUpdate):
        raise AssertionError(f"'{name}' is not conjugate: {update}")
    env = {**problem.env, **rest}
    inside = {id(update.latent.prior), *(id(c.factor) for c in update.contributions)}
    others = _total(problem, env, chains, inside)
    joint, conditional = [], []
    for _ in range(2):
        x = update.draw(env, rng, chains)
        assert x.shape == (chains, *update.latent.shape), f"draws of '{name}' have shape {x.shape}"
        joint.append(problem.log_joint({**rest, name: x}))
        cells = update.log_density({**env, name: x})
        conditional.append(cells.reshape(chains, -1).sum(axis=1))
    return np.array(joint), np.array(conditional), update.log_evidence(env) + others


def _block_sides(
    problem: Problem, names: Sequence[str], rest: State, chains: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    block = GaussianBlock(problem, names)
    env = {**problem.env, **rest}
    touching = {id(f) for f in problem.factors_of(names)}
    others = _total(problem, env, chains, touching)
    joint, conditional = [], []
    for _ in range(2):
        values, x = block.draw(env, rng, chains)
        joint.append(problem.log_joint({**rest, **values}))
        conditional.append(block.log_density(env, x))
    return np.array(joint), np.array(conditional), block.log_marginal(env) + others


def _total(problem: Problem, env: State, chains: int, but: set[int]) -> Array:
    """Sum the terms of the joint density that do not depend on what is checked."""
    total = np.zeros(chains) + problem.extra_log_density(env)
    for factor in problem.factors:
        if id(factor) not in but:
            total = total + factor.total(env)
    return total


def prior_state(
    problem: Problem, chains: int, rng: np.random.Generator, *, given: State | None = None, skip: Sequence[str] = ()
) -> dict[str, Array]:
    """Draw the latents from their priors, parents first: ``(chain, *dims)`` each.

    Parameters
    ----------
    problem : Problem
        The bound model.
    chains : int
        Leading axis of every value.
    rng : numpy.random.Generator
        Source of randomness.
    given : mapping, optional
        Values to keep, of shape ``(chain or 1, *dims)``.
    skip : sequence of str
        Latents to leave out, unless others need them (improper priors have no draws, and must then be given).

    Examples
    --------
    >>> import numpy as np
    >>> import bayeskit as bk
    >>> from bayeskit.model.binding import bind, read
    >>> m = bk.Model()
    >>> mu = m.latent("mu", bk.Normal(0, 1))
    >>> y = m.observed("y", bk.Normal(mu, 1), dims="obs")
    >>> problem = bind(m, [read(m, {"y": [0.3, 1.2]}, {})])
    >>> prior_state(problem, 3, np.random.default_rng(1))["mu"].shape
    (3,)
    """
    state: dict[str, Array] = {}
    for n, value in (given or {}).items():
        state[n] = np.broadcast_to(value, (chains, *np.shape(value)[1:]))
    drawn: dict[str, Array] = {}
    for latent in problem.latents.values():
        factor = latent.prior
        if latent.name in state or (latent.name in skip and not factor.distribution.is_proper):
            continue
        env = {**problem.env, **state, **drawn}
        if not factor.parents <= env.keys():
            continue
        shape = (chains, *factor.shape)
        drawn[latent.name] = factor.distribution._sample(rng, shape, *factor.parameter_arrays(env))
    return {**state, **{n: v for n, v in drawn.items() if n not in skip}}


# ---- moments --------------------------------------------------------------------------------------------------------
def assert_moments(draws: Any, mean: Any = None, sd: Any = None, *, limit: float = 5.0, name: str = "draws") -> None:
    """Check mean and standard deviation of draws, in multiples of their own Monte Carlo standard error.

    Parameters
    ----------
    draws : array_like
        ``(chain, draw, *dims)``; the error allows for autocorrelation.
    mean, sd : array_like, optional
        What they must be, over ``dims``.
    limit : float
        Largest error allowed, in MCSE.
    name : str
        What the message calls them.

    Raises
    ------
    AssertionError
        Naming the worst element.

    Examples
    --------
    >>> import numpy as np
    >>> assert_moments(np.random.default_rng(1).normal(3, 2, (4, 1000)), mean=3, sd=2)
    """
    draws = np.asarray(draws, dtype=float)
    centre = draws.mean(axis=(0, 1)) if mean is None else np.asarray(mean, dtype=float)
    checks = [] if mean is None else [("mean", draws, centre)]
    if sd is not None:
        checks.append(("variance", (draws - centre) ** 2, np.square(np.asarray(sd, dtype=float))))
    for what, values, expected in checks:
        error = np.abs(values.mean(axis=(0, 1)) - expected) / _mcse(values)
        worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), error.shape) if error.ndim else ()
        if not error[worst] < limit:
            where = f" at {tuple(int(i) for i in worst)}" if worst else ""
            got = values.mean(axis=(0, 1))[worst]
            raise AssertionError(
                f"The {what} of {name}{where} is {got:.6g}, {error[worst]:.1f} MCSE from "
                f"{np.broadcast_to(expected, error.shape)[worst]:.6g}. It must be within {limit:g}."
            )


def _mcse(values: Array) -> Array:
    from arviz_stats.base.array import array_stats

    return np.asarray(array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean"))


# ---- Geweke's joint test --------------------------------------------------------------------------------------------
def geweke(
    simulate: Callable[[np.random.Generator, int], State],
    step: Callable[[State, np.random.Generator], State],
    resimulate: Callable[[State, np.random.Generator], State],
    statistics: Callable[[State], Mapping[str, Array]],
    *,
    replicates: int = 4000,
    sweeps: int = 10,
    seed: int = 0,
    limit: float | None = 5.0,
) -> dict[str, float]:
    r"""Compare two ways of drawing latents and data jointly; they agree only if the step is right.

    The *marginal-conditional* simulator draws latents from the prior and data given them. The *successive-conditional*
    one starts from such draws and alternates the step (latents given data) with new data given the latents. A step that
    leaves the posterior invariant leaves the joint distribution as it was. Here many replicates run a few sweeps each,
    so that the errors of the means are those of independent draws.

    Parameters
    ----------
    simulate : callable
        ``(rng, replicates) -> state``: latents and data, each ``(replicate, *dims)``.
    step : callable
        ``(state, rng) -> state``: one transition of the latents.
    resimulate : callable
        ``(state, rng) -> state``: new data given the latents.
    statistics : callable
        ``state -> {name: (replicate,)}``: what is compared; give squares and products besides the latents.
    replicates, sweeps, seed : int
        How many replicates, how many transitions of each, and the seed.
    limit : float, optional
        Largest score allowed; None returns the scores without judging them.

    Returns
    -------
    dict
        For each statistic the difference of the two means, over its standard error.

    Raises
    ------
    AssertionError
        Where a score exceeds the limit.

    References
    ----------
    J. Geweke, "Getting it right: joint distribution tests of posterior simulators", JASA 99, 2004.

    Examples
    --------
    A normal mean with one observation, updated exactly:

    >>> def simulate(rng, n):
    ...     mu = rng.normal(size=n)
    ...     return {"mu": mu, "y": rng.normal(mu, 1)}
    >>> def step(state, rng):
    ...     return {**state, "mu": rng.normal(state["y"] / 2, 0.5**0.5)}
    >>> def resimulate(state, rng):
    ...     return {**state, "y": rng.normal(state["mu"], 1)}
    >>> scores = geweke(simulate, step, resimulate, lambda s: {"mu": s["mu"], "mu^2": s["mu"] ** 2}, seed=1)
    >>> max(abs(z) for z in scores.values()) < 5
    True
    """
    rng = np.random.default_rng(seed)
    fresh = statistics(simulate(rng, replicates))
    state = simulate(rng, replicates)
    for _ in range(sweeps):
        state = resimulate(step(state, rng), rng)
    moved = statistics(state)
    scores = {n: _two_sample_score(np.asarray(fresh[n], dtype=float), np.asarray(moved[n], dtype=float)) for n in fresh}
    worst = max(scores, key=lambda n: abs(scores[n]))
    if limit is not None and not abs(scores[worst]) < limit:
        raise AssertionError(
            f"The step does not leave the posterior invariant: after {sweeps} sweeps the mean of '{worst}' has moved "
            f"by {scores[worst]:.1f} standard errors. It must be within {limit:g}."
        )
    return scores


def _two_sample_score(a: Array, b: Array) -> float:
    spread = np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
    return float((b.mean() - a.mean()) / spread)


# ---- simulation-based calibration -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Calibration:
    """Ranks of true values among posterior draws.

    Attributes
    ----------
    ranks : dict
        Of each latent ``(replicate, elements)``, between 0 and ``draws``.
    draws : int
        How many posterior draws each rank is among.
    p_values : dict
        Of each latent, the chance of a fit to uniform ranks no better than this one, for its worst element (multiplied
        by the number of elements).
    """

    ranks: dict[str, Array]
    draws: int
    p_values: dict[str, float]


def sbc(
    simulate: Callable[[np.random.Generator], tuple[State, Any]],
    sample: Callable[[Any, np.random.Generator, int], State],
    *,
    replicates: int = 200,
    draws: int = 99,
    bins: int = 10,
    seed: int = 0,
    level: float | None = 1e-4,
) -> Calibration:
    """Simulation-based calibration: true values must rank uniformly among draws from their posterior.

    Parameters
    ----------
    simulate : callable
        ``rng -> (latents, data)``: one draw from the prior, ``{name: (*dims)}``, and data given it.
    sample : callable
        ``(data, rng, draws) -> {name: (draw, *dims)}``: draws from the posterior, as good as independent (thin them).
    replicates, draws, bins, seed : int
        How many replicates; how many draws each; into how many bins ranks are counted, a divisor of ``draws + 1``.
    level : float, optional
        Least p-value allowed; None returns the ranks without judging them.

    Returns
    -------
    Calibration

    Raises
    ------
    AssertionError
        Where the ranks of a latent are not uniform.

    References
    ----------
    S. Talts et al., "Validating Bayesian inference algorithms with simulation-based calibration", 2018.

    Examples
    --------
    >>> def simulate(rng):
    ...     mu = rng.normal()
    ...     return {"mu": mu}, rng.normal(mu, 1)
    >>> def sample(y, rng, draws):
    ...     return {"mu": rng.normal(y / 2, 0.5**0.5, draws)}
    >>> result = sbc(simulate, sample, seed=1)
    >>> result.ranks["mu"].shape, result.p_values["mu"] > 1e-4
    ((200, 1), True)
    """
    from scipy.stats import chisquare

    if (draws + 1) % bins:
        raise ValueError(f"bins must divide draws + 1. Got {bins} and {draws + 1}.")
    rng = np.random.default_rng(seed)
    ranks: dict[str, list[Array]] = {}
    for _ in range(replicates):
        truth, data = simulate(rng)
        posterior = sample(data, rng, draws)
        for n, value in truth.items():
            among = np.asarray(posterior[n]).reshape(draws, -1)
            ranks.setdefault(n, []).append((among < np.ravel(value)).sum(axis=0))
    found = {n: np.stack(r) for n, r in ranks.items()}
    p_values = {}
    for n, r in found.items():
        counts = [np.bincount(column * bins // (draws + 1), minlength=bins) for column in r.T]
        p_values[n] = float(min(1.0, min(chisquare(c).pvalue for c in counts) * len(counts)))
    worst = min(p_values, key=lambda n: p_values[n])
    if level is not None and p_values[worst] < level:
        raise AssertionError(
            f"The ranks of '{worst}' must be uniform. Got a p-value of {p_values[worst]:.1e} from {replicates} "
            "replicates."
        )
    return Calibration(found, draws, p_values)
