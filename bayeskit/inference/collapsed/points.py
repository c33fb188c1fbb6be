"""A core of a few numbers, sampled by independence Metropolis-Hastings proposed in bulk."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from bayeskit.errors import RefusedError, SamplingWarning
from bayeskit.inference.collapsed.component import CollapsedDraws, held_names, piece_notes
from bayeskit.inference.collapsed.starts import dispersed_points
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.bulk import SEED, Prepared, prepare, run
from bayeskit.inference.elimination.alike import Alike
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.plates import PlateIntegral
from bayeskit.model.problem import Problem

Array = np.ndarray
# A chain that stays so long at one point, in draws and as a share of them, has met a weight that few others balance.
LONGEST_STAY, MOST_STAYED = 40, 0.03
# Error of the log marginal of a plate: of weights that are known by Monte Carlo, no smaller one is seen.
PLATE_TOLERANCE = 1e-5


def bulk_core(problem: Problem, density: CollapsedDensity) -> BulkCore | Refusal:
    """Return a core with its fitted proposal, or why it is too poor to be used."""
    plates = [p for p in density.pieces if isinstance(p, PlateIntegral)]
    for piece in plates:
        piece.tolerance = PLATE_TOLERANCE
    rough = density.roughly if plates else None
    estimated = functools.partial(density.estimated, rng=np.random.default_rng(SEED)) if plates else density
    starts, _ = dispersed_points(problem, density)
    if not len(starts):
        return Refusal("no point of positive density was found to start from")
    try:
        with np.errstate(all="ignore"):
            prepared = prepare(estimated, starts, newton=density.newton, settle=density.settle, rough=rough)
    except RefusedError as error:
        return Refusal(str(error))
    except np.linalg.LinAlgError as error:
        return Refusal(f"no proposal could be fitted: {error}")
    if not prepared.ok:
        return Refusal(f"proposals in bulk would be too poor: {prepared.reason}")
    return BulkCore(problem, density, prepared)


class BulkCore:
    """Latents of which a small core is proposed in bulk, and the rest drawn exactly given it."""

    def __init__(self, problem: Problem, density: CollapsedDensity, prepared: Prepared) -> None:
        self.problem, self.density, self.prepared = problem, density, prepared
        self.core, self.pieces, self.factors = tuple(density.names), density.pieces, density.factors
        self.names = held_names(problem, self.core, self.pieces)
        self.unchecked: tuple[str, ...] = self.core
        # The estimate of a plate's integral is that of the draw it came with: they are accepted or rejected together.
        self._estimated = any(isinstance(p, PlateIntegral) and p.estimates for p in self.pieces)
        size = prepared.vectors.shape[1]
        numbers = f"{size} numbers" if size > 1 else "one number"
        self.label = (
            f"core of {numbers}, sampled by independence Metropolis-Hastings proposed in bulk; "
            f"expected acceptance {prepared.acceptance:.2f}, Pareto k {prepared.pareto_k:.2f}"
        )
        self.notes = dict.fromkeys(self.core, self.label) | piece_notes(self.pieces)

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Propose the core in bulk, accept or reject chain by chain, and draw the rest given it."""
        proposed: list[tuple[dict[str, Array], Array]] = []

        def log_density(u: Array) -> Array:
            found, below, density = self.density.with_draws(u, rng)
            proposed.append((below, density))
            return found

        result = run(self.prepared, log_density, rng, chains, draws)
        u = result.vectors.reshape(chains * draws, -1)
        values, jacobian = self.density.scale.unpack(u, self.problem.env)
        lp = result.log_density.reshape(-1) - jacobian
        rows = result.rows.reshape(-1)
        drawn = {n: _joined([values[n] for values, _ in proposed])[rows] for n in proposed[0][0]}
        own = _joined([density for _, density in proposed])[rows]
        stays = np.flatnonzero(~result.accepted)
        if len(stays) and drawn and not self._estimated:  # where the core stays, what is below it is drawn anew
            here = {n: v[stays] for n, v in values.items()}
            again, own[stays] = self.density.draw_pieces(here, rng, self.density.proposing)
            for name, value in again.items():
                drawn[name][stays] = value
        if self.density.drawn_after:
            below, more = self.density.draw_pieces(values, rng, self.density.drawn_after)
            drawn, own = drawn | below, own + more
        judge = result if chains * draws >= len(self.prepared.log_weights) else self.prepared
        figures = {
            "acceptance_rate": float(result.accepted.mean()),
            "pareto_k": float(judge.pareto_k),
        }
        reason = judge.reason or _stuck(result.accepted)
        if reason:
            names = ", ".join(f"'{n}'" for n in self.core)
            warnings.warn(
                f"The draws of {names} may be poor: {reason}. Compare with method='gibbs'.",
                SamplingWarning,
                stacklevel=2,
            )
        return CollapsedDraws(values | drawn, lp + own, {"accepted": result.accepted}, figures)

    def knows_classes(self, name: str) -> bool:
        """Whether `sample_classes` draws a latent: one of the core, or a plate with cells that are alike."""
        held = [p for p in self.pieces if name in p.names]
        return all(isinstance(p, ConjugatePiece) and p.alike is not None for p in held)

    def sample_classes(
        self, names: Collection[str], rng: np.random.Generator, chains: int, draws: int
    ) -> tuple[dict[str, Array], dict[str, Alike]]:
        """Draw the core, and of plates one cell for each class of cells whose posterior is the same.

        Parameters
        ----------
        names : collection of str
            The plates; those of which no cells are known to be alike are left out.
        rng, chains, draws
            As in `sample`.

        Returns
        -------
        values, classes : dict
            Draws ``(chains * draws, ...)`` of the core's latents over their dims, and of plates over their classes; and
            the classes of the plates.
        """
        u = run(self.prepared, self.density, rng, chains, draws).vectors.reshape(chains * draws, -1)
        values, _ = self.density.scale.unpack(u, self.problem.env)
        env = {**self.problem.env, **values}
        classes: dict[str, Alike] = {}
        for piece in self.pieces:
            if isinstance(piece, ConjugatePiece) and piece.alike is not None and piece.names[0] in names:
                classes[piece.names[0]] = piece.alike
                values[piece.names[0]] = piece.draw_classes(env, rng, chains * draws)
        return values, classes

    def log_evidence(self) -> tuple[float, float]:
        """Return the mean of the proposals' weights, in logs, with its Monte Carlo error."""
        return float(self.prepared.log_evidence), float(self.prepared.log_evidence_se)

    def marginal(self, name: str, wrap: Any) -> Refusal:
        """Refuse: the core is known by draws."""
        return Refusal(f"its core {', '.join(repr(n) for n in self.core)} is sampled")


def _joined(parts: list[Array]) -> Array:
    """Return parts as one array, without a copy where there is one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _stuck(accepted: Array) -> str:
    """Say where a chain stayed at one point for a large part of its draws; empty if none did."""
    draws = accepted.shape[1]
    ends = [np.concatenate([[0], np.flatnonzero(chain), [draws]]) for chain in accepted]
    longest = max(int(np.diff(e).max()) for e in ends)
    if longest < LONGEST_STAY or longest < MOST_STAYED * draws:
        return ""
    return f"a chain stayed at one point for {longest} of its {draws} draws"
