"""`metropolis`: draws for people who have a log density and no model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayeskit.errors import ModelError, SamplingWarning, SupportError
from bayeskit.inference.adaptive_walk import AdaptiveState, adaptive_sweep, start_adaptive
from bayeskit.inference.loop import Trace, run
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.posterior.density_inputs import Target, check_counts, read_dims, read_initial
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.unconstrained import Bounds, Unconstrained

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["metropolis"]

FloatArray = npt.NDArray[np.float64]

# Spread of the starting points around a single start, on the unconstrained scale, relative to 1 + |start|.
JITTER = 0.25
# Halvings of the jitter of a chain that left the support, before it starts at the start itself.
JITTER_HALVINGS = 20
# Below this mean acceptance a chain has as good as not moved.
STUCK_ACCEPTANCE = 0.01


def metropolis(
    log_density: Callable[[dict[str, Any]], Any],
    initial: Mapping[str, npt.ArrayLike] | Sequence[Mapping[str, npt.ArrayLike]],
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: Seed = None,
    thin: int | None = None,
    dims: Mapping[str, str | Sequence[str]] | None = None,
    coords: Mapping[str, Any] | None = None,
    bounds: Bounds | None = None,
    vectorized: bool = True,
    progress: bool | None = None,
) -> xr.DataTree:
    r"""Sample from a log density by adaptive random-walk Metropolis.

    All chains advance together: one call of `log_density` evaluates a proposal for each. The first eighth of `tune`
    updates one coordinate at a time by slice sampling, which finds the size of each; then every sweep takes `thin`
    steps of the whole vector along the covariance of all chains and one step of every coordinate alone. Nothing is
    adapted after tuning. Made for up to about 30 numbers with a continuous density; beyond that, and for discrete
    variables, state a `Model`.

    Parameters
    ----------
    log_density
        Takes a dict of arrays with the chains in front, `{name: (chain, \*shape)}`, and returns the log density of
        each chain, `(chain,)`, up to a constant; `-inf` outside the support. It is given the variables as they are,
        not transformed, and must not contain a Jacobian for `bounds`.
    initial
        One start, `{name: value}`, from which the chains are jittered; or a list of one start per chain, taken as it
        is. The shapes of the values, which have no chain axis, are the shapes of the variables.
    draws, tune
        Retained draws, and tuning sweeps before them, per chain.
    chains
        Number of chains.
    seed
        Integer, SeedSequence or Generator. The same seed gives the same draws; None takes a fresh one, which the
        attributes of the result tell.
    thin
        Joint steps between two retained draws; by default two per dimension, at least 10. With it a draw of a
        Gaussian target is worth at least a third of an independent one, in up to 30 dimensions.
    dims
        `{name: dims}` of the variables that are not scalars; the others get the dims `name_dim_0`, ...
    coords
        `{dim: labels}`.
    bounds
        `{name: (lower, upper)}`, numbers or arrays or None. A bounded variable moves on the log or logit scale, the
        Jacobian is taken care of.
    vectorized
        False where `log_density` takes one point, `{name: value}`, and returns one number.
    progress
        True, False, or None for a bar on terminals where the run takes longer than 1.5 seconds.

    Returns
    -------
    xarray.DataTree
        In the ArviZ schema, with the groups `posterior` and `sample_stats`: `lp` (the value of `log_density`),
        `accepted` (whether any step of a draw was taken), `acceptance_rate` (mean acceptance probability of its joint
        steps) and `scaling` (multiplier of the joint proposal). The attributes of `posterior` hold the seed, the
        duration and, in `sampling_problems`, what was also warned about.

    Raises
    ------
    ModelError
        If `log_density` does not return one number per chain, mixes its chains, or if `bounds`, `dims` or `initial`
        do not fit each other.
    SupportError
        If the density of a start is not finite.
    ParameterError
        If a number of draws, chains or steps, or the seed, is not one.

    Warns
    -----
    SamplingWarning
        If a chain has hardly moved, if `log_density` returned NaN, or if the run was interrupted.

    References
    ----------
    Haario, Saksman and Tamminen (2001), An adaptive Metropolis algorithm, Bernoulli 7, 223-242.
    Neal (2003), Slice sampling, Annals of Statistics 31, 705-767.

    Examples
    --------
    A normal sample with unknown mean and standard deviation, the latter under the prior 1/sigma:

    >>> import numpy as np
    >>> y = np.array([4.1, 5.3, 4.8, 6.0, 5.2, 4.4])
    >>> def log_density(v):
    ...     z = (y - v["mu"][:, None]) / v["sigma"][:, None]
    ...     return -0.5 * (z**2).sum(axis=1) - (len(y) + 1) * np.log(v["sigma"])
    >>> tree = metropolis(log_density, {"mu": 0.0, "sigma": 1.0}, bounds={"sigma": (0, None)}, draws=300, seed=1)
    >>> tree["posterior"]["mu"].dims
    ('chain', 'draw')
    >>> bool(abs(tree["posterior"]["mu"].mean() - y.mean()) < 0.1)
    True

    A density written for one point:

    >>> tree = metropolis(lambda v: -abs(v["x"]), {"x": 0.0}, vectorized=False, draws=100, tune=200, seed=1)
    >>> tree["posterior"].sizes["draw"]
    100
    """
    check_counts(draws=draws, chains=chains, thin=thin)
    starts = read_initial(initial, chains)
    layout = Unconstrained({name: value.shape[1:] for name, value in starts.items()}, bounds or {})
    axes = read_dims(dims or {}, layout.shapes)
    steps = max(10, 2 * layout.size) if thin is None else thin

    def export(u: FloatArray, stats: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.DataTree:
        posterior = {name: (axes[name], value) for name, value in layout.unpack(u).items()}
        groups: dict[str, Any] = {
            "posterior": posterior,
            "sample_stats": {name: ((), value) for name, value in stats.items()},
        }
        return build_datatree(groups, coords=coords, attrs={"posterior": attrs})

    export(np.zeros((chains, 1, layout.size)), {}, {})  # names, dims and labels are refused before the run, not after
    rng, seed_text = make_rng(seed)
    target = Target(log_density, layout, chains, vectorized=vectorized)
    # Overflow and logarithms of negative numbers are what proposals outside the support look like.
    with np.errstate(all="ignore"):
        x = _start(target, starts, rng, jitter=isinstance(initial, Mapping))
        trace = _sample(target, x, rng, steps=steps, tune=tune, draws=draws, progress=progress)
        stats = {name: value for name, value in trace.values.items() if name != "x"}
        stats["lp"] = stats["lp"] - layout.log_jacobian(trace.values["x"])
        attrs = {
            "bayeskit_method": "metropolis",
            "seed": seed_text,
            "sampling_time": trace.seconds,
            "tuning_steps": int(tune),
            "thin": int(steps),
            "interrupted": int(trace.interrupted),
            "sampling_problems": _warn(trace, target.nan_evaluations),
        }
        return export(trace.values["x"], stats, attrs)


def _sample(
    target: Target,
    x: FloatArray,
    rng: np.random.Generator,
    *,
    steps: int,
    tune: int,
    draws: int,
    progress: bool | None,
) -> Trace[AdaptiveState]:
    """Run the adaptive walk on the unconstrained scale."""

    def advance(state: AdaptiveState, tuning: bool) -> tuple[AdaptiveState, dict[str, Any]]:
        state, moves = adaptive_sweep(target, state, rng, steps=steps, tune=tune, tuning=tuning)
        return state, {
            "x": state.x,
            "lp": state.log_p,
            "accepted": moves.accepted,
            "acceptance_rate": moves.acceptance_rate,
            "scaling": state.scale.scale,
        }

    return run(advance, start_adaptive(x, target(x)), tune=tune, draws=draws, progress=progress, label="metropolis")


def _start(target: Target, starts: Mapping[str, FloatArray], rng: np.random.Generator, *, jitter: bool) -> FloatArray:
    """Starting points (chain, size) of finite density; a jitter that leaves the support is halved until it does not."""
    outside = target.layout.outside(starts)
    if outside is not None:
        lower, upper = target.layout.limits[outside]
        raise SupportError(
            f"The initial value of {outside!r} must lie strictly between its bounds {lower} and {upper}. "
            f"Got {starts[outside].tolist()}, one entry per chain.\nStart inside."
        )
    _check_start(target, starts)
    x = target.layout.pack(starts)
    if jitter:
        noise = JITTER * (1.0 + np.abs(x)) * rng.standard_normal(x.shape)
        for _ in range(JITTER_HALVINGS):
            outliers = ~np.isfinite(target(x + noise))
            if not outliers.any():
                break
            noise[outliers] *= 0.5
        else:
            noise[~np.isfinite(target(x + noise))] = 0.0
        x = x + noise
    if target.vectorized:
        _check_separate(target, x)
    target.nan_evaluations = 0
    return x


def _check_start(target: Target, starts: Mapping[str, FloatArray]) -> None:
    """Refuse a start of density zero, infinity or NaN, with its values."""
    try:
        log_p = target.raw({name: value.copy() for name, value in starts.items()})
    except ModelError:
        raise
    except Exception as error:
        if target.vectorized:
            shapes = ", ".join(f"{name!r}: {value.shape}" for name, value in starts.items())
            error.add_note(
                f"bayeskit called 'log_density' with the chains in front, {{{shapes}}}; "
                "pass vectorized=False if it takes one point at a time."
            )
        raise
    if not np.isfinite(log_p).all():
        chain = int(np.flatnonzero(~np.isfinite(log_p))[0])
        point = ", ".join(f"{name} = {value[chain].tolist()}" for name, value in starts.items())
        raise SupportError(
            f"'log_density' must be finite at the start. Got {log_p[chain]} in chain {chain}, at {point}.\n"
            "Start at a point of positive density, or check the terms of the density there one by one."
        )


def _check_separate(target: Target, x: FloatArray) -> None:
    """Refuse a density in which chains depend on each other, such as a sum over the wrong axis.

    The same points in reversed order must get the same densities in reversed order. A density that is random in itself
    (an unbiased estimate) fails to repeat even in the same order, and is let through.
    """
    log_p, again = target(x), target(x)
    reversed_log_p = target(x[::-1])[::-1]
    if np.array_equal(log_p, again) and not np.allclose(log_p, reversed_log_p, rtol=1e-6, atol=1e-6):
        raise ModelError(
            "'log_density' must treat every chain on its own. Got other values for the same points when the chains "
            f"came in reversed order: {log_p.tolist()} and {reversed_log_p.tolist()}.\n"
            "The first axis of every array is the chain: sum over the others, and index data with [:, None]."
        )


def _warn(trace: Trace[AdaptiveState], nan_evaluations: int) -> str:
    """Warn about chains that hardly moved and about NaN; the warnings as one text, or 'none'."""
    problems = []
    rate = np.where(trace.values["accepted"].any(axis=1), trace.values["acceptance_rate"].mean(axis=1), 0.0)
    stuck = np.flatnonzero(rate < STUCK_ACCEPTANCE)
    if stuck.size:
        rates = ", ".join(f"{chain} ({rate[chain]:.2g})" for chain in stuck)
        problems.append(
            f"The chains of these numbers (and acceptance rates) have hardly moved: {rates}. Their draws do not "
            "represent the target.\nTune longer, start elsewhere, or give 'bounds' to variables that have them."
        )
    if nan_evaluations:
        problems.append(
            f"'log_density' returned NaN {nan_evaluations} times, which was taken as outside the support.\n"
            "Return -inf there on purpose, or find the term that is NaN."
        )
    for problem in problems:
        warnings.warn(problem, SamplingWarning, stacklevel=3)
    return "\n".join(problems) or "none"
