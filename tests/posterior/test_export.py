"""Export to DataTree and summary tables: shapes, labels, attributes, refusals, speed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit._version import __version__
from bayeskit.errors import DataError, ModelError
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.files import as_counts, storable_attribute, storable_labels, storable_values
from bayeskit.posterior.summary import exact_figures, exact_summary, merged_summary, row_labels, sampled_summary

RNG = np.random.default_rng(7)
DRAWS = RNG.standard_normal((4, 50, 3, 2))


def tree_of(group="posterior", *, coords=None, **variables):
    return build_datatree({group: variables}, coords=coords)


# --- the tree --------------------------------------------------------------------------------------------------------


def test_equals_from_dict_where_that_is_right():
    import arviz_base

    coords = {"school": ["a", "b", "c"], "arm": [10, 20]}
    values = {"mu": DRAWS[..., 0, 0], "theta": DRAWS[..., 0], "gamma": DRAWS}
    dims = {"theta": ["school"], "gamma": ["school", "arm"], "y": ["school"]}
    ours = build_datatree(
        {
            "posterior": {name: (dims.get(name, ()), value) for name, value in values.items()},
            "observed_data": {"y": ("school", np.arange(3.0))},
        },
        coords=coords,
    )
    theirs = arviz_base.from_dict(
        {"posterior": values, "observed_data": {"y": np.arange(3.0)}}, coords=coords, dims=dims
    )
    for group in ("posterior", "observed_data"):
        xr.testing.assert_identical(ours[group].to_dataset().drop_attrs(), theirs[group].to_dataset().drop_attrs())
    assert theirs["posterior"].attrs.keys() <= ours["posterior"].attrs.keys()
    assert ours["posterior"].attrs["sample_dims"] == theirs["posterior"].attrs["sample_dims"]


def test_draws_are_not_copied():
    tree = tree_of(gamma=(("school", "arm"), DRAWS))
    assert np.shares_memory(tree["posterior"]["gamma"].values, DRAWS)


def test_every_dim_has_coordinates_and_a_matrix_bears_its_labels_twice():
    square = DRAWS[..., :2, :]
    tree = tree_of(cov=(("axis", "axis_"), square), same=(("axis", "axis"), square), coords={"axis": ["x", "y"]})
    posterior = tree["posterior"]
    assert posterior["cov"].dims == posterior["same"].dims == ("chain", "draw", "axis", "axis_")
    assert list(posterior["axis_"].values) == ["x", "y"]
    bare = tree_of(gamma=(("school", "arm"), DRAWS))["posterior"]
    assert {name: list(bare[name].values)[:3] for name in ("chain", "school", "arm")} == {
        "chain": [0, 1, 2],
        "school": [0, 1, 2],
        "arm": [0, 1],
    }


def test_a_dim_that_only_looks_like_a_second_axis():
    posterior = tree_of(gamma=(("arm_", "arm"), DRAWS), coords={"arm": ["a", "b"]})["posterior"]
    assert list(posterior["arm_"].values) == [0, 1, 2]


def test_groups_have_draws_of_their_own():
    tree = build_datatree({"posterior": {"mu": ((), DRAWS[..., 0, 0])}, "prior": {"mu": ((), np.zeros((1, 7)))}})
    assert dict(tree["prior"].sizes) == {"chain": 1, "draw": 7}
    assert dict(tree["posterior"].sizes) == {"chain": 4, "draw": 50}


def test_log_prior_of_a_vector_is_one_number_a_draw():
    # `from_dict` applies the dims of "theta" to this group and raises
    groups = {"posterior": {"theta": ("school", DRAWS[..., 0])}, "log_prior": {"theta": ((), DRAWS[..., 0, 0])}}
    assert build_datatree(groups)["log_prior"]["theta"].dims == ("chain", "draw")


def test_only_the_three_data_groups_lack_draws():
    data = {"x": ("obs", np.arange(4.0)), "scale": ((), 2.0)}
    names = ("observed_data", "constant_data", "predictions_constant_data")
    tree = build_datatree(dict.fromkeys(names, data) | {"data_level": {"mu": ((), DRAWS[..., 0, 0])}})
    for name in names:
        assert tree[name]["x"].dims == ("obs",)
        assert tree[name]["scale"].dims == ()
        assert "sample_dims" not in tree[name].attrs
    assert tree["data_level"]["mu"].dims == ("chain", "draw")


def test_warmup_is_kept():
    assert "warmup_posterior" in build_datatree({"warmup_posterior": {"mu": ((), DRAWS[..., 0, 0])}})


def test_auxiliary_coordinates_go_where_their_dims_are():
    coords = {
        "school": ["a", "b", "c"],
        "y_missing_cell": range(3),
        "y_missing_school": ("y_missing_cell", ["a", "a", "c"]),
        "y_missing_when": (("y_missing_cell",), np.array(["2020-01-01"] * 3, "M8[ns]")),
        "table": (("school", "arm"), np.arange(6).reshape(3, 2)),
        "unused": ["z"],
    }
    groups = {
        "posterior": {"y_missing": ("y_missing_cell", DRAWS[..., 0]), "theta": (("school", "arm"), DRAWS)},
        "prior": {"theta": ("school", DRAWS[..., 0])},
    }
    tree = build_datatree(groups, coords=coords)
    assert list(tree["posterior"]["y_missing"].coords["y_missing_school"].values) == ["a", "a", "c"]
    assert tree["posterior"].coords["table"].dims == ("school", "arm")
    assert set(tree["prior"].coords) == {"chain", "draw", "school"}


def test_predictions_have_labels_of_their_own():
    tree = build_datatree(
        {
            "posterior_predictive": {"y": ("obs", DRAWS[..., 0])},
            "predictions": {"y": ("obs", DRAWS[..., 0, :])},
            "predictions_constant_data": {"x": ("obs", [0.5, 1.5])},
        },
        coords={"obs": ["a", "b", "c"]},
        pred_coords={"obs": ["d", "e"]},
    )
    assert list(tree["posterior_predictive"]["obs"].values) == ["a", "b", "c"]
    assert (
        list(tree["predictions"]["obs"].values) == list(tree["predictions_constant_data"]["obs"].values) == ["d", "e"]
    )


def test_dtypes():
    flags = DRAWS[..., 0, 0] > 0
    tree = build_datatree(
        {
            "posterior": {
                "z": ((), flags),
                "k": ((), flags.astype(np.uint8)),
                "w": ((), DRAWS[..., 0, 0].astype("f4")),
            },
            "sample_stats": {"accepted": ((), flags)},
            "observed_data": {"y": ("obs", [True, False]), "n": ("obs", np.array([3, 4], np.int32))},
        }
    )
    assert {name: str(variable.dtype) for name, variable in tree["posterior"].data_vars.items()} == {
        "z": "int64",
        "k": "int64",
        "w": "float32",
    }
    assert tree["sample_stats"]["accepted"].dtype == bool
    assert tree["observed_data"]["y"].dtype == tree["observed_data"]["n"].dtype == np.int64


def test_attributes():
    tree = build_datatree(
        {
            "posterior": {"mu": ((), DRAWS[..., 0, 0]), "tau": ((), DRAWS[..., 0, 1])},
            "observed_data": {"y": ("obs", [1.0])},
        },
        attrs={
            "posterior": {"sampling_time": np.float64(1.5), "seed": None, "sampled_variables": ["tau"], "exact": False},
            "/": {"blocks": {"tau": ["slice", None]}},
        },
        name="schools",
    )
    posterior = tree["posterior"].attrs
    assert posterior["creation_library"] == posterior["inference_library"] == "bayeskit"
    assert posterior["creation_library_language"] == "Python"
    assert posterior["creation_library_version"] == posterior["inference_library_version"] == __version__
    assert posterior["sampled_variables"] == ["tau"]
    assert (posterior["sampling_time"], posterior["seed"], posterior["exact"]) == (1.5, "None", 0)
    assert type(posterior["sampling_time"]) is float
    assert json.loads(tree.attrs["blocks"]) == {"tau": ["slice", None]}
    assert tree.name == tree.attrs["name"] == "schools"
    assert {node.attrs["created_at"] for node in tree.subtree} == {tree.attrs["created_at"]}


def test_an_empty_tree_and_an_empty_group():
    tree = build_datatree({"posterior": {}})
    assert len(tree["posterior"].data_vars) == 0
    assert tree_of(theta=("school", np.empty((4, 5, 0))), coords={"school": []})["posterior"].sizes["school"] == 0


@pytest.mark.parametrize(
    ("groups", "coords", "error", "words"),
    [
        ({"posterior": {"school": ("school", DRAWS[..., 0])}}, None, ModelError, "'school' in the group 'posterior'"),
        ({"posterior": {"draw": ((), DRAWS[..., 0, 0])}}, None, ModelError, "reserved name"),
        ({"posterior": {"a/b": ((), DRAWS[..., 0, 0])}}, None, ModelError, "must not hold a '/'"),
        ({"posterior": {"mu": ("sample", DRAWS[..., 0])}}, None, ModelError, "ArviZ reserves"),
        ({"posterior": {"mu": ((), DRAWS[..., 0])}}, None, DataError, "one axis for each of the dims"),
        ({"posterior": {"mu": ((), 1.0)}}, None, DataError, "Got an array of shape ()"),
        ({"posterior": {"a": ("k", DRAWS[..., 0]), "b": ("k", DRAWS[..., 0, :])}}, None, DataError, "must have size 3"),
        ({"posterior": {"a": ((), DRAWS[..., 0, 0]), "b": ((), np.ones((4, 9)))}}, None, DataError, "'draw' of 'b'"),
        ({"posterior": {"a": ("k", DRAWS[..., 0])}}, {"k": ["x"]}, DataError, "Got 1 labels"),
        ({"posterior": {"a": ("k", DRAWS[..., 0])}}, {"m": ("k", ["x"])}, DataError, "'m' must have the shape"),
        ({"posterior": {"m": ("k", DRAWS[..., 0])}}, {"m": ("k", [1, 2, 3])}, ModelError, "a dim or coordinate"),
        (
            {"posterior": {"a": (("k", "m"), DRAWS)}},
            {"m": ("k", [1, 2, 3])},
            ModelError,
            "auxiliary coordinate 'm' over",
        ),
        ({"observed_data": {"y": ("k", np.array([None, "a"]))}}, None, DataError, "Got the dtype object"),
        ({"observed_data": {"y": ("k", [1j])}}, None, DataError, "complex128"),
    ],
)
def test_refusals(groups, coords, error, words):
    with pytest.raises(error) as caught:
        build_datatree(groups, coords=coords)
    assert words in str(caught.value)
    assert "\n" in str(caught.value)


def test_attributes_of_a_group_that_is_not_there_are_refused():
    with pytest.raises(ModelError, match="Attributes must belong to an exported group"):
        build_datatree({"posterior": {}}, attrs={"sample_stats": {"seed": 1}})


def test_importing_the_room_imports_no_heavy_library():
    heavy = ["xarray", "pandas", "arviz_base", "arviz_stats", "scipy.stats", "matplotlib"]
    code = "import sys, bayeskit.posterior.export, bayeskit.posterior.summary, bayeskit.posterior.files\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_million_entries_take_no_time():
    cells = [f"cell {i}" for i in range(200_000)]
    draws = np.zeros((4, 5, 200_000))
    start = time.perf_counter()
    build_datatree({group: {"p": ("cell", draws)} for group in ("posterior", "prior")}, coords={"cell": cells})
    assert time.perf_counter() - start < 2.0


# --- values ----------------------------------------------------------------------------------------------------------


def test_as_counts():
    codes = np.arange(3)
    assert as_counts(codes) is codes
    assert as_counts(np.array([True, False])).dtype == as_counts([2.0, 0.0]).dtype == np.int64
    assert np.isnan(as_counts([1.0, np.nan])[1])
    for wrong in ([0.5], [np.inf], [2.0**63], np.array([2**63], np.uint64)):
        with pytest.raises(DataError, match="whole numbers"):
            as_counts(wrong)
    with pytest.raises(DataError, match="numbers or booleans"):
        as_counts(["a"])


def test_long_doubles_become_doubles():
    assert storable_values("x", np.zeros(2, np.longdouble)).dtype == np.float64


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        (pd.MultiIndex.from_product([["m"], ["x", "y"]]), ["m|x", "m|y"]),
        ((("m", "x"), ("m", "y")), ["m|x", "m|y"]),
        (["a", None, 3], ["a", "None", "3"]),
        (range(2), [0, 1]),
        ([0.5, 1.5], [0.5, 1.5]),
        (xr.DataArray(["a"]), ["a"]),
        ({"a": 1, "b": 2}.keys(), ["a", "b"]),
    ],
)
def test_labels(labels, expected):
    stored = storable_labels(labels)
    assert stored.tolist() == expected
    assert stored.dtype.kind in "biufmMU"


def test_dates_stay_dates():
    assert storable_labels(pd.date_range("2020-01-01", periods=2)).dtype.kind == "M"


def test_rows_of_a_multiindex_are_labels_and_not_an_auxiliary_coordinate():
    tree = tree_of(a=("cell", DRAWS[..., 0, :]), coords={"cell": (("m", "x"), ("m", "y"))})
    assert list(tree["posterior"]["cell"].values) == ["m|x", "m|y"]


class Evidence(float):
    se = 0.1


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, "None"),
        (True, 1),
        (np.False_, 0),
        (np.int32(3), 3),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (np.float32(0.5), 0.5),
        (Evidence(-1.5), -1.5),
        (np.array(2.5), 2.5),
        ("a\0b", "a\\0b"),
        (("a", "b"), ["a", "b"]),
        ([1, 2.5], [1.0, 2.5]),
        (np.arange(3), [0, 1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ([True, None], "[true, null]"),
        ([], "[]"),
        ([2**70, 1], "[1180591620717411303424, 1]"),
        ({"a": np.float64(1.0), "b": np.arange(2), 3: object}, '{"a": 1.0, "b": [0, 1], "3": "<class \'object\'>"}'),
        (np.datetime64("2020-01-01"), "2020-01-01"),
        (1j, "1j"),
    ],
)
def test_attribute_values(value, stored):
    result = storable_attribute(value)
    assert result == stored
    assert type(result) is type(stored)


# --- summaries -------------------------------------------------------------------------------------------------------


class Exact:
    """A labelled distribution with given answers."""

    def __init__(self, mean: xr.DataArray, sd: float = 1.0) -> None:
        self._mean, self._sd = mean, sd

    def mean(self):
        return self._mean

    def sd(self):
        return xr.full_like(self._mean, self._sd)

    def eti(self, prob):
        width = xr.DataArray([-prob, prob], dims="ci_bound", coords={"ci_bound": ["lower", "upper"]})
        return self._mean + width * self._sd


def test_exact_rows_are_labelled_and_ordered_as_arviz_does():
    when = np.array(["2020-01-01", "2020-06-01"], "M8[ns]")
    tree = tree_of(
        mu=((), DRAWS[..., 0, 0]),
        beta=(("k", "arm"), DRAWS),
        level=("when", DRAWS[..., 0, :]),
        cov=(("arm", "arm_"), DRAWS[..., :2, :]),
        coords={"k": [0.5, 1.0, 2.0], "arm": ["a", "b, c"], "when": when},
    )
    means = tree["posterior"].dataset.mean(["chain", "draw"])
    table = exact_summary({name: Exact(means[name]) for name in means.data_vars})
    sampled = sampled_summary(tree, round_to="none")
    assert list(table.index) == list(sampled.index)
    assert list(table.columns) == list(sampled.columns[:4])
    np.testing.assert_allclose(table["mean"], sampled["mean"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(table["eti89_ub"] - table["mean"], 0.89)


@pytest.mark.parametrize("prob", [0.5, 0.57, 0.29, 0.94])
def test_the_interval_columns_are_named_as_arviz_names_them(prob):
    tree = tree_of(mu=((), DRAWS[..., 0, 0]))
    table = exact_summary({"mu": Exact(xr.DataArray(0.0))}, prob)
    assert list(table.columns) == list(sampled_summary(tree, kind="stats", ci_prob=prob).columns)


def test_answers_are_aligned_by_name():
    class Turned(Exact):
        def sd(self):
            return xr.DataArray([10.0, 20.0], coords={"arm": ["a", "b"]})  # lacks a dim

        def eti(self, prob):
            return super().eti(prob).transpose("ci_bound", "arm", "k")

    mean = xr.DataArray(np.arange(6.0).reshape(3, 2), coords={"k": [0, 1, 2], "arm": ["a", "b"]}, dims=("k", "arm"))
    table = exact_summary({"beta": Turned(mean)})
    assert table.loc["beta[1, b]"].tolist() == [3.0, 20.0, 3.0 - 0.89, 3.0 + 0.89]


def test_no_variables_no_rows():
    assert exact_summary({}).shape == (0, 4)


def test_row_labels_without_coordinates():
    assert row_labels("x", xr.DataArray(np.zeros(2), dims="k")) == ["x[0]", "x[1]"]


def test_a_million_exact_rows_in_seconds():
    mean = xr.DataArray(np.zeros((1000, 1000)), coords={"user": np.arange(1000), "item": np.arange(1000)})
    start = time.perf_counter()
    table = exact_summary({"p": Exact(mean)})
    assert time.perf_counter() - start < 10.0
    assert table.shape == (1_000_000, 4)
    assert table.index[-1] == "p[999, 999]"


def test_merged_summary():
    tree = tree_of(mu=((), DRAWS[..., 0, 0]), theta=("school", DRAWS[..., 0]), coords={"school": ["a", "b", "c"]})
    exact = {
        "theta": Exact(xr.DataArray(np.zeros(3), coords={"school": ["a", "b", "c"]})),
        "p": Exact(xr.DataArray(0.5)),
    }
    figures = {name: exact_figures(marginal, 0.89) for name, marginal in exact.items()}
    table = merged_summary(figures, tree)
    assert list(table.index) == ["mu", "theta[a]", "theta[b]", "theta[c]", "p"]
    assert list(table.columns) == list(sampled_summary(tree).columns)
    assert table.loc["theta[a]", "mean"] == 0.0
    assert table.loc["p", ["mcse_mean", "mcse_sd"]].tolist() == [0.0, 0.0]
    assert table.loc["p", ["ess_bulk", "ess_tail", "r_hat"]].isna().all()
    assert table.loc["mu", "ess_bulk"] > 0
    assert list(merged_summary(figures, tree, var_names=["p", "mu"]).index) == ["p", "mu"]


def test_merged_summary_of_one_kind_is_that_kind():
    tree = tree_of(mu=((), DRAWS[..., 0, 0]))
    exact = {"mu": Exact(xr.DataArray(0.0))}
    figures = {"mu": exact_figures(exact["mu"], 0.89)}
    pd.testing.assert_frame_equal(merged_summary(figures, tree), exact_summary(exact))
    pd.testing.assert_frame_equal(merged_summary(figures), exact_summary(exact))
    pd.testing.assert_frame_equal(merged_summary({}, tree, prob=0.5), sampled_summary(tree, ci_prob=0.5))


def test_a_name_that_is_neither_exact_nor_sampled():
    with pytest.raises(ModelError, match="'nu'"):
        merged_summary({"mu": exact_figures(Exact(xr.DataArray(0.0)), 0.89)}, None, var_names=["mu", "nu"])


def test_numbers_of_many_rows_are_a_range():
    """Ten million numbers from 0 would be copied into every group of every tree."""
    m = bk.Model()
    m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(1, 1))), dims="row")
    tree = m.condition({"y": np.arange(1000) % 2}).sample(2, seed=1, include="log_likelihood")
    for group in ("observed_data", "log_likelihood"):
        index = tree[group].to_dataset().indexes["row"]
        assert isinstance(index, pd.RangeIndex) and len(index) == 1000
