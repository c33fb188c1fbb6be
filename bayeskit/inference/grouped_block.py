"""Independent Gaussian blocks, one a group, each with scales of its own: ten thousand regressions at once.

No row touches the unknowns of two groups, and every latent precision belongs to one group. What is kept of the rows is
then a few sums a group, and densities, moments and draws are those of small matrices, one a group and batch entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bayeskit.conjugate.small_matrices import sum_of
from bayeskit.inference.block import LOG_2PI, GaussianBlock
from bayeskit.inference.block_classes import trusted
from bayeskit.inference.block_factors import BlockFactor
from bayeskit.inference.group_systems import GroupSums, GroupSystems
from bayeskit.inference.layout import is_sound, lay_out
from bayeskit.inference.nearer import approach, nearer_groups
from bayeskit.statistics.gram import Layout
from bayeskit.statistics.laid import LaidRows
from bayeskit.statistics.row_sums import group_sums

Array = np.ndarray
Environment = Mapping[str, Array]
_MOST_WIDE = 24  # unknowns of a group: their matrices are written out
_PART = 200_000  # groups times batch entries held at once


class GroupedBlock:
    """Gaussian unknowns that fall apart into groups given the scales of each.

    Groups are in the order of the elements of the scales; ``k`` is the count of unknowns of one group.
    """

    def __init__(
        self, block: GaussianBlock, layout: Layout, scales: Sequence[str], parts: list[GroupSums], pilot: Array
    ) -> None:
        self.block, self.layout, self.scale_names = block, layout, tuple(scales)
        self.names, self.groups, self.width = block.names, layout.groups, layout.width
        self.moving = [p for p in parts if p.factor is not None]
        self.systems = GroupSystems([p for p in parts if p.factor is None], self.moving, pilot)
        rows = sum((p.rows for p in parts), start=np.zeros(self.groups))
        known = sum((p.log_det for p in parts), start=np.zeros(self.groups))
        self._constant = known + 0.5 * LOG_2PI * (self.width - rows)

    # ---- the systems --------------------------------------------------------------------------------------------
    def precisions(self, env: Environment) -> list[Array]:
        """Return the precisions of the moving rows by group, each ``(batch, groups)``."""
        found = []
        for part in self.moving:
            assert part.factor is not None
            values = part.factor.precision.values(env)
            found.append(values[:, part.cell])
        return found

    def _parts(self, env: Environment) -> Iterator[tuple[slice, list[Array]]]:
        """Yield the precisions of some batch entries at a time."""
        values = self.precisions(env)
        batch = max([1, *(len(v) for v in values)])
        step = max(1, _PART // self.groups)
        for start in range(0, batch, step):
            at = slice(start, start + step)
            yield at, [v if len(v) == 1 else v[at] for v in values]

    # ---- answers ------------------------------------------------------------------------------------------------
    def log_marginal(self, env: Environment) -> Array:
        """Return the log density of every group's rows with its unknowns integrated out: ``(batch, groups)``.

        It is -inf where a matrix is not positive definite, or where the least sum of squares is lost in rounding.
        """
        found = []
        for _, values in self._parts(env):
            system = self.systems.solve(values)
            with np.errstate(all="ignore"):
                total = self._constant - 0.5 * (trusted(system.squares, system.size) + system.log_det)
                for part, value in zip(self.moving, values, strict=True):
                    total = total + 0.5 * part.rows * np.log(value)
            found.append(np.where(np.isnan(total), -np.inf, total))
        return np.concatenate(found)

    def moments(self, env: Environment) -> tuple[Array, Array]:
        """Return the means and the variances of the unknowns given the scales: each ``(batch, groups, k)``."""
        found = [self.systems.moments(values, range(self.width)) for _, values in self._parts(env)]
        means, variances = (np.moveaxis(np.concatenate(parts, axis=1), 0, -1) for parts in zip(*found, strict=True))
        return means, variances

    def covariances(self, env: Environment) -> Array:
        """Return the covariance matrices of the unknowns given the scales: ``(batch, groups, k, k)``."""
        found, k = [], self.width
        for _, values in self._parts(env):
            root = self.systems.solve(values).root
            rows = [[sum_of([root[n][i] * root[n][j] for n in range(i, k)]) for j in range(i + 1)] for i in range(k)]
            full = [[rows[max(i, j)][min(i, j)] for j in range(k)] for i in range(k)]
            found.append(np.stack([np.stack(row, axis=-1) for row in full], axis=-2))
        return np.concatenate(found)

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw the unknowns given the scales: values by name, and the log density of each group ``(batch, groups)``."""
        k, groups = self.width, self.groups
        x, density = np.empty((batch, groups, k)), np.empty((batch, groups))
        values = self.precisions(env)
        step = max(1, _PART // groups)
        for start in range(0, batch, step):
            at = slice(start, min(start + step, batch))
            system = self.systems.solve([v if len(v) == 1 else v[at] for v in values])
            z = rng.standard_normal((k, at.stop - start, groups))
            moved = [system.x[i] + z[i] for i in range(k)]
            for i in range(k):
                x[at, :, i] = sum_of([system.root[n][i] * moved[n] for n in range(i, k)])
            density[at] = 0.5 * (system.log_det - (z * z).sum(axis=0) - k * LOG_2PI)
        x += self.systems.pilot
        return self.by_name(x), density

    def by_name(self, x: Array) -> dict[str, Array]:
        """Return numbers of the unknowns ``(batch, groups, k)`` by name, each ``(batch, *dims)``."""
        return self.block.values(self.layout.gather(x, np.zeros((len(x), 0))))


def grouped_block(block: GaussianBlock, scale_names: Sequence[str]) -> GroupedBlock | None:
    """Return a block as one of independent groups, each with its own elements of some scales; None where it is not.

    Parameters
    ----------
    block : GaussianBlock
        All Gaussian latents of the groups.
    scale_names : sequence of str
        Latents over the same dims, of which every element scales rows of one group alone.
    """
    problem = block.problem
    scales = [problem.latents[n] for n in scale_names]
    dims = scales[0].variable.dims if scales else ()
    if not dims or any(s.variable.dims != dims or s.prior.event for s in scales):
        return None
    if any(bf.laid is None or not bf.design.known_offset for bf in block.factors):
        return None
    if any(not set(dims) <= set(latent.variable.dims) for latent in block.latents):
        return None
    layout = lay_out(block.latents, block.columns, dims, block.total)
    terms = [bf.design.known_terms(problem.env) for bf in block.factors]
    designs = list(zip([bf.design for bf in block.factors], terms, strict=True))
    if layout.rest or layout.width > _MOST_WIDE or not is_sound(dims, block.latents, list(designs)):
        return None
    known = set(problem.env)
    rows, cells = [], []
    for bf, own in zip(block.factors, terms, strict=True):
        laid = LaidRows(bf.design, layout, own, bf.design.framed_offset(problem.env))
        cell = _cell_of_group(bf, laid, dims, known, set(scale_names))
        if cell is None:
            return None
        rows.append(laid)
        cells.append(cell)
    pilot = _pilot(block, rows)

    parts: list[GroupSums] = []

    def sum_up(pilot: Array) -> None:
        own = zip(block.factors, rows, cells, strict=True)
        parts[:] = [_sums(bf, laid, cell, pilot, problem.env) for bf, laid, cell in own]

    sum_up(pilot)
    pilot = approach(pilot, lambda: nearer_groups(parts), sum_up)
    return GroupedBlock(block, layout, scale_names, parts, pilot)


def _cell_of_group(
    bf: BlockFactor, laid: LaidRows, dims: tuple[str, ...], known: set[str], scales: set[str]
) -> Array | None:
    """Return the noise cell of every group; None where some row has that of another group, or of all."""
    p, groups = bf.precision, laid.layout.groups
    if laid.group is None or p.kind != "scalar":
        return None
    if p.latent is None:
        return np.zeros(groups, dtype=np.int64)
    if set(p.dims) != set(dims) or not p.latent.variables <= known | scales:
        return None
    shape = [bf.factor.sizes[d] for d in p.dims]
    order = [p.dims.index(d) for d in dims]
    cell = np.arange(p.cells).reshape(shape).transpose(order).reshape(-1)
    if cell.size != groups:
        return None
    here = p.framed_cell.reshape(p.framed_cell.shape or (1,))
    return cell if here is laid.group or (here == cell[laid.group]).all() else None


def _pilot(block: GaussianBlock, rows: list[LaidRows]) -> Array:
    """Return a fit of every group, all latent precisions at one: about it squares do not cancel."""
    groups, k = rows[0].layout.groups, rows[0].layout.width
    A, h = np.zeros((groups, k, k)), np.zeros((groups, k))
    for bf, laid in zip(block.factors, rows, strict=True):
        own, right, _ = group_sums(laid, bf.precision.framed_weight, None)
        A += own
        h += right
    size = np.diagonal(A, axis1=1, axis2=2)
    A = A + np.where(size > 0, 1e-10 * size, 1.0)[..., None] * np.eye(k)
    try:
        return np.asarray(np.linalg.solve(A, h[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.zeros((groups, k))


def _sums(bf: BlockFactor, laid: LaidRows, cell: Array, pilot: Array, env: Environment) -> GroupSums:
    """Sum one factor's rows by group."""
    p, groups = bf.precision, laid.layout.groups
    A, h, vv = group_sums(laid, p.framed_weight, pilot)
    assert laid.group is not None
    group = np.broadcast_to(laid.group, laid.shape).reshape(-1)
    often = None if p.multiplicity is None else p.multiplicity.reshape(-1)
    rows = np.bincount(group, often, groups).astype(float)
    if p.framed_weight.size == 1 and often is None:
        log_det = 0.5 * rows * float(np.log(p.framed_weight.item()))
    else:
        with np.errstate(all="ignore"):
            logs = 0.5 * np.log(p.weight) if often is None else 0.5 * often * np.log(p.weight / often)
        logs = logs if often is None else np.where(often > 0, logs, 0.0)
        log_det = np.bincount(group, logs, groups)
    if bf.factor.distribution.family == "LogNormal":
        value = np.broadcast_to(bf.factor.weighed(np.log(bf.factor.value_array(env)))[0], laid.shape)
        log_det = log_det - np.bincount(group, value.reshape(-1), groups)
    return GroupSums(A, h, vv, rows, log_det, bf if p.latent is not None else None, cell)
