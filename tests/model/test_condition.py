"""Data meet a model: sizes, labels, missing entries, supports and parameters; every refusal in one sentence."""

import datetime as dt
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError, ParameterError, SupportError
from bayeskit.model.binding import bind, read
from tests.model.binding import problem_of, state_of


def arms(**kwargs):
    m = bk.Model(coords={"arm": ["A", "B"]} if not kwargs else kwargs)
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m


def labelled(values, labels, dim="arm"):
    return xr.DataArray(values, dims=dim, coords={dim: labels})


# ---- labels in and out ------------------------------------------------------------------------------------------
AS_GIVEN = {
    "list": lambda v: v,
    "array": np.array,
    "floats": lambda v: np.array(v, dtype=np.float32),
    "DataArray": lambda v: xr.DataArray(v, dims="arm"),
    "labelled DataArray": lambda v: labelled(v, ["A", "B"]),
    "in another order": lambda v: labelled(v[::-1], ["B", "A"]),
    "labelled Series": lambda v: pd.Series(v[::-1], index=["B", "A"]),
    "Series of a group-by": lambda v: pd.Series(v[::-1], index=pd.Index(["B", "A"], name="arm")),
    "plain Series": lambda v: pd.Series(v, index=[7, 3]),
    "masked array": lambda v: np.ma.array(v, mask=[False, False]),
    "tuple of NumPy numbers": lambda v: tuple(np.int16(x) for x in v),
    "objects": lambda v: np.array(v, dtype=object),
}


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_values_of_every_kind_match_by_label(kind):
    problem = problem_of(arms(), {"n": AS_GIVEN[kind]([100, 200]), "y": AS_GIVEN[kind]([5, 7])})
    np.testing.assert_array_equal(problem.env["n"], [[100, 200]])
    np.testing.assert_array_equal(problem.env["y"], [[5, 7]])
    assert problem.env["y"].dtype == np.int64
    assert problem.coords["arm"].tolist() == ["A", "B"]


@pytest.mark.parametrize("kind", ["plain", "dataset", "keywords"])
def test_where_values_come_from(kind):
    values = {"n": labelled([200, 100], ["B", "A"]), "y": labelled([7, 5], ["B", "A"])}
    m = arms()
    if kind == "keywords":
        problem = problem_of(m, None, **values)
    else:
        problem = problem_of(m, xr.Dataset(values | {"unrelated": 1.0}) if kind == "dataset" else values)
    np.testing.assert_array_equal(problem.env["n"], [[100, 200]])


def test_axes_are_matched_by_name():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1), dims="rat")
    m.observed("y", bk.Normal(mu, 1), dims=("rat", "week"))
    values = np.arange(6.0).reshape(3, 2)
    array = xr.DataArray(values.T, dims=("week", "rat"), coords={"rat": ["u", "v", "w"], "week": [8, 15]})
    problem = problem_of(m, {"y": array})
    np.testing.assert_array_equal(problem.env["y"], values[None])
    assert problem.coords["rat"].tolist() == ["u", "v", "w"]
    assert problem.coords["week"].tolist() == [8, 15]
    assert problem.latents["mu"].shape == (3,)


def test_labels_of_the_first_value_hold_for_the_others():
    problem = problem_of(arms(other=1), {"n": labelled([100, 200], ["A", "B"]), "y": labelled([7, 5], ["B", "A"])})
    np.testing.assert_array_equal(problem.env["y"], [[5, 7]])


def test_moments_as_labels_match_in_any_unit():
    days = pd.date_range("2024-01-01", periods=2)
    m = bk.Model(coords={"day": days})
    m.observed("y", bk.Normal(0, 1), dims="day")
    problem = problem_of(m, {"y": labelled([2.0, 1.0], days[::-1].to_numpy().astype("datetime64[D]"), "day")})
    np.testing.assert_array_equal(problem.env["y"], [[1.0, 2.0]])


def test_sizes_follow_from_data_parameters_and_joins():
    m = bk.Model()
    p = m.latent("p", bk.Dirichlet([1, 1, 1]), dims="k")
    b = m.latent("b", bk.Normal(xr.DataArray([0.0, 1.0], dims="free", coords={"free": ["u", "v"]}), 1), dims="free")
    m.observed("y", bk.Categorical(p), dims="obs")
    m.observed("choice", bk.Categorical(logit=bk.concat([0, b], dim="option")), dims="obs")
    problem = problem_of(m, {"y": [0, 1], "choice": [2, 0]})
    assert problem.sizes == {"k": 3, "free": 2, "obs": 2, "option": 3}
    assert problem.coords["free"].tolist() == ["u", "v"]


def test_arrays_written_into_the_model_match_by_label():
    known = labelled([10.0, 20.0], ["B", "A"])
    for mean in (lambda a: a + known, lambda a: np.subtract(known, -a)):
        m = bk.Model(coords={"arm": ["A", "B"]})
        a = m.latent("a", bk.Normal(0, 1), dims="arm")
        m.observed("y", bk.Normal(mean(a), 1), dims="arm")
        problem = problem_of(m, {"y": [20.0, 10.0]})
        got = problem.factors[1].total(problem.env | {"a": np.zeros((1, 2))})
        np.testing.assert_allclose(got, stats.norm.logpdf([0, 0]).sum())
    m = bk.Model(coords={"arm": ["A", "B"]})
    m.observed("y", bk.Normal(known, 1), dims="arm")
    np.testing.assert_allclose(problem_of(m, {"y": [20.0, 10.0]}).log_joint({}), stats.norm.logpdf([0, 0]).sum())


@pytest.mark.parametrize(
    ("labels", "data", "message"),
    [
        (
            ["A", "B"],
            {"n": [1, 2, 3], "y": [1, 1]},
            "The values of 'n' along 'arm' must be 2, one for each label. Got 3.",
        ),
        (None, {"n": [5, 5], "y": [1, 1, 1]}, "The values of 'y' along 'arm' must be 2, one for each label. Got 3."),
        (
            ["A", "B"],
            {"n": labelled([1, 2], ["A", "C"]), "y": [1, 1]},
            "'n' along 'arm' must be among 'A', 'B'. Got 'C'.",
        ),
        (["A", "B"], {"n": labelled([1], ["A"]), "y": [1, 1]}, "must cover every label. Got none for 'B'."),
        (["A", "B"], {"n": labelled([1, 2], ["A", "A"]), "y": [1, 1]}, "must be unique. Got 'A' twice."),
        (
            ["A", "B"],
            {"n": xr.DataArray([5, 5], dims="cell"), "y": [1, 1]},
            "dims of 'n' must be ('arm',). Got ('cell',).",
        ),
        (["A", "B"], {"n": 5, "y": [1, 1]}, "The values of 'n' must have dims ('arm',). Got an array of shape ()."),
        (["A", "B"], {"n": [[5, 5]], "y": [1, 1]}, "Got an array of shape (1, 2)."),
        (["A", "B"], {"n": [[5, 5], [5]], "y": [1, 1]}, "'n' must be a regular array. Got rows of different lengths."),
        (["A", "B"], {"n": [], "y": [1, 1]}, "The values of 'n' must not be empty. Got an array of shape (0,)."),
        (["A", "B"], {"n": ["5", "5"], "y": [1, 1]}, "The values of 'n' must be numbers. Got '5'."),
        (["A", "B"], {"n": [5, dt.date(2024, 1, 1)], "y": [1, 1]}, "must be numbers. Got datetime.date(2024, 1, 1)."),
        (
            ["A", "B"],
            {"n": np.array(["2024"], "M8[D]"), "y": [1, 1]},
            "must be numbers or labels. Got the type datetime64[D].",
        ),
        (["A", "B"], {"n": [5j, 1], "y": [1, 1]}, "must be numbers or labels. Got the type complex128."),
        (["A", "B"], {"n": [5, None], "y": [1, 1]}, "'n' must be finite. Got 1 of 2 that are NaN or infinite."),
        (["A", "B"], {"n": [5, np.inf], "y": [1, 1]}, "'n' must be finite. Got 1 of 2 that are infinite."),
        (["A", "B"], {"n": [5, 5], "y": [1, np.inf]}, "'y' must be finite. Got 1 of 2 that are infinite."),
        (["A", "B"], {"y": [1, 1]}, "The data 'n' must be given. Got 'y'. Add 'n' to the data, with dims ('arm',)."),
        (["A", "B"], {"n": [5, 5], "y": [1, 1], "m": 2}, "variables of the model: 'n', 'p', 'y'. Got 'm'."),
        (["A", "B"], {"n": [5, 5], "y": [1, 1], "yy": 2}, "Got 'yy'. Did you mean 'y'?"),
        (["A", "B"], {"n": [5, 5], "y": [1, 1], "p": [0.5, np.nan]}, "'p' must be finite. Got 1 of 2"),
        (["A", "B"], {"n": [5.5, 5], "y": [1, 1]}, "The parameter n = n of 'y' ~ Binomial must be a whole number"),
        (["A", "B"], np.zeros((2, 2)), "Data must be a mapping, an xarray.Dataset or an in-memory table"),
    ],
    ids=str,
)
def test_refused(labels, data, message):
    with pytest.raises((DataError, ParameterError)) as caught:
        problem_of(arms(**({"arm": labels} if labels else {"other": 1})), data)
    text = str(caught.value)
    assert message in text
    assert text.endswith((".", "?")) and ". " in text, text


def test_unknown_sizes_are_refused_with_advice():
    m = bk.Model()
    m.latent("a", bk.Normal(0, 1), dims="g")
    with pytest.raises(DataError, match=r"The size of the dim 'g' of 'a' must be known.*bk\.Model\(coords=\{\"g\""):
        problem_of(m, {})


@pytest.mark.parametrize(
    ("k", "message"),
    [(4, "The array written into 'p' must have 4 entries along 'k', one for each label. Got 3."),],
)  # fmt: skip
def test_arrays_of_the_wrong_size(k, message):
    m = bk.Model(coords={"k": k})
    m.latent("p", bk.Dirichlet([1, 1, 1]), dims="k")
    with pytest.raises(DataError) as caught:
        problem_of(m, {})
    assert message in str(caught.value)


def test_joins_of_the_wrong_size():
    m = bk.Model(coords={"k": 3, "free": 3})
    b = m.latent("b", bk.Normal(0, 1), dims="free")
    m.observed("y", bk.Categorical(logit=bk.concat([0, b], dim="k")), dims="obs")
    with pytest.raises(
        DataError, match=r"The dim 'k' of 'y' must have 3 entries, one for each label. Got 4 from bk.stack"
    ):
        problem_of(m, {"y": [0]})


# ---- which variables must be given ------------------------------------------------------------------------------
def two_observed():
    m = bk.Model()
    x = m.data("x", dims="obs")
    a = m.latent("a", bk.Normal(0, 1))
    y = m.observed("y", bk.Normal(a * x, 1), dims="obs")
    m.observed("w", bk.Normal(y, 1), dims="obs")
    m.derived("double", 2 * a)
    m.derived("of_y", y + a)
    return m


def test_all_observations_or_none():
    with pytest.raises(DataError, match=r"The observed variable 'w' must have data. Got data for 'y' alone."):
        problem_of(two_observed(), {"x": [1.0], "y": [1.0]})


def test_no_data_is_the_prior():
    problem = problem_of(two_observed(), {})
    assert [f.name for f in problem.factors] == ["a"]
    assert list(problem.derived) == ["double"]
    assert problem.observations == ()


def test_observed_variables_without_data_may_be_drawn():
    m = two_observed()
    given = read(m, {"x": [1.0, 2.0]}, {})
    problem = bind(m, [given], draw_observed=True)
    assert {n: latent.shape for n, latent in problem.latents.items()} == {"a": (), "y": (2,), "w": (2,)}
    wider = bind(
        m, [given | read(m, {"y": [0.0, 1.0], "w": [0.0, 1.0]}, {}), read(m, {"x": [3.0]}, {})], draw_observed=True
    )
    assert {n: latent.shape for n, latent in wider.latents.items()} == {"a": (), "y@1": (1,), "w@1": (1,)}
    assert [str(p) for p in wider.latents["w@1"].prior.parameters] == ["y", "1"]
    assert wider.latents["w@1"].prior.parents == {"y@1"}


def test_an_observed_variable_is_a_parent_like_any_other():
    problem = problem_of(two_observed(), {"x": [1.0, 2.0], "y": [1.0, 3.0], "w": [2.0, 2.0]})
    state = {"a": np.array([0.5])}
    wanted = (
        stats.norm.logpdf(0.5) + stats.norm.logpdf([1, 3], [0.5, 1]).sum() + stats.norm.logpdf([2, 2], [1, 3]).sum()
    )
    np.testing.assert_allclose(problem.log_joint(state), wanted)
    assert list(problem.derived) == ["double", "of_y"]


def test_a_latent_may_be_given():
    m = arms()
    problem = problem_of(m, {"n": [10, 10], "y": [1, 2], "p": [0.1, 0.2]})
    assert problem.latents == {}
    wanted = stats.binom.logpmf([1, 2], 10, [0.1, 0.2]).sum()
    np.testing.assert_allclose(problem.log_joint({}), wanted)
    with pytest.raises(SupportError, match=r"'p' ~ Beta\(1, 1\) must lie in 0..1. Got 1.2 at arm='B'."):
        problem_of(m, {"n": [10, 10], "y": [1, 2], "p": [0.1, 1.2]})


def test_data_are_copied():
    y = np.array([1.0, 2.0])
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="obs")
    problem = problem_of(m, {"y": y})
    y[:] = 100
    np.testing.assert_array_equal(problem.env["y"], [[1.0, 2.0]])


def test_whole_numbers_for_a_continuous_variable():
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="obs")
    problem = problem_of(m, {"y": [True, False]})
    assert problem.env["y"].dtype == float


# ---- indices and categories -------------------------------------------------------------------------------------
def grouped(coords=None):
    m = bk.Model(coords=coords)
    g = m.index("g", dims="obs")
    a = m.latent("a", bk.Normal(0, 1), dims="g")
    m.observed("y", bk.Normal(a[g], 1), dims="obs")
    return m


@pytest.mark.parametrize(
    ("column", "labels", "codes"),
    [
        (["v", "u", "v"], ["u", "v"], [1, 0, 1]),
        (np.array(["v", "u", "v"]), ["u", "v"], [1, 0, 1]),
        (np.array(["v", "u", "v"], dtype=object), ["u", "v"], [1, 0, 1]),
        (["01", "1", "01"], ["01", "1"], [0, 1, 0]),
        ([30, 10, 30], [10, 30], [1, 0, 1]),
        ([30.0, 10.0, 30.0], [10, 30], [1, 0, 1]),
        ([0.5, 0.25, 0.5], [0.25, 0.5], [1, 0, 1]),
        ([True, False, True], [False, True], [1, 0, 1]),
        (["u", 7, "u"], [7, "u"], [1, 0, 1]),
        (pd.Series(["v", "u", "v"], dtype="category"), ["u", "v"], [1, 0, 1]),
        (pd.Series(["v", "u", "v"], dtype="string"), ["u", "v"], [1, 0, 1]),
        ([dt.date(2024, 1, 2), dt.date(2024, 1, 1)] * 2, [dt.date(2024, 1, 1), dt.date(2024, 1, 2)], [1, 0, 1, 0]),
    ],
    ids=str,
)
def test_index_columns(column, labels, codes):
    problem = problem_of(grouped(), {"g": column, "y": np.zeros(len(codes))})
    assert problem.coords["g"].tolist() == labels
    np.testing.assert_array_equal(problem.env["g"], [codes])
    assert problem.env["g"].dtype == np.int64


def test_index_columns_into_labels_of_the_model():
    problem = problem_of(grouped({"g": ["v", "u", "w"]}), {"g": ["u", "v"], "y": [0.0, 0]})
    np.testing.assert_array_equal(problem.env["g"], [[1, 0]])
    assert problem.latents["a"].shape == (3,)


@pytest.mark.parametrize(
    ("coords", "column", "message"),
    [
        ({"g": ["u", "v"]}, ["u", "x"], "The labels in 'g' must be among 'u', 'v'. Got 'x'."),
        ({"g": 2}, [0, 2], "The labels in 'g' must be among 0, 1. Got 2."),
        ({"g": 20}, ["u", "v"], "must be among 0, 1, 2, 3, 4, 5, 6, 7 .... Got 'u'."),
        (None, ["u", None], "must be finite. Got 1 of 2 that are NaN or infinite. Unknown labels need a prior"),
        (None, ["u", float("nan")], "Got 1 of 2 that are NaN"),
        (None, [1.0, np.nan], "Got 1 of 2 that are NaN"),
        (None, [None, None], "The values of 'g' must be finite. Got 2 of 2"),
        (None, [["u", "v"]], "The values of 'g' must have dims ('obs',). Got an array of shape (1, 2)."),
    ],
    ids=str,
)  # fmt: skip
def test_index_columns_refused(coords, column, message):
    with pytest.raises(DataError) as caught:
        problem_of(grouped(coords), {"g": column, "y": [0.0, 0.0]})
    assert message in str(caught.value)


@pytest.mark.parametrize(("home", "away"), [(["x", "z"], ["y", "x"]), ([30, 50], [40, 30])])
def test_two_columns_into_one_dim(home, away):
    m = bk.Model()
    h, a = m.index("home", dims="game", into="team"), m.index("away", dims="game", into="team")
    skill = m.latent("skill", bk.Normal(0, 1), dims="team")
    m.observed("goals", bk.Normal(skill[h] - skill[a], 1), dims="game")
    problem = problem_of(m, {"home": home, "away": away, "goals": [1.0, 2.0]})
    assert problem.coords["team"].tolist() == sorted({*home, *away})
    np.testing.assert_array_equal(problem.env["home"], [[0, 2]])
    np.testing.assert_array_equal(problem.env["away"], [[1, 0]])


def categories(**coords):
    m = bk.Model(coords=coords)
    p = m.latent("p", bk.Dirichlet([1, 1, 1]), dims="k")
    a = m.latent("a", bk.Normal(0, 1), dims="k")
    z = m.observed("z", bk.Categorical(p), dims="obs")
    m.observed("y", bk.Normal(a[z], 1), dims="obs")
    return m


@pytest.mark.parametrize(
    ("coords", "values", "codes"),
    [
        ({"k": ["r", "s", "t"]}, ["t", "r", "s"], [2, 0, 1]),
        ({"k": ["r", "s", "t"]}, [2, 0, 1], [2, 0, 1]),
        ({"k": [10, 20, 30]}, [30, 10, 20], [2, 0, 1]),
        ({"k": 3}, [2, 0, 1], [2, 0, 1]),
        ({}, [2, 0, 1], [2, 0, 1]),
        ({}, ["t", "r", "s"], [2, 0, 1]),
    ],
    ids=str,
)
def test_categories_by_label_and_by_code(coords, values, codes):
    problem = problem_of(categories(**coords), {"z": values, "y": [0.0, 0.0, 0.0]})
    np.testing.assert_array_equal(problem.env["z"], [codes])


def test_categories_with_unknown_entries():
    problem = problem_of(categories(k=["r", "s", "t"]), {"z": ["t", None, "s"], "y": [0.0, 1.0, 2.0]})
    latent = problem.latents["z_missing"]
    assert (latent.shape, latent.variable.integer, latent.variable.into) == ((1,), True, "k")
    p, a = np.array([[0.2, 0.3, 0.5]]), np.array([[1.0, 2.0, 3.0]])
    got = problem.log_joint({"p": p, "a": a, "z_missing": np.array([[0]])})
    wanted = stats.dirichlet.logpdf(p[0], [1, 1, 1]) + stats.norm.logpdf(a).sum() + np.log([0.5, 0.2, 0.3]).sum()
    np.testing.assert_allclose(got, wanted + stats.norm.logpdf([0, 1, 2], [3, 1, 2]).sum())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["t", "q", "r"], "The labels in 'z' must be among 'r', 's', 't'. Got 'q'."),
        ([0, 3, 1], "must lie in 0..K-1, where K is the number of categories. Got 3 at obs=1, where K is 3."),
        ([0, -1, 1], "Got -1 at obs=1, where K is 3."),
    ],
    ids=str,
)
def test_categories_refused(values, message):
    with pytest.raises(DataError) as caught:
        problem = problem_of(categories(k=["r", "s", "t"]), {"z": values, "y": [0.0, 0.0, 0.0]})
        problem.log_joint(state_of(problem, p=np.full((2, 3), 1 / 3)))
    assert message in str(caught.value)


@pytest.mark.parametrize(("column", "got"), [([0, 3], "3"), ([-1, 0], "-1"), ([0.5, 0], "0.5")])
def test_data_as_an_index(column, got):
    m = bk.Model(coords={"g": 3})
    i, a = m.data("i", dims="obs"), m.latent("a", bk.Normal(0, 1), dims="g")
    m.observed("y", bk.Normal(a[i], 1), dims="obs")
    m.derived("last", a[i])
    assert problem_of(m, {"i": [2.0, 0.0], "y": [0.0, 0.0]}).env["i"].tolist() == [[2, 0]]
    with pytest.raises(DataError, match=rf"The index 'i' of 'a' in 'y' must be whole numbers in 0\.\.2 .*Got {got}\."):
        problem_of(m, {"i": column, "y": [0.0, 0.0]})


def test_an_index_out_of_range_in_a_derived_quantity():
    m = bk.Model(coords={"g": 3})
    m.derived("fourth", m.latent("a", bk.Normal(0, 1), dims="g")[3])
    with pytest.raises(DataError, match=r"The index '3' of 'a' in 'fourth' must be whole numbers in 0..2"):
        problem_of(m, {})


# ---- speed ------------------------------------------------------------------------------------------------------
def test_large_arrays_are_not_copied_and_small_ones_are():
    m = bk.Model()
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1), dims="obs")
    for n, shared in ((1000, False), (200_000, True)):
        y = np.arange(float(n))
        kept = problem_of(m, {"y": y}).env["y"]
        assert np.shares_memory(kept, y) == shared
        assert kept.flags.writeable != shared
        assert y.flags.writeable


def test_labels_that_nobody_asks_for_are_not_made():
    m = bk.Model()
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1), dims="obs")
    y = np.zeros(3_000_000)
    tracemalloc.start()
    posterior = m.condition({"y": y})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * y.size + 3e6  # where nothing is missing is marked by a byte a row
    assert posterior._problem.sizes["obs"] == len(posterior._problem.coords["obs"]) == y.size


def test_binding_is_quick():
    """Bounds three times what is asked of an idle machine."""
    m = bk.Model()
    x = m.data("x", dims="week")
    a, b = m.latent("a", bk.Normal(0, 1), dims="rat"), m.latent("b", bk.Normal(0, 1), dims="rat")
    m.observed("y", bk.Normal(a + b * x, 1), dims=("rat", "week"))
    rats = {"x": np.arange(5.0), "y": np.zeros((30, 5))}
    cells = {"n": np.full(1_000_000, 10), "y": np.arange(1_000_000) % 11}
    rows = {"g": [f"k{i % 1000}" for i in range(300_000)], "y": np.zeros(300_000)}
    for model, data, limit in ((m, rats, 0.015), (arms(other=1), cells, 3.0), (grouped(), rows, 3.0)):
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            problem_of(model, data)
            spent.append(time.perf_counter() - start)
        assert min(spent) < limit
