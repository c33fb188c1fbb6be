"""The values of columns and observations, checked: numbers along their dims, labels as codes."""

from __future__ import annotations

import numpy as np

from bayeskit.model.batches import Batch
from bayeskit.model.checks import check_finite, check_numbers
from bayeskit.model.labels import encode
from bayeskit.model.reading import Given
from bayeskit.model.scanning import Scan, scan
from bayeskit.model.statements import DataColumn, IndexColumn, RandomVariable

Array = np.ndarray


def checked_column(local: Batch, column: DataColumn | IndexColumn, given: Given) -> Array:
    """Return the values of a column: numbers, or codes of its labels."""
    advice = "Missing numbers need a distribution: declare them with m.observed."
    if isinstance(column, IndexColumn):
        given = Given(encode(column.name, given.labels, local.labels[column.into]), given.dims, given.coords)
        advice = "Unknown labels need a prior: m.observed with bk.Categorical makes them latent."
    array = check_numbers(column.name, given, column.variable.dims, local)
    check_finite(column.name, array, scan(array), advice)
    return array


def checked_values(local: Batch, statement: RandomVariable, given: Given) -> tuple[Array, Array, Scan]:
    """Return what was observed, where nothing was, and what a look at every value found."""
    name, discrete = statement.name, statement.distribution.discrete
    array = check_numbers(name, _as_codes(local, statement, given), statement.dims, local)
    found = scan(array, discrete=discrete)
    if found.missing and not statement.observed:
        check_finite(name, array, found, "A latent is known as a whole or not at all.")
    check_finite(name, array, found, "Write a missing entry as NaN.", missing_allowed=True)
    open_ = np.isnan(array) if found.missing else np.zeros(array.shape, dtype=bool)
    return array if discrete else array.astype(float, copy=False), open_, found


def _as_codes(local: Batch, statement: RandomVariable, given: Given) -> Given:
    """Turn labels of a categorical variable into codes; where its dim has no labels they are codes already."""
    into = statement.variable.into
    if into is None or into not in local.labels:
        return given
    labels = local.labels[into]
    by_label = given.values.dtype.kind in "OU"
    if by_label or (labels.dtype.kind in "biu" and not np.array_equal(labels, np.arange(len(labels)))):
        return Given(encode(statement.name, given.labels, labels), given.dims, given.coords)
    return given
