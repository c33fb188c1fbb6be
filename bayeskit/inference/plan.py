"""The plan: what is done to each variable, and why.

Variables nothing observed depends on are drawn forward. The others fall into components. A component with a closed form
is exact; one whose core is small is collapsed: the core is integrated by quadrature or sampled in bulk, the rest drawn
exactly given it. Every other is swept: a joint Gaussian block with its scales, conjugate steps, enumeration, slice
sampling, and adaptive Metropolis for what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference import options
from bayeskit.inference.augment import augment
from bayeskit.inference.collapsed.choose import collapsed_component
from bayeskit.inference.collapsed.component import CollapsedComponent
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.exact import ExactComponent, exact_component
from bayeskit.inference.marginal import integrate_mixing
from bayeskit.inference.matrix_rows import by_rows
from bayeskit.inference.steps import MetropolisStep, Step
from bayeskit.inference.structure import components, forward_latents, without
from bayeskit.inference.sweep_plan import NoStepError, plan_steps
from bayeskit.model.problem import Problem

METHODS = ("auto", "exact", "collapsed", "gibbs", "metropolis")


@dataclass(frozen=True, eq=False)
class Plan:
    """What is done to each variable.

    Attributes
    ----------
    method : str
        ``exact``, ``collapsed``, ``gibbs`` or ``metropolis``: the lowest rung that any variable needs.
    problem, working : Problem
        The bound model, and the one that steps work on (with mixtures made normal).
    exact : list of ExactComponent
        Groups of latents in closed form.
    collapsed : list of CollapsedComponent
        Groups of latents integrated out but for a core.
    steps : list of Step
        Blocks of a sweep, in order.
    forward : list of str
        Latents drawn from their priors given the rest.
    notes : mapping
        For each latent, what is done to it and why.
    refusals, uncollapsed : mapping
        Why a latent is not exact; why it is not collapsed either.
    """

    method: str
    problem: Problem
    working: Problem
    exact: list[ExactComponent]
    steps: list[Step]
    forward: list[str]
    notes: Mapping[str, str]
    refusals: Mapping[str, str] = field(default_factory=dict)
    collapsed: list[CollapsedComponent] = field(default_factory=list)
    uncollapsed: Mapping[str, str] = field(default_factory=dict)

    @property
    def sampled(self) -> list[str]:
        """Latents of the working problem that the sweep updates, in the order they were declared."""
        updated = {n for s in self.steps for n in s.names}
        return [n for n in self.working.latents if n in updated]

    def component_of(self, name: str) -> ExactComponent | None:
        """Return the exact component of a latent."""
        return next((c for c in self.exact if name in c.names), None)

    def collapsed_of(self, name: str) -> CollapsedComponent | None:
        """Return the collapsed component of a latent."""
        return next((c for c in self.collapsed if name in c.names), None)


def make_plan(problem: Problem, method: str = "auto", steps: Mapping[str, options.StepOption] | None = None) -> Plan:
    """Decide what is done to each variable.

    Raises
    ------
    RefusedError
        Where a method or a step that was asked for cannot be honoured.
    ImproperError
        Where a component's posterior is known to be improper.
    """
    _check_request(problem, method, steps)
    forward = forward_latents(problem)
    asked = dict(steps or {})
    idle = [n for n in asked if n in forward]
    if idle:
        raise RefusedError(
            f"steps={{'{idle[0]}': ...}} cannot be honoured: nothing observed depends on '{idle[0]}', so it is drawn "
            "forward and takes no step. Leave it out."
        )
    for name in forward:
        prior = problem.latents[name].prior.distribution
        if not prior.is_proper:
            raise ImproperError(
                f"The posterior of '{name}' is improper: its prior {prior} is, and nothing observed depends on it. "
                "Give it a proper prior, or leave it out."
            )
    found = _Found({n: _forward_note(problem, n) for n in forward})
    informed = by_rows(without(problem, forward))
    for names in components(informed, [n for n in problem.latents if n not in forward]):
        _place(informed, names, method, asked, found)
    if found.swept and method in ("exact", "collapsed"):
        said = found.uncollapsed if method == "collapsed" else found.refusals
        reason = said.get(found.swept[0], "a step was asked for")
        raise RefusedError(f"method='{method}' cannot be honoured: {reason}. Use method='auto', or change the priors.")
    found.swept = [n for n in problem.latents if n in set(found.swept)]
    return _with_sweep(problem, method, asked, forward, found)


@dataclass
class _Found:
    """What has been decided so far."""

    notes: dict[str, str]
    exact: list[ExactComponent] = field(default_factory=list)
    collapsed: list[CollapsedComponent] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    uncollapsed: dict[str, str] = field(default_factory=dict)


def _place(
    problem: Problem, names: list[str], method: str, asked: Mapping[str, options.StepOption], found: _Found
) -> None:
    """Give connected latents the highest rung that their structure, the method and the steps asked for allow."""
    if method in ("gibbs", "metropolis") or set(names) & set(asked):
        found.swept += names
        return
    exact = exact_component(problem, names)
    if not isinstance(exact, Refusal):
        found.exact.append(exact)
        found.notes |= {n: f"exact; {exact.reason}" for n in names}
        return
    reason = str(exact)
    if method != "exact":
        collapsed = collapsed_component(problem, names)
        if not isinstance(collapsed, Refusal):
            found.collapsed.append(collapsed)
            found.notes |= collapsed.notes
            found.refusals |= dict.fromkeys(names, reason)
            return
        found.uncollapsed |= dict.fromkeys(names, str(collapsed))
    found.refusals |= dict.fromkeys(names, reason)
    found.swept += names


def _with_sweep(
    problem: Problem, method: str, asked: Mapping[str, options.StepOption], forward: list[str], found: _Found
) -> Plan:
    """Plan the sweep over what has no closed form and no small core."""
    swept, exact, notes = found.swept, found.exact, found.notes
    if not swept:
        rung = "collapsed" if found.collapsed else "exact"
        return Plan(rung, problem, problem, exact, [], forward, notes, found.refusals, found.collapsed)
    informed = by_rows(without(problem, forward))
    if method == "metropolis":
        step = _whole(informed, swept, asked, "asked for by method='metropolis'")
        return Plan("metropolis", problem, problem, exact, [step], forward, notes | {n: step.label for n in swept})
    working, mixed = augment(informed, swept)
    hidden = [n for n in working.latents if n not in problem.latents]
    try:
        steps = plan_steps(working, [*swept, *hidden], asked)
    except NoStepError as error:
        said = {"exact": found.refusals.get(error.name), "collapsed": found.uncollapsed.get(error.name)}
        more = "".join(f" Not {rung} because {reason}." for rung, reason in said.items() if reason)
        raise RefusedError(f"{error}{more}") from None
    if mixed:
        integrate_mixing(steps, informed, mixed, asked)
    notes = notes | steps.notes
    for name, text in mixed.items():
        notes[name] = notes[name] + f"; {text}" if name in notes else text
    rung, working_on, blocks = "gibbs", working, steps.steps
    if method == "auto" and steps.nothing_conjugate and not asked:
        step = _whole(informed, swept, asked, f"nothing is conjugate: {steps.first_reason}")
        rung, working_on, blocks = "metropolis", problem, [step]
        notes = notes | {n: step.label for n in swept}
    reasons = found.refusals, found.collapsed, found.uncollapsed
    return Plan(rung, problem, working_on, exact, blocks, forward, notes, *reasons)


def _whole(
    problem: Problem, names: Collection[str], asked: Mapping[str, options.StepOption], reason: str
) -> MetropolisStep:
    """Return one Metropolis step over all latents."""
    for name in names:
        if problem.latents[name].prior.distribution.discrete:
            raise RefusedError(
                f"method='metropolis' cannot be honoured: '{name}' is discrete, and random-walk Metropolis moves "
                "continuous numbers. Use method='gibbs', which enumerates it."
            )
        if name in asked and not isinstance(asked[name], options.Metropolis):
            raise RefusedError(
                f"steps={{'{name}': bk.{asked[name]}}} cannot be honoured: method='metropolis' moves all latents at "
                "once. Use one of them."
            )
    scales = {n: o.scale for n, o in asked.items() if isinstance(o, options.Metropolis)}
    return MetropolisStep(problem, list(names), reason, scale=scales)


def _check_request(problem: Problem, method: str, steps: Mapping[str, options.StepOption] | None) -> None:
    if method not in METHODS:
        raise RefusedError(f"method must be one of {', '.join(METHODS)}. Got {method!r}.")
    for name, option in (steps or {}).items():
        if name not in problem.latents:
            raise RefusedError(
                f"steps= names '{name}', which is not a latent of the model. The latents are {list(problem.latents)}."
            )
        if not isinstance(option, options.StepOption):
            raise RefusedError(
                f"steps={{'{name}': ...}} must be a step, such as bk.Slice() or bk.Metropolis(scale=1.0). "
                f"Got {option!r}."
            )
        if method in ("exact", "collapsed"):
            raise RefusedError(f"method='{method}' takes no steps=: nothing is swept. Use method='gibbs'.")


def _forward_note(problem: Problem, name: str) -> str:
    latent = problem.latents[name]
    if latent.missing_from is not None:
        return f"drawn forward: missing entries of '{latent.missing_from}', and nothing observed depends on them"
    return f"drawn forward from {latent.prior.distribution}: nothing observed depends on it"
