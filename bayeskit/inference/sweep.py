"""Running a plan: sweeps for what is sampled, exact and forward draws beside them, the density in bulk afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.exact_wishart import MatrixNormalWishart
from bayeskit.inference.initial import initial_state
from bayeskit.inference.loop import run
from bayeskit.inference.matrix_rows import origin
from bayeskit.inference.plan import Plan
from bayeskit.inference.steps import GaussianStep, MetropolisStep, Step
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
_CHUNK = 20_000_000  # numbers held at once when the density of many draws is evaluated


@dataclass(frozen=True)
class Draws:
    """What a run leaves: latents and statistics as ``(chain, draw, ...)``, and how long it took."""

    latents: dict[str, Array]
    stats: dict[str, Array]
    seconds: float = 0.0
    interrupted: bool = False
    tune: int = 0
    extra: dict[str, float] = field(default_factory=dict)


def sample(
    plan: Plan, rng: np.random.Generator, *, draws: int, tune: int, chains: int, progress: bool | None = None
) -> Draws:
    """Draw from the posterior as the plan says."""
    latents: dict[str, Array] = {}
    stats: dict[str, Array] = {}
    seconds, interrupted = 0.0, False
    if plan.steps:
        values, seconds, interrupted = _sweep(plan, rng, draws, tune, chains, progress)
        stats = {n.removeprefix("stat:"): v for n, v in values.items() if n.startswith("stat:")}
        latents = {n: v for n, v in values.items() if n in plan.problem.latents}
        draws = next(iter(values.values())).shape[1]
    density: Array = np.zeros(chains * draws)
    figures: dict[str, float] = {}
    begun = time.perf_counter()
    for collapsed in plan.collapsed:
        found = collapsed.sample(rng, chains, draws)
        latents |= {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in found.values.items()}
        several = f"_{collapsed.core[0]}" if len(plan.collapsed) > 1 else ""
        stats |= {f"{n}{several}": v for n, v in found.stats.items()}
        figures |= {f"{n}{several}": v for n, v in found.figures.items()}
        density = density + found.lp
    if plan.collapsed:
        seconds += time.perf_counter() - begun
    for component in plan.exact:
        for name, v in component.sample(rng, chains * draws).items():
            latents[name] = v.reshape(chains, draws, *v.shape[1:])
    if plan.forward:
        flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in latents.items()}
        drawn = draw_forward(plan.problem, plan.forward, flat, rng, chains * draws)
        latents |= {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in drawn.items()}
    ordered = {n: latents[n] for n in plan.problem.latents}
    stats["lp"] = _in_bulk(plan, ordered, chains, draws) + density.reshape(chains, draws)
    return Draws(ordered, stats, seconds, interrupted, tune if plan.steps else 0, figures)


def _sweep(
    plan: Plan, rng: np.random.Generator, draws: int, tune: int, chains: int, progress: bool | None
) -> tuple[dict[str, Array], float, bool]:
    problem, steps = plan.working, plan.steps
    state = initial_state(_swept_part(plan), plan.sampled, rng, chains)
    for step in steps:
        if isinstance(step, MetropolisStep):
            step.tune = tune
    env = {**problem.env, **state}
    learnt = [step.start(env, chains) for step in steps]
    visible = [n for n in plan.sampled if n in plan.problem.latents]
    several = sum(isinstance(s, MetropolisStep) for s in steps) > 1

    def advance(env: dict[str, Array], tuning: bool) -> tuple[dict[str, Array], Mapping[str, Array]]:
        record: dict[str, Array] = {}
        env = dict(env)
        for i, step in enumerate(steps):
            try:
                values, learnt[i], info = step.update(env, rng, chains, learnt[i], tuning)
            except np.linalg.LinAlgError as error:
                raise RefusedError(_broken_down(step)) from error
            env.update(values)
            for key, value in info.items():
                record[f"stat:{key}_{step.names[0]}" if several else f"stat:{key}"] = value
        for name in visible:
            record[name] = env[name]
        return env, record

    trace = run(advance, env, tune=tune, draws=draws, progress=progress, label=plan.method)
    return trace.values, trace.seconds, trace.interrupted


def _broken_down(step: Step) -> str:
    names = ", ".join(f"'{n}'" for n in step.names[:6])
    return (
        f"The sweep broke down at {names}: a matrix lost its digits, because a scale ran to zero or to infinity. "
        "Use a prior that keeps scales away from both; the posterior may be improper."
    )


def _swept_part(plan: Plan) -> Problem:
    """Return the problem of the swept latents alone: what is exact or drawn forward does not meet them."""
    names = set(plan.sampled)
    elsewhere = set(plan.working.latents) - names
    factors = tuple(f for f in plan.working.factors if f.variables & names and not f.variables & elsewhere)
    keep = {n: e for n, e in plan.working.potentials.items() if e.variables & names}
    conditions = {n: e for n, e in plan.working.conditions.items() if e.variables & names}
    return replace(plan.working, factors=factors, potentials=keep, conditions=conditions)


def draw_forward(
    problem: Problem, names: list[str], state: Mapping[str, Array], rng: np.random.Generator, batch: int
) -> dict[str, Array]:
    """Draw latents from their priors given their parents: each ``(batch, *dims)``."""
    env = {**problem.env, **state}
    drawn: dict[str, Array] = {}
    for name in names:
        prior = problem.latents[name].prior
        env[name] = drawn[name] = draw_factor(prior, env, rng, batch)
    return drawn


def draw_factor(factor: Factor, env: Mapping[str, Array], rng: np.random.Generator, batch: int) -> Array:
    """Draw the value of a factor from its distribution: ``(batch, *plates, *event)``."""
    arrays = factor.parameter_arrays(env)
    more = {}
    if factor.distribution.family == "Ordered":
        more["event_shape"] = tuple(factor.sizes[d] for d in factor.event)
    with np.errstate(all="ignore"):
        value = factor.distribution._sample(rng, (batch, *factor.shape), *arrays, **more)
    shape = (batch, *factor.shape, *(factor.sizes[d] for d in factor.event))
    return np.asarray(np.broadcast_to(value, shape))


def _in_bulk(plan: Plan, latents: Mapping[str, Array], chains: int, draws: int) -> Array:
    """Return the log joint density of every draw, in chunks; rows that a Gaussian block has summed are not touched."""
    problem, total = plan.problem, chains * draws
    if not latents:
        return np.broadcast_to(problem.log_joint({}), (chains, draws)).astype(float)
    flat = {n: v.reshape(total, *v.shape[2:]) for n, v in latents.items()}
    blocks = _summed_blocks(plan)
    regressions = [c for c in plan.exact if isinstance(c, MatrixNormalWishart)]
    done = {id(origin(bf.factor)) for block in blocks for bf in block.table}
    apart = [f for c in plan.collapsed for f in c.factors] + [f for r in regressions for f in r.factors]
    done |= {id(origin(f)) for f in apart}
    held = {n for component in plan.collapsed for n in component.names}
    rest = replace(
        problem,
        factors=tuple(f for f in problem.factors if id(f) not in done),
        potentials={n: e for n, e in problem.potentials.items() if not e.variables & held},
        conditions={n: e for n, e in problem.conditions.items() if not e.variables & held},
    )
    sizes = [int(np.prod(f.shape, dtype=int)) for f in rest.factors] + [b.layout.size for b in blocks]
    size = max(1, _CHUNK // max([1, *sizes]))
    result = np.empty(total)
    with np.errstate(all="ignore"):
        for start in range(0, total, size):
            part = {n: v[start : start + size] for n, v in flat.items()}
            value = rest.log_joint(part)
            for block in blocks:
                value = value + block.log_prob_of_table({**problem.env, **part})
            for regression in regressions:
                value = value + regression.log_joint(part)
            result[start : start + size] = value
    return result.reshape(chains, draws)


def _summed_blocks(plan: Plan) -> list[GaussianBlock]:
    """Return the Gaussian blocks whose sums are those of factors of the problem itself (mixtures are not)."""
    own = {id(f) for f in plan.problem.factors}
    blocks = [s.block for s in plan.steps if isinstance(s, GaussianStep)]
    blocks += [c.block for c in plan.exact if isinstance(c, ExactGaussian)]

    def fits(block: GaussianBlock) -> bool:
        families = {bf.factor.distribution.family for bf in block.table}
        return "LogNormal" not in families and all(id(origin(bf.factor)) in own for bf in block.table)

    return [block for block in blocks if fits(block)]
