"""Statistics say what the rows say: conditioned on, merged in any order, taken out, discounted."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError
from bayeskit.statistics import storage
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


# ---- files ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "ending"),
    [(n, ".json") for n in CASES] + [(n, ".nc") for n in ("two_indices", "regression", "prior_columns", "vectors")],
)
def test_a_file_gives_back_the_same_statistics(tmp_path, name, ending):
    m, data = made(name)
    statistics = m.summarize(data)
    statistics.save(tmp_path / f"file{ending}")
    again, _ = made(name)  # the model of another session
    found = bk.SufficientStatistics.load(tmp_path / f"file{ending}", again)
    assert repr(found) == repr(statistics)
    a, b = m.condition(statistics)._problem, again.condition(found)._problem
    state = states(a)
    np.testing.assert_array_equal(b.log_joint(state), a.log_joint(state))
    assert (statistics + found).rows == {n: 2 * r for n, r in statistics.rows.items()}


def shop(likelihood=bk.Normal, dims="obs", into="county", written=2.0):
    m = bk.Model()
    county = m.index("county", dims="obs") if into == "county" else m.index("county", dims="obs", into=into)
    a = m.latent("a", bk.Normal(0, written), dims=into)
    m.observed("y", likelihood(a[county], 1.0), dims=dims)
    return m


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (shop(bk.Laplace), r"for 'y', where the model has 'y.obs. ~ Laplace.a.county., 1.0.'"),
        (shop(into="place"), "'county', where the model has 'county.obs. is an index into place'"),
        (bk.Model(), "for 'y', where the model has 'nothing'"),
    ],
)
def test_a_file_of_another_likelihood_is_refused_by_name(tmp_path, other, text):
    path = tmp_path / "file.json"
    statistics = shop().summarize({"county": ["a", "b"], "y": [1.0, 2.0]})
    statistics.save(path)
    with pytest.raises(DataError, match=text):
        bk.SufficientStatistics.load(path, other)
    with pytest.raises(DataError, match=text):
        other.condition(statistics)


def test_the_priors_may_be_others(tmp_path):
    data = {"county": ["a", "b"], "y": [1.0, 2.0]}
    shop().summarize(data).save(tmp_path / "file.nc")
    other = shop(written=7.0)
    found = other.condition(bk.SufficientStatistics.load(tmp_path / "file.nc", other))["a"]
    np.testing.assert_allclose(found.mean(), other.condition(data)["a"].mean(), rtol=1e-13)


def test_a_file_of_something_else_is_refused(tmp_path):
    storage.write(tmp_path / "file.json", {"kind": "posterior"}, {})
    with pytest.raises(DataError, match=r"must hold sufficient statistics. Got 'posterior'"):
        bk.SufficientStatistics.load(tmp_path / "file.json", shop())


@pytest.mark.parametrize(
    "labels",
    [["2024-01-01", "2024-01-02T10:00"], ["Zürich", "Bern"], [3, 1], [1.5, 0.5]],
    ids=["dates", "text", "whole", "floats"],
)
def test_labels_of_every_kind_come_back(tmp_path, labels):
    import xarray as xr

    if isinstance(labels[0], str) and labels[0][0] == "2":
        labels = np.array(labels, dtype="datetime64[us]")
    m = bk.Model()
    m.observed("y", bk.Poisson(m.latent("lam", bk.Gamma(2, 1), dims="day")), dims="day")
    data = {"y": xr.DataArray([3, 4], dims="day", coords={"day": labels})}
    m.summarize(data).save(tmp_path / "file.nc")
    found = m.condition(bk.SufficientStatistics.load(tmp_path / "file.nc", m))["lam"].mean()
    assert found.day.values.tolist() == np.asarray(labels).tolist()
    np.testing.assert_array_equal(found, [5 / 2, 6 / 2])
