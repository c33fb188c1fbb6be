r"""How a one-number density goes on beyond its last panel.

With d the distance from the last edge, D that of the edge from the peak, and the log density at the edge, one of

.. math:: -a d - \tfrac12 b d^2, \qquad -(k + 1) \log(1 + d / D)

is what it falls by: a line or a parabola, or a power. Which one, and its numbers, are read from the nodes of the last
panel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erfcx

from bayeskit.distributions.domains import Array

__all__ = ["Tail", "read_tail"]

_NEGLIGIBLE = 22.0  # nats below the peak; a density that ends above that ends at a wall
_STRAIGHT = 0.05  # change of the slope on the way to the peak, as a share, up to which it is a line
_EXACT = 1e-5  # to this share a slope is known
_GAP = 0.5 * (1.0 / 0.9894009349916499 - 1.0)  # from the last node to the edge, over the span of the 16 nodes


@dataclass(frozen=True, eq=False)
class Tail:
    """Lower tails of cells.

    Attributes
    ----------
    edge : ndarray
        Log density at the last edge, -inf where the density ends there.
    slope, bend : ndarray
        How fast the log density falls at the edge, and how much faster for every step further; the bend is never
        negative.
    reach : ndarray
        Distance of the edge from the peak.
    power : ndarray of bool
        Where the density is a power of the distance from the peak.
    """

    edge: Array
    slope: Array
    bend: Array
    reach: Array
    power: Array

    @property
    def order(self) -> Array:
        """Moments of the distance below this order are finite: k of a power, else infinite."""
        return np.where(self.power, self.slope * self.reach - 1.0, np.inf)

    @property
    def is_exponential(self) -> Array:
        """Where the log density falls along a line."""
        return ~self.power & (self.bend == 0) & (self.edge > -np.inf)

    @property
    def log_mass(self) -> Array:
        """Log of the probability beyond the edge."""
        return self._log_integral(self.edge, self.slope, self.bend, self.reach, self.power)

    @staticmethod
    def _log_integral(log_height: Array, slope: Array, bend: Array, reach: Array, power: Array) -> Array:
        """Log of what is beyond, inf where it has no end."""
        with np.errstate(all="ignore"):
            order = slope * reach - 1.0
            as_power = np.where(order > _EXACT, np.log(reach) - np.log(order), np.inf)
            as_line = np.where(slope > 0, -np.log(slope), np.inf)
            root = np.sqrt(2.0 * bend)
            as_parabola = np.log(0.5 * np.sqrt(2.0 * np.pi / bend)) + np.log(erfcx(slope / root))
            curved = bend > 1e-8 * slope * slope
            result = log_height + np.where(power, as_power, np.where(curved, as_parabola, as_line))
            return np.where(np.isneginf(log_height), -np.inf, result)

    def log_density_beyond(self, distance: Array, cell: Array) -> Array:
        """Log density at a distance beyond the edge."""
        edge, slope, bend, reach = (v[cell] for v in (self.edge, self.slope, self.bend, self.reach))
        with np.errstate(all="ignore"):
            line = slope * distance + 0.5 * bend * distance * distance
            fall = np.where(self.power[cell], slope * reach * np.log1p(distance / reach), line)
        return np.where(np.isneginf(edge) | np.isposinf(distance), -np.inf, edge - fall)

    def log_mass_beyond(self, distance: Array, cell: Array) -> Array:
        """Log of the probability beyond a distance from the edge."""
        slope, bend, reach, power = (v[cell] for v in (self.slope, self.bend, self.reach, self.power))
        # at the new place: a parabola is steeper, a power flatter
        with np.errstate(all="ignore"):
            steeper = np.where(power, slope * reach / (reach + distance), slope + bend * distance)
        return self._log_integral(self.log_density_beyond(distance, cell), steeper, bend, reach + distance, power)

    def distance_of(self, log_p: Array, cell: Array) -> Array:
        """Distance beyond the edge at which a log probability is left, up to the factors of a parabola's tail."""
        slope, bend, reach = (v[cell] for v in (self.slope, self.bend, self.reach))
        with np.errstate(all="ignore"):
            left = np.maximum(self.log_mass[cell] - log_p, 0.0)
            line = 2.0 * left / (slope + np.sqrt(slope * slope + 2.0 * bend * left))
            power = reach * np.expm1(left / (slope * reach - 1.0))
        return np.where(np.isneginf(self.edge[cell]), 0.0, np.where(self.power[cell], power, line))

    def expect_beyond(self, nodes: Array, values: Array) -> Array:
        """Return the share of an expectation that lies beyond the edge, from a function's values at the last nodes."""
        size = np.log(np.abs(values))
        outer, near, middle, inner = (0, len(nodes) // 4, len(nodes) // 2 - 1, -1)
        growth = (size[outer] - size[near]) / (nodes[near] - nodes[outer])
        before = (size[middle] - size[inner]) / (nodes[inner] - nodes[middle])
        known = np.isfinite(growth) & np.isfinite(before)
        growth, before = np.where(known, growth, 0.0), np.where(known, before, 0.0)
        net = self.slope - growth
        straight = self.is_exponential
        net = np.where(straight & (net <= _EXACT * self.slope), 0.0, net)
        at_edge = size[outer] + growth * _GAP * (nodes[inner] - nodes[outer])
        bend = np.where(straight, 0.0, self.bend)
        share = np.exp(self._log_integral(self.edge + at_edge, net, bend, self.reach, self.power))
        return np.where(values[outer] == 0, 0.0, np.sign(values[outer]) * share)


def read_tail(edge: Array, nodes: Array, log_values: Array, peak: Array, top: Array) -> Tail:
    """Read how densities go on below their first panel.

    Parameters
    ----------
    edge : ndarray
        The lower end of the first panel, ``(cells,)``.
    nodes, log_values : ndarray
        Nodes of that panel and log densities there, ``(order, cells)``.
    peak, top : ndarray
        Where the density is greatest, and its log there, ``(cells,)``.
    """
    outer, near, middle, inner = (0, len(nodes) // 4, len(nodes) // 2 - 1, -1)
    with np.errstate(all="ignore"):
        last = (log_values[near] - log_values[outer]) / (nodes[near] - nodes[outer])
        before = (log_values[inner] - log_values[middle]) / (nodes[inner] - nodes[middle])
        at_last, at_before = 0.5 * (nodes[near] + nodes[outer]), 0.5 * (nodes[inner] + nodes[middle])
        # how the slope depends on the distance from the peak: 1 for a normal, 0 for a line, -1 for a power
        exponent = np.log(last / before) / np.log((peak - at_last) / (peak - at_before))
        power = exponent < -0.75
        reach = np.maximum(peak - edge, 0.0)
        bend = np.maximum((last - before) / (at_before - at_last), 0.0)
        bend = np.where(power | (bend * reach <= _STRAIGHT * last), 0.0, bend)
        slope = np.where(power, last * (peak - at_last) / reach, last + bend * (at_last - edge))
        gap = nodes[outer] - edge
        fall = np.where(power, slope * reach * np.log(reach / (reach - gap)), slope * gap - 0.5 * bend * gap * gap)
        height = log_values[outer] - fall
        dead = ~(last > 0) | ~np.isfinite(last + before) | (log_values[outer] > top - _NEGLIGIBLE)
        bend = np.where(np.isfinite(bend), bend, 0.0)
    return Tail(
        np.where(dead, -np.inf, height), np.where(dead, np.inf, slope), np.where(dead, 0.0, bend), reach, power & ~dead
    )
