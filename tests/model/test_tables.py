"""Tables of pandas, polars and pyarrow: columns by name, labels, unknown entries."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayeskit as bk
from bayeskit.errors import DataError
from tests.model.binding import problem_of

ENGINES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table, "mapping": dict}
COLUMNS = {
    "county": ["b", "a", "b", "c"], "floor": [0, 1, 1, 0], "radon": [1.5, 2.5, None, 0.5],
    "basement": [True, False, True, True], "note": ["x", None, "y", "z"],
    "day": [dt.datetime(2024, 1, d) for d in (1, 2, 3, 4)],
}  # fmt: skip


def radon(*, noted=False):
    m = bk.Model()
    county, floor = m.index("county", dims="obs"), m.data("floor", dims="obs")
    basement = m.data("basement", dims="obs")
    a = m.latent("a", bk.Normal(0, 1), dims="county")
    m.observed("radon", bk.Normal(a[county] + floor * 2.0 + basement, 1), dims="obs")
    if noted:
        m.latent("b", bk.Normal(0, 1), dims="note")
        m.index("note", dims="obs")
    return m


@pytest.mark.parametrize("engine", ["pandas", "polars", "pyarrow"])
def test_a_table(engine):
    problem = problem_of(radon(), ENGINES[engine](COLUMNS))
    assert problem.coords["county"].tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(problem.env["county"], [[1, 0, 1, 2]])
    np.testing.assert_array_equal(problem.env["floor"], [[0, 1, 1, 0]])
    np.testing.assert_array_equal(problem.env["basement"], [[1, 0, 1, 1]])
    (observation,) = problem.observations
    np.testing.assert_array_equal(observation.values, [1.5, 2.5, np.nan, 0.5])
    assert problem.latents["radon_missing"].shape == (1,)


@pytest.mark.parametrize("engine", ENGINES)
def test_unknown_labels_are_refused(engine):
    with pytest.raises(DataError, match=r"'note' must be finite. Got 1 of 4 that are NaN"):
        columns = {n: v for n, v in COLUMNS.items() if n != "day"} if engine == "mapping" else COLUMNS
        problem_of(radon(noted=True), ENGINES[engine](columns))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, 2, None], [1, 2, np.nan]),
        ([True, None, False], [1, np.nan, 0]),
        ([0.5, float("nan"), 2.0], [0.5, np.nan, 2.0]),
        ([None, None, 1.0], [np.nan, np.nan, 1.0]),
    ],
    ids=str,
)
def test_unknown_numbers(engine, values, wanted):
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="obs")
    (observation,) = problem_of(m, ENGINES[engine]({"y": values})).observations
    np.testing.assert_array_equal(observation.values, wanted)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "int8", "uint8", "Int32[pyarrow]", "float32"])
def test_nullable_types_of_pandas(dtype):
    values = pd.array([1, 0, 1], dtype=dtype)
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="obs")
    np.testing.assert_array_equal(problem_of(m, pd.DataFrame({"y": values})).env["y"], [[1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(problem_of(m, {"y": pd.Series(values)}).env["y"], [[1.0, 0.0, 1.0]])
    if dtype[0].isupper():
        values = pd.array([1, None, 1], dtype=dtype)
        for data in (pd.DataFrame({"y": values}), {"y": pd.Series(values)}):
            np.testing.assert_array_equal(problem_of(m, data).observations[0].values, [1.0, np.nan, 1.0])


@pytest.mark.parametrize("engine", ["pandas", "polars"])
def test_categorical_columns(engine):
    column = {
        "pandas": lambda v: pd.DataFrame({"g": pd.Categorical(v, ["v", "u", "w"])}),
        "polars": lambda v: pl.DataFrame({"g": pl.Series(v, dtype=pl.Enum(["v", "u", "w"]))}),
    }[engine](["u", "v", "u"])
    m = bk.Model()
    g = m.index("g", dims="obs")
    a = m.latent("a", bk.Normal(0, 1), dims="g")
    m.observed("y", bk.Normal(a[g], 1), dims="obs")
    problem = problem_of(m, column, y=[0.0, 1.0, 2.0])
    assert problem.coords["g"].tolist() == ["u", "v"]
    np.testing.assert_array_equal(problem.env["g"], [[0, 1, 0]])


@pytest.mark.parametrize("engine", ENGINES)
def test_codes_with_leading_zeros_stay_strings(engine):
    m = bk.Model()
    g = m.index("fips", dims="obs")
    a = m.latent("a", bk.Normal(0, 1), dims="fips")
    m.observed("y", bk.Normal(a[g], 1), dims="obs")
    problem = problem_of(m, ENGINES[engine]({"fips": ["01001", "1001", "01001"], "y": [0.0, 1.0, 2.0]}))
    assert problem.coords["fips"].tolist() == ["01001", "1001"]


def test_columns_of_several_dims_come_beside_the_table():
    m = bk.Model()
    x, u = m.data("x", dims="obs"), m.data("u", dims="group")
    m.observed("y", bk.Normal(x * u[{"group": 0}], 1), dims="obs")
    problem = problem_of(m, pd.DataFrame({"x": [1.0, 2.0], "y": [0.0, 0.0]}), u=[3.0, 4.0, 5.0])
    assert problem.sizes == {"obs": 2, "group": 3}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            pl.LazyFrame(COLUMNS),
            "in-memory table of pandas, polars or pyarrow. Got LazyFrame. Collect a lazy table first",
        ),
        ([1, 2, 3], "Got list."),
        (3.0, "Got float."),
        (
            pd.DataFrame(COLUMNS).drop(columns="floor"),
            "The data 'floor' must be given. Got 'basement', 'county', 'radon'.",
        ),
        (pd.DataFrame(COLUMNS).iloc[:0], "must not be empty"),
        (pd.DataFrame(COLUMNS).assign(floor=COLUMNS["day"]), "The values of 'floor' must be numbers"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_tables_refused(data, message):
    with pytest.raises(DataError) as caught:
        problem_of(radon(), data)
    assert message in str(caught.value)
