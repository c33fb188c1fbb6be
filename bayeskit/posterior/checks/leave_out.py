"""Leave-one-out and leave-group-out predictive densities of a posterior, exact where the posterior is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import RefusedError, SamplingWarning
from bayeskit.inference.plan import Plan
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import sample as run_plan
from bayeskit.posterior.checks.average import Averaged, over_draws, over_nodes, total
from bayeskit.posterior.checks.parts import Part, parts_of
from bayeskit.posterior.checks.rows import By, Groups, group_rows

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOut:
    r"""Predictive densities of rows, or groups of rows, from all the others.

    Attributes
    ----------
    elpd : float
        Expected log pointwise predictive density, :math:`\sum_g \log p(y_g \mid y_{-g})`.
    se : float
        Its standard error over groups, :math:`\sqrt{n} \operatorname{sd}`: how far another sample of as many could be.
    p_loo : float
        Effective number of parameters, :math:`\sum_g \log p(\tilde y_g = y_g \mid y) - \log p(y_g \mid y_{-g})`.
    mcse : float
        Monte Carlo error of ``elpd``: 0 where exact.
    pointwise, log_predictive : xarray.DataArray
        :math:`\log p(y_g \mid y_{-g})` and :math:`\log p(\tilde y_g = y_g \mid y)` of every group; ``-inf`` where the
        others leave the posterior improper, as priors that are improper may.
    exact : bool
        Whether nothing was sampled: closed forms, enumeration, or quadrature.
    pareto_k : xarray.DataArray or None
        Shape of the tail of the importance ratios, where draws were used; above 0.7 the figures are not to be trusted.
    reason : str
        Why draws were used.
    """

    groups: Groups
    inside: Array
    outside: Array
    k: Array | None
    variance: Array | None
    samples: int
    reason: str

    @property
    def exact(self) -> bool:
        """Whether nothing was sampled."""
        return self.k is None

    @property
    def elpd(self) -> float:
        """Sum of the log predictive densities."""
        return float(self.outside.sum())

    @property
    def se(self) -> float:
        """Standard error of the sum, over groups."""
        n = len(self.outside)
        defined = n > 1 and bool(np.isfinite(self.outside).all())
        return float(np.sqrt(n * self.outside.var(ddof=1))) if defined else float("nan")

    @property
    def p_loo(self) -> float:
        """Effective number of parameters."""
        return float((self.inside - self.outside).sum())

    @property
    def mcse(self) -> float:
        """Monte Carlo error of the sum."""
        return 0.0 if self.variance is None else float(np.sqrt(self.variance.sum()))

    @cached_property
    def pointwise(self) -> xr.DataArray:
        """The log predictive density of every group given the others."""
        return self.groups.labelled(self.outside)

    @cached_property
    def log_predictive(self) -> xr.DataArray:
        """The log predictive density of every group given all rows, its own among them."""
        return self.groups.labelled(self.inside)

    @cached_property
    def pareto_k(self) -> xr.DataArray | None:
        """Shape of the tail of the importance ratios of every group."""
        return None if self.k is None else self.groups.labelled(self.k)

    def to_arviz(self) -> Any:
        """Return the same as ArviZ's ``ELPDData``, for ``arviz.compare`` and its plots."""
        from arviz_stats.utils import ELPDDataLOO

        good = None if self.k is None else min(1.0 - 1.0 / np.log10(max(self.samples, 2)), 0.7)
        return ELPDDataLOO(
            elpd=self.elpd,
            se=self.se,
            p=self.p_loo,
            n_samples=self.samples,
            n_data_points=len(self.outside),
            scale="log",
            warning=self.k is not None and bool((self.k > good).any()),
            good_k=good,  # type: ignore[arg-type]  # None, as it documents for results without ratios
            elpd_i=self.pointwise,
            pareto_k=self.pareto_k,  # type: ignore[arg-type]
        )

    def __repr__(self) -> str:
        unit = "rows" if not self.groups.names else "groups"
        how = "exact" if self.exact else f"by Pareto-smoothed importance sampling over {self.samples} draws"
        lines = [
            f"log predictive densities of {len(self.outside)} {unit}, each from the others, {how}",
            f"  elpd   {self.elpd:.2f}  se {self.se:.2f}" + ("" if self.exact else f"  mcse {self.mcse:.3f}"),
            f"  p_loo  {self.p_loo:.2f}",
        ]
        if self.k is not None:
            lines.append(f"  largest Pareto k {self.k.max():.2f} ({self.reason})")
        if not np.isfinite(self.outside).all():
            lost = int((~np.isfinite(self.outside)).sum())
            lines.append(f"  {lost} of them are not defined: without those rows the posterior is improper")
        return "\n".join(lines)


def leave_out(
    plan: Plan, problem: Any, by: By, var_name: str | None, *, draws: int, chains: int, seed: Seed
) -> LeaveOut:
    """Return the scores of all groups; ``Posterior.loo`` is this function."""
    groups = group_rows(problem, by, var_name)
    parts = parts_of(plan, groups)
    sampled: dict[str, Array] | None = None
    found = []
    for part in parts:
        if part.core and part.line is None and sampled is None:
            sampled = _drawn(plan, draws, chains, seed)
        found.append(_averaged(part, groups, sampled, chains))
    inside, outside = (np.sum([getattr(f, side) for f in found], axis=0) for side in ("inside", "outside"))
    if np.isnan(outside).any() or np.isnan(inside).any():
        raise RefusedError(
            "Some predictive densities are not numbers: a system of the rows lost its digits. Rescale the data, or "
            "use arviz.loo on sample(include='log_likelihood')."
        )
    ks = [f.pareto_k for f in found if f.pareto_k is not None]
    k = np.max(ks, axis=0) if ks else None
    variance = np.sum([f.variance for f in found if f.variance is not None], axis=0) if ks else None
    if k is not None and (k > 0.7).any():
        warnings.warn(
            f"{int((k > 0.7).sum())} of {len(k)} left-out densities are poor: their Pareto k is above 0.7 (the largest "
            f"is {k.max():.2f}). Leave out smaller groups, or condition without those rows and score them.",
            SamplingWarning,
            stacklevel=3,
        )
    reason = next((p.reason for p in parts if p.reason), "")
    return LeaveOut(groups, inside, outside, k, variance, draws * chains if ks else 0, reason)


def _averaged(part: Part, groups: Groups, sampled: dict[str, Array] | None, chains: int) -> Averaged:
    """Average the scores of one part over its core."""
    known = groups.problem.env
    with np.errstate(all="ignore"):
        if not part.core:
            inside, outside = total(part.scores, known)
            return Averaged(inside[0], outside[0])
        if part.line is not None:
            cell = np.zeros(groups.count, dtype=np.int64) if part.cell is None else part.cell
            found = over_nodes(part.scores, known, part.line, cell)
            if part.whole is None:
                return found
            both = (np.bincount(part.whole, a, groups.count) for a in (found.inside, found.outside))
            return Averaged(*both)
        assert sampled is not None
        return over_draws(part.scores, known, {n: sampled[n] for n in part.core}, chains)


def _drawn(plan: Plan, draws: int, chains: int, seed: Seed) -> dict[str, Array]:
    """Return draws of all latents: ``(chains * draws, *dims)``."""
    run = run_plan(plan, make_rng(seed)[0], draws=draws, tune=1000, chains=chains, progress=False)
    return {n: v.reshape(-1, *v.shape[2:]) for n, v in run.latents.items()}
