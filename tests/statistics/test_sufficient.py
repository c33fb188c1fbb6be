"""Statistics say what the rows say: conditioned on, merged in any order, taken out, discounted."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import RefusedError
from tests.statistics.summary_cases import CASES, made, states


@pytest.mark.parametrize("name", CASES)
def test_the_joint_density_is_that_of_the_rows(name):
    m, data = made(name)
    rows, cells = m.condition(data), m.condition(m.summarize(data))
    state = states(rows._problem)
    np.testing.assert_allclose(cells._problem.log_joint(state), rows._problem.log_joint(state), rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_the_posterior_is_that_of_the_rows(name):
    m, data = made(name)
    rows, cells = m.condition(data), m.condition(m.summarize(data))
    assert cells.explain().split("\n")[0] == rows.explain().split("\n")[0]
    if rows.is_exact:
        assert cells.log_evidence() == pytest.approx(rows.log_evidence(), rel=1e-10)
    for n in rows._problem.latents:
        try:
            one = rows[n]
        except RefusedError:
            continue
        for figure in ("mean", "sd"):
            a, b = (getattr(p, figure)().values for p in (one, cells[n]))
            np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-10)
