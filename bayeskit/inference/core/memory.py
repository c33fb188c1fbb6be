"""Memory that proposals in bulk work in stays with the process.

A page that was handed back to the system and is asked for again costs as much time as a hundred logarithms: to
tens of thousands of proposals, worked on in arrays of a megabyte, a tenth of all. The allocator of the GNU C library
hands back what is free at the end of its heap beyond twice the largest block that it has seen mapped and freed
(``M_TRIM_THRESHOLD`` of mallopt(3)), but never keeps more than 64 MB by that rule. Elsewhere this does nothing.
"""

from __future__ import annotations

import numpy as np

__all__ = ["keep_pages"]

_BLOCK = 2_000_000  # numbers: 16 MB, so that 32 MB are kept


def keep_pages() -> None:
    """Let the allocator keep some memory; the block itself is never touched, so that it costs no page."""
    np.empty(_BLOCK)
