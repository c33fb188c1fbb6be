"""The log evidence: exact, by quadrature, or by the weights of proposals in bulk, with its error."""

from __future__ import annotations

from typing import Self

from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.plan import Plan


class Evidence(float):
    """A log evidence: a float that carries its standard error ``se``, 0 where it is exact."""

    se: float

    def __new__(cls, value: float, se: float = 0.0) -> Self:
        """Make the number and keep its error."""
        number = super().__new__(cls, value)
        number.se = se
        return number


def improper_latents(plan: Plan) -> dict[str, str]:
    """Return the latents whose priors have an arbitrary constant, with what they are."""
    latents = plan.problem.latents.items()
    return {n: repr(e.prior.distribution) for n, e in latents if not e.prior.distribution.is_proper}


def log_evidence(plan: Plan, *, improper: bool = False) -> Evidence:
    """Return the log evidence of a plan without a sweep.

    Parameters
    ----------
    plan : Plan
        What was decided about every latent.
    improper : bool
        Whether improper priors are let pass, of density one (or that of the bare kernel): for ratios of evidences.

    Raises
    ------
    ImproperError
        Where a prior is improper: its constant is arbitrary, and so would the evidence be.
    RefusedError
        Where some latents are swept.
    """
    problem = plan.problem
    for name, prior in improper_latents(plan).items():
        if not improper:
            raise ImproperError(
                f"The model has no evidence: the prior {prior} of '{name}' is improper, so its constant is arbitrary. "
                "Use a proper prior; between two models that share it, bk.bayes_factor is defined."
            )
    if plan.steps:
        name = plan.sampled[0]
        raise RefusedError(
            f"The evidence is not known here: '{name}' is sampled in a sweep ({plan.notes.get(name, 'by a sweep')}), "
            "which says nothing of it."
        )
    total = sum(component.log_evidence() for component in plan.exact)
    variance = 0.0
    for collapsed in plan.collapsed:
        value, se = collapsed.log_evidence()
        total, variance = total + value, variance + se * se
    for factor in problem.factors:
        if not factor.variables & set(problem.latents):
            total += float(factor.total(problem.env)[0])
    return Evidence(total, variance**0.5)
