"""From weights cell by cell to tables over variables, with independent elements kept as axes of plates.

A dim along which elements meet, as the steps of a chain do, is unrolled: every element along it is a variable. Along
any other dim the elements are one variable with a plate, and are worked on together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from bayeskit.inference.networks.elements import Elements
from bayeskit.inference.networks.graph import Node, Sizes, Tangled
from bayeskit.inference.networks.weights import Weights

Array = np.ndarray


class Layout:
    """Variables of a network: the elements of its latents, those along plates taken as one.

    Parameters
    ----------
    elements : Elements
        The latents and their values.
    weights : sequence of Weights
        What factors and terms say of them.
    unrolled : collection of str
        The dims along which every element is a variable of its own.
    """

    def __init__(self, elements: Elements, weights: Sequence[Weights], unrolled: Collection[str]) -> None:
        self.elements, self.weights = elements, weights
        plates: dict[str, int] = {}
        states: list[int] = []
        borne: list[tuple[str, ...]] = []
        self.values: list[Array] = []  # of every variable
        self.variable = np.empty(elements.count, dtype=np.int64)
        self.of_latent: dict[str, Array] = {}
        for name, latent in elements.latents.items():
            dims = latent.variable.dims
            single = tuple(n if d in unrolled else 1 for d, n in zip(dims, latent.shape, strict=True))
            own = len(states) + np.arange(np.prod(single, dtype=int)).reshape(single)
            self.of_latent[name] = own
            self.variable[elements.numbers(name)] = np.broadcast_to(own, latent.shape)
            plates |= {d: n for d, n in zip(dims, latent.shape, strict=True) if d not in unrolled}
            self.values += [elements.values[name]] * own.size
            states += [len(elements.values[name])] * own.size
            borne += [tuple(d for d in dims if d not in unrolled)] * own.size
        self.place = {d: self._places(d) for d in plates}
        ordered = tuple(tuple(d for d in plates if d in b) for b in borne)
        self.sizes = Sizes(plates, states, ordered, self._within(plates))

    def _places(self, dim: str) -> Array:
        """Return where every element stands along a dim; -1 where it does not bear it."""
        found = np.full(self.elements.count, -1)
        for name, latent in self.elements.latents.items():
            if dim in latent.variable.dims:
                axis = latent.variable.dims.index(dim)
                found[self.elements.numbers(name)] = np.indices(latent.shape)[axis]
        return found

    def _within(self, plates: Mapping[str, int]) -> dict[tuple[str, str], Array]:
        """Return which plates lie in which: every cell of the one meets one cell of the other alone."""
        found: dict[tuple[str, str], Array] = {}
        of_one = [set(e.variable.dims) for e in self.elements.latents.values()]
        for inner in sorted(plates, key=lambda d: -plates[d]):
            for outer in plates:
                if inner == outer or any({inner, outer} <= dims for dims in of_one):
                    continue
                above = Sizes(plates, (), (), found).closure([outer])
                met = self._met(inner, outer, plates[inner]) if inner not in above else None
                if met is not None:
                    found[inner, outer] = met
        return found

    def _met(self, inner: str, outer: str, size: int) -> Array | None:
        """Return the one place along a dim that every place along another meets, or None where there are several."""
        pairs = [np.zeros((0, 2), dtype=np.int64)]
        for w in self.weights:
            first, second = (self._highest(d, w.elements) for d in (inner, outer))
            both = (first >= 0) & (second >= 0)
            pairs.append(np.stack([first[both], second[both]], axis=1))
        met = np.unique(np.concatenate(pairs), axis=0)
        if not len(met) or len(np.unique(met[:, 0])) < len(met):
            return None
        places = np.zeros(size, dtype=np.int64)  # what meets none says nothing of any
        places[met[:, 0]] = met[:, 1]
        return places

    def _highest(self, dim: str, elements: Array) -> Array:
        """Return the highest place along a dim that every cell touches; -1 where it touches none."""
        return np.where(elements >= 0, self.place[dim][elements], -1).max(axis=1, initial=-1)

    def tables(self) -> list[Node]:
        """Return the tables of all weights, those over the same variables added up.

        Raises
        ------
        Tangled
            Where elements along a plate meet.
        """
        found: dict[tuple[tuple[str, ...], tuple[int, ...]], Array] = {}
        for w in self.weights:
            for plates, scope, table in self._split(w):
                held = found.get((plates, scope))
                found[plates, scope] = table if held is None else held + table
        return [Node(plates, scope, table=t) for (plates, scope), t in found.items()]

    def _split(self, w: Weights) -> Iterator[tuple[tuple[str, ...], tuple[int, ...], Array]]:
        """Yield a table for every set of variables that cells touch together."""
        variables = np.where(w.elements >= 0, self.variable[w.elements], -1)
        sets, member = np.unique(variables, axis=0, return_inverse=True)
        order = np.argsort(member.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(member.reshape(-1), minlength=len(sets)))
        for touched, start, end in zip(sets, [0, *ends[:-1]], ends, strict=True):
            cells = order[start:end]
            scope, logs = self._over_variables(touched, w, w.logs[cells])
            plates = self.sizes.together(scope)
            self._must_nest(scope)
            place = {d: self._along(d, w.elements[cells]) for v in scope for d in self.sizes.borne[v]}
            shape = self.sizes.shape(plates, scope)
            lead = shape[: len(plates)]
            at = np.ravel_multi_index([place[d] for d in plates], lead) if plates else np.zeros(len(cells), dtype=int)
            table = np.zeros((int(np.prod(lead, dtype=int)), int(np.prod(shape[len(plates) :], dtype=int))))
            np.add.at(table, at, logs.reshape(len(cells), -1))
            yield plates, scope, table.reshape(shape)

    def _over_variables(self, touched: Array, w: Weights, logs: Array) -> tuple[tuple[int, ...], Array]:
        """Return log weights with one axis for each variable: of its own values, and one where it is touched twice."""
        scope: list[int] = []
        for k in range(len(touched)):  # axes before the k-th have been dealt with: 1 + len(scope) of them
            axis, v = 1 + len(scope), int(touched[k])
            if v < 0:
                logs = logs.take(0, axis=axis)  # the cells take a known value here, whatever the state
                continue
            logs = logs.take(np.searchsorted(w.values[k], self.values[v]), axis=axis)
            if v in scope:
                first = 1 + scope.index(v)
                logs = np.moveaxis(np.diagonal(logs, axis1=first, axis2=axis), -1, first)
            else:
                scope.append(v)
        order = np.argsort(scope)
        return tuple(scope[i] for i in order), logs.transpose(0, *(1 + order))

    def _along(self, dim: str, elements: Array) -> Array:
        """Return where cells stand along a plate: all elements that bear it must stand at the same place."""
        places = np.where(elements >= 0, self.place[dim][elements], -1)
        highest = self._highest(dim, elements)
        if np.any((places >= 0) & (places != highest[:, None])):
            raise Tangled([dim])
        return highest

    def _must_nest(self, scope: Sequence[int]) -> None:
        """Refuse variables that meet though neither bears all plates of the other."""
        borne = sorted((self.sizes.closure(self.sizes.borne[v]) for v in scope), key=len)
        for less, more in pairwise(borne):
            if not less <= more:
                raise Tangled(sorted(less ^ more))

    # ---- from variables back to latents -------------------------------------------------------------------------
    def gathered(self, name: str, found: Sequence[Array], lead: int = 0) -> Array:
        """Return what is known of each variable, ``(*lead, *plates, ...)``, laid along a latent's dims."""
        latent, own = self.elements.latents[name], self.of_latent[name]
        dims = latent.variable.dims
        first = found[int(own.flat[0])]
        plates = self.sizes.borne[int(own.flat[0])]
        tail = first.shape[lead + len(plates) :]
        result = np.empty((*first.shape[:lead], *latent.shape, *tail), dtype=first.dtype)
        axes = (*range(lead), *(lead + plates.index(d) for d in dims if d in plates))
        axes += tuple(range(lead + len(plates), first.ndim))
        for index in np.ndindex(own.shape):
            where = tuple(slice(None) if d in plates else i for d, i in zip(dims, index, strict=True))
            result[(slice(None),) * lead + where] = found[int(own[index])].transpose(axes)
        return result


def smallest(plates: Sequence[str], sizes: Mapping[str, int]) -> str:
    """Return the plate that is unrolled with the fewest variables."""
    return min(plates, key=lambda d: (sizes[d], d))
