"""Which step each latent of a sweep gets, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Never

from bayeskit.conjugate.mixtures import HALF_T
from bayeskit.errors import RefusedError
from bayeskit.inference import options
from bayeskit.inference.augment import SUFFIX
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import ConjugateUpdate, Refusal, match
from bayeskit.inference.elementwise import Elementwise, elementwise
from bayeskit.inference.enumeration import Enumeration, enumeration
from bayeskit.inference.propriety import check_fit, check_scale
from bayeskit.inference.steps import (
    ConjugateStep,
    EnumerateStep,
    GaussianStep,
    HalfTStep,
    MetropolisStep,
    SliceStep,
    Step,
)
from bayeskit.inference.steps.missing import MissingVectors, missing_vectors
from bayeskit.inference.steps.rescale import RescaleStep, rescale_step
from bayeskit.inference.steps.scales import BlockScale, block_scale
from bayeskit.inference.structure import connected, gaussian_latents
from bayeskit.model.problem import Problem


class NoStepError(RefusedError):
    """No step of a sweep fits a latent."""

    def __init__(self, name: str, *reasons: Refusal) -> None:
        said = ", and ".join(dict.fromkeys(str(r) for r in reasons))
        super().__init__(f"No step fits the discrete latent '{name}': {said}.")
        self.name = name


@dataclass
class SweepPlan:
    """Steps in the order of a sweep, and a note for every latent."""

    steps: list[Step] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    first_reason: str = ""

    @property
    def nothing_conjugate(self) -> bool:
        """Whether no step draws from a known conditional, and some latents go together."""
        blind = [isinstance(s, SliceStep | MetropolisStep | RescaleStep) for s in self.steps]
        return bool(blind) and all(blind) and any(isinstance(s, MetropolisStep) for s in self.steps)


def plan_steps(problem: Problem, names: list[str], asked: Mapping[str, options.StepOption]) -> SweepPlan:
    """Give every latent the best step that its structure allows, or the one that was asked for."""
    plan = SweepPlan()
    missing = {n: missing_vectors(problem, n) for n in names if n not in asked}
    missing_steps = {n: step for n, step in missing.items() if isinstance(step, MissingVectors)}
    plan.steps += missing_steps.values()
    plan.notes |= {n: step.label for n, step in missing_steps.items()}
    names = [n for n in names if n not in missing_steps]
    free = [n for n in names if n not in asked or isinstance(asked[n], options.GaussianBlock)]
    gaussian, refusals = gaussian_latents(problem, free)
    for name, option in asked.items():
        if isinstance(option, options.GaussianBlock) and name not in gaussian:
            _refuse(name, option, refusals.get(name, Refusal("it has no normal prior")))
    rest = [n for n in names if n not in gaussian]
    blocks = [GaussianBlock(problem, group) for group in connected(problem, gaussian)]
    scales: dict[int, list[BlockScale]] = {}
    for name in [n for n in rest if n not in asked and SUFFIX not in n]:  # mixing numbers have steps of their own
        for i, block in enumerate(blocks):
            found = block_scale(problem, name, block)
            if isinstance(found, BlockScale):
                check_scale(found, block)
                check_fit(found, block)
                scales.setdefault(i, []).append(found)
                plan.notes[name] = found.label
                break
    scaled = set(plan.notes)
    taken = set(gaussian) | scaled
    joint: list[str] = []
    for name in [n for n in rest if n not in taken]:
        step = _asked_step(problem, name, asked[name]) if name in asked else _best_step(problem, name, plan, joint)
        if step is not None:
            plan.steps.append(step)
            plan.notes[name] = step.label
    joint = _join_scalars(problem, plan, joint)
    for i, block in enumerate(blocks):
        gaussian_step = GaussianStep(problem, block, scales.get(i, []))
        plan.steps.append(gaussian_step)
        plan.notes |= {n: gaussian_step.label for n in block.names}
    if joint:
        step = MetropolisStep(problem, joint, plan.first_reason)
        plan.steps.append(step)
        plan.notes |= {n: step.label for n in joint}
    _stretch(problem, [n for n in rest if n not in asked], plan)
    # Labels last: they start spread over their values, and a first sweep that drew them from parameters at arbitrary
    # starts would put every row into the nearest component and leave the others empty under their priors.
    plan.steps.sort(key=lambda s: isinstance(s, EnumerateStep))
    for name, refusal in refusals.items():
        said = plan.notes.get(name, "")
        if said and name not in gaussian and name not in scaled and str(refusal) not in said:
            plan.notes[name] += f"; not in a Gaussian block: {refusal}"
    return plan


def _join_scalars(problem: Problem, plan: SweepPlan, joint: list[str]) -> list[str]:
    """Move single numbers that meet in one child to the joint step: they are often correlated."""
    single = {s.names[0]: s for s in plan.steps if isinstance(s, SliceStep) and s.joins}
    numbers = {n for n in single if problem.latents[n].size == 1 and not problem.latents[n].prior.distribution.discrete}
    moved: set[str] = set()
    for factor in problem.factors_of(numbers):
        meeting = factor.variables & (numbers | set(joint))
        if len(meeting) > 1 and not factor.value.variables & meeting:
            moved |= meeting & numbers
    plan.steps = [s for s in plan.steps if s.names[0] not in moved]
    return [n for n in problem.latents if n in moved or n in joint]


def _stretch(problem: Problem, names: list[str], plan: SweepPlan) -> None:
    """Move every scale above normal latents that no Gaussian block holds a second time, with them stretched along."""
    for name in names:
        step = rescale_step(problem, name, names)
        if step is not None:
            plan.steps.append(step)
            plan.notes[name] += f"; {step.label}"


def _best_step(problem: Problem, name: str, plan: SweepPlan, joint: list[str]) -> Step | None:
    """Return the best step of a latent's own; None where it goes with others into a joint Metropolis step."""
    update = match(problem, name)
    if isinstance(update, ConjugateUpdate):
        return ConjugateStep(update)
    if problem.latents[name].prior.distribution.discrete:
        listed = enumeration(problem, name)
        if isinstance(listed, Enumeration):
            return EnumerateStep(listed)
        conditional = elementwise(problem, name)
        if isinstance(conditional, Refusal):
            raise NoStepError(name, listed, conditional)
        return SliceStep(conditional, f"{listed}")
    mixture = _half_t(problem, name)
    if mixture is not None:
        return mixture
    conditional = elementwise(problem, name)
    plan.first_reason = plan.first_reason or f"{update}"
    if isinstance(conditional, Elementwise):
        return SliceStep(conditional, f"{update}", joins=True)
    joint.append(name)
    return None


def _half_t(problem: Problem, name: str) -> HalfTStep | None:
    """Return the mixture step of a half-t scale: its children are read as for a half-normal prior."""
    from bayeskit.distributions import HalfNormal
    from bayeskit.inference.augment import replace_factor

    latent = problem.latents[name]
    if latent.prior.distribution.family not in HALF_T:
        return None
    one = latent.prior.parameters[-1]
    stand_in = replace_factor(latent.prior, name, HalfNormal(1.0), latent.variable, (one,), (latent.prior.plates,))
    factors = tuple(stand_in if f is latent.prior else f for f in problem.factors)
    changed = replace(problem, factors=factors, latents={**problem.latents, name: replace(latent, prior=stand_in)})
    update = match(changed, name)
    return HalfTStep(replace(update, latent=latent)) if isinstance(update, ConjugateUpdate) else None


def _asked_step(problem: Problem, name: str, option: options.StepOption) -> Step:
    """Return the step a user asked for, or refuse it with the reason."""
    discrete = problem.latents[name].prior.distribution.discrete
    if isinstance(option, options.Conjugate):
        update = match(problem, name)
        if isinstance(update, ConjugateUpdate):
            return ConjugateStep(update)
        return _half_t(problem, name) or _refuse(name, option, update)
    if isinstance(option, options.Enumerate):
        listed = enumeration(problem, name)
        return EnumerateStep(listed) if isinstance(listed, Enumeration) else _refuse(name, option, listed)
    if isinstance(option, options.Slice):
        conditional = elementwise(problem, name)
        if isinstance(conditional, Refusal):
            _refuse(name, option, conditional)
        return SliceStep(conditional, "asked for by steps=")
    if discrete:
        _refuse(name, option, Refusal("it is discrete, and random-walk Metropolis moves continuous numbers"))
    assert isinstance(option, options.Metropolis)
    return MetropolisStep(problem, [name], "asked for by steps=", scale=option.scale)


def _refuse(name: str, option: options.StepOption, refusal: Refusal) -> Never:
    advice = "" if isinstance(option, options.Slice | options.Metropolis) else ", or use bk.Slice()"
    raise RefusedError(
        f"steps={{'{name}': bk.{option}}} cannot be honoured: {refusal}. Leave the choice to the plan{advice}."
    )
