"""Elimination: from the data upwards, integrate what is in its own family given what is above it.

Three kinds of pieces are integrated: joint Gaussian blocks, conjugate plates, and plates of scalars that are not
conjugate but independent given the rest (by quadrature). What is left is the core. Which kind goes first decides how
much is left, so more than one order is tried, and the smallest core wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import ConjugateUpdate, Refusal, match
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.pieces import Piece
from bayeskit.inference.elimination.plates import plate_integral
from bayeskit.inference.elimination.scaled_gaussian import with_scale
from bayeskit.inference.structure import connected, gaussian_latents
from bayeskit.inference.unconstrained import bounds_depend_on
from bayeskit.model.problem import Problem

MOST_CORE = 12  # numbers of a core that is sampled in bulk
_SMALL = 3  # a core of so few numbers is not worth looking for a smaller one


@dataclass(frozen=True, eq=False)
class Elimination:
    """What was integrated out, and the core that is left: latents in the order they were declared."""

    problem: Problem
    pieces: tuple[Piece, ...]
    core: tuple[str, ...]

    @property
    def size(self) -> int:
        """Count of numbers in the core."""
        return sum(self.problem.latents[n].size for n in self.core)

    @property
    def lies_under(self) -> bool:
        """Whether something is integrated out above the core: what is left has the heavier tails, or a sharper peak."""
        known = {*self.problem.env, *self.core}
        return any(self.problem.latents[n].prior.parents - known for n in self.core)


def eliminate(problem: Problem, names: Sequence[str]) -> Elimination | Refusal:
    """Return the elimination of connected latents that leaves the smallest core, or why there is none."""
    found = eliminations(problem, names)
    return found if isinstance(found, Refusal) else found[0]


def eliminations(problem: Problem, names: Sequence[str]) -> list[Elimination] | Refusal:
    """Return eliminations of connected latents that leave different cores, the smallest first, or why there is none."""
    for name in names:
        latent = problem.latents[name]
        if latent.missing_from is not None and latent.prior.event:
            return Refusal(f"'{name}' fills parts of vectors, and is drawn with them in a sweep")
        if latent.prior.distribution.discrete and not isinstance(match(problem, name), ConjugateUpdate):
            return Refusal(f"'{name}' is discrete, and is not integrated out")
    found: dict[tuple[str, ...], Elimination] = {}
    for order in _ORDERS:
        new = _in_order(problem, names, order)
        if not new.core:  # one latent whose elements are independent: they are cores of their own
            new = Elimination(problem, (), tuple(n for n in problem.latents if n in names))
        discrete = next((n for n in new.core if problem.latents[n].prior.distribution.discrete), None)
        if discrete is not None:  # another piece has absorbed its factors
            continue
        found.setdefault(new.core, new)
        if new.size <= _SMALL and not new.lies_under:
            break
    if not found:
        return Refusal(f"'{discrete}' is discrete, and is not integrated out")
    return sorted(found.values(), key=lambda e: (e.size, e.lies_under))


def eliminate_below(problem: Problem, names: Sequence[str]) -> Elimination:
    """Return the elimination of some latents given all others, that leaves the fewest numbers of them as core."""
    found = [_in_order(problem, names, order) for order in _ORDERS]
    return min(found, key=lambda e: e.size)


def _in_order(problem: Problem, names: Sequence[str], order: Sequence[Stage]) -> Elimination:
    """Eliminate stage by stage: what one has absorbed is out of the next one's reach."""
    pieces: list[Piece] = []
    for stage in order:
        held = {id(f) for p in pieces for f in p.factors}
        pieces += stage(problem, names, held)
    integrated = {n for p in pieces for n in p.names}
    return Elimination(problem, tuple(pieces), tuple(n for n in problem.latents if n in names and n not in integrated))


def _gaussian_pieces(problem: Problem, names: Sequence[str], held: set[int]) -> list[Piece]:
    """Return the joint Gaussian blocks among latents that no piece holds and none leans on, with their common scale."""
    free = [n for n in names if _is_free(problem, n, held)]
    gaussian, _ = gaussian_latents(problem, free)
    scales = [n for n in free if n not in gaussian]
    if len(set(names) - set(gaussian)) < 2:
        scales = []  # it is the core
    return [with_scale(problem, GaussianBlock(problem, group), scales) for group in connected(problem, gaussian)]


def _conjugate_pieces(problem: Problem, names: Sequence[str], held: set[int]) -> list[Piece]:
    """Return conjugate latents, the largest first and of equal ones the one declared last."""
    pieces: list[Piece] = []
    for name in _largest_first(problem, names):
        update = match(problem, name) if _is_free(problem, name, held) else None
        if isinstance(update, ConjugateUpdate):
            pieces.append(ConjugatePiece(update))
            held = held | {id(f) for f in pieces[-1].factors}
    return pieces


def _plate_pieces(problem: Problem, names: Sequence[str], held: set[int]) -> list[Piece]:
    """Return plates of scalars by quadrature, the largest first."""
    pieces: list[Piece] = []
    for name in _largest_first(problem, names):
        if problem.latents[name].size == 1 or not _is_free(problem, name, held) or _bounds_others(problem, name):
            continue
        found = plate_integral(problem, name, [n for n in problem.latents if n != name])
        if not isinstance(found, Refusal):
            pieces.append(found)
            held = held | {id(f) for f in found.factors}
    return pieces


Stage = Callable[[Problem, Sequence[str], set[int]], list[Piece]]
_ORDERS: tuple[tuple[Stage, ...], ...] = (
    (_gaussian_pieces, _conjugate_pieces, _plate_pieces),
    (_conjugate_pieces, _gaussian_pieces, _plate_pieces),  # where a plate has a scale each: the scales, not the means
    (_plate_pieces, _gaussian_pieces, _conjugate_pieces),  # where a mean lies above a plate that is not conjugate
)


def _largest_first(problem: Problem, names: Sequence[str]) -> list[str]:
    return sorted(reversed(list(names)), key=lambda n: -problem.latents[n].size)


def _bounds_others(problem: Problem, name: str) -> bool:
    """Whether another latent's support ends where this one says, so that it cannot be told without it."""
    children = [n for n, e in problem.latents.items() if name in e.prior.parents]
    return any(bounds_depend_on(problem, child, name) for child in children)


def _is_free(problem: Problem, name: str, held: set[int]) -> bool:
    """Whether no piece has absorbed a factor of a latent, so that it can be integrated in its turn."""
    return not any(id(f) in held for f in problem.factors_of([name]))
