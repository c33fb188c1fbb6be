"""What decide accepts, what it returns, and what it says when it refuses."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayeskit.decision import decide
from bayeskit.errors import DecisionError

RNG = np.random.default_rng(42)
P = RNG.beta([53, 71], [949, 940], size=(4, 250, 2))
ARMS = xr.Dataset({"p": (("chain", "draw", "arm"), P)}, coords={"arm": ["A", "B"]})
PANEL = xr.Dataset(
    {
        "gain": (
            ("chain", "draw", "segment", "arm"),
            RNG.normal(size=(2, 100, 3, 2)) + np.array([[3, 0], [0, 3], [0, 0]]),
        )
    },
    coords={"segment": ["x", "y", "z"], "arm": ["A", "B"], "size": ("segment", [10, 20, 30])},
)


def same(one, other):
    xr.testing.assert_allclose(one.to_dataset(), other.to_dataset())


def p(post):
    return post["p"]


# --- sources ---------------------------------------------------------------------------------------------------------


class ExactPosterior:
    """Anything with sample(draws=, seed=)."""

    def sample(self, *, draws, seed=None):
        self.asked = draws, seed
        values = np.random.default_rng(seed).normal(size=(4, draws, 2))
        dataset = xr.Dataset({"p": (("chain", "draw", "arm"), values)}, coords={"arm": ["A", "B"]})
        return xr.DataTree.from_dict({"/posterior": dataset})


def test_a_tree_a_dataset_and_dicts_give_the_same():
    expected = decide(ARMS, utility=p)
    tree = xr.DataTree.from_dict({"/posterior": ARMS, "/prior": ARMS * 2})
    same(decide(tree, utility=p), expected)
    same(decide(tree["posterior"], utility=p), expected)
    same(decide({"p": ARMS["p"]}, utility=p), expected)
    same(decide(ARMS["p"], utility=p), expected)
    same(decide(ARMS.transpose("arm", "draw", "chain"), utility=p), expected)
    plain = decide({"p": P}, utility=p)
    assert plain.best.item() == 1 and plain.action == "p_dim_0"


def test_a_posterior_is_sampled_with_the_draws_and_the_seed_given():
    posterior = ExactPosterior()
    d = decide(posterior, utility=p, draws=50, seed=7)
    assert posterior.asked == (50, 7) and (d.chains, d.draws) == (4, 50)
    same(d, decide(posterior, utility=p, draws=50, seed=7))
    assert decide(posterior, utility=p).draws == 1000


def test_draws_without_chains_are_one_chain():
    single = ARMS.isel(chain=0)
    expected = decide(ARMS.isel(chain=[0]), utility=p)
    same(decide(single, utility=p), expected)
    same(decide(single.rename(draw="sample"), utility=p), expected)
    one_dim = decide({"a": P[0, :, 0], "b": P[0, :, 1]}, utility=lambda post: {"A": post.a, "B": post.b})
    np.testing.assert_array_equal(one_dim.evpi_mcse, expected.evpi_mcse)
    frame = pd.DataFrame(P[0], columns=["a", "b"])
    np.testing.assert_array_equal(decide(frame, utility=lambda post: {"A": post.a, "B": post.b}).evpi, expected.evpi)


def test_a_stacked_sample_dim_gets_its_chains_back():
    stacked = ARMS.stack(sample=("chain", "draw"))
    same(decide(stacked, utility=p), decide(ARMS.assign_coords(chain=range(4), draw=range(250)), utility=p))
    part = stacked.isel(sample=slice(0, None, 3))  # not a full grid any more
    assert decide(part, utility=p).chains == 1


def test_constants_among_the_draws_are_broadcast():
    d = decide({"x": P[..., 0], "price": 0.05}, utility=lambda post: {"buy": post.x - post.price, "not": 0})
    assert d.best.item() == "buy"


@pytest.mark.parametrize(
    "source, message",
    [
        (ARMS["p"].rename(None), "must be a DataTree.*Got DataArray"),
        (3.0, "must be a DataTree, a Dataset, a dict of draws or a posterior with sample.*Got float"),
        (xr.DataTree.from_dict({"/prior": ARMS}), "must have the group 'posterior'. Got the groups .prior."),
        (ARMS.rename(draw="iteration"), "must have the dims chain and draw.*Got the dims .*iteration"),
        (ARMS.isel(draw=slice(0, 0)), "at least one draw. Got 4 chains of 0 draws"),
        ({"p": P, "q": P[0, :, 0]}, "'q' must have shape .chain, draw, ....*250"),
        ({"p": P, "q": P[:2]}, "must agree in their dims and sizes"),
        ({}, "must have the dims chain and draw"),
    ],
)
def test_sources_refused(source, message):
    with pytest.raises(DecisionError, match=message):
        decide(source, utility=p)


def test_sample_must_return_a_tree():
    class Odd:
        def sample(self, *, draws, seed=None):
            return np.zeros(draws)

    with pytest.raises(DecisionError, match=r"sample\(\) of the source must return a DataTree. Odd returned ndarray"):
        decide(Odd(), utility=p)


def test_draws_of_draws_are_refused():
    with pytest.raises(DecisionError, match=r"'draws' must be left out.*draws=100"):
        decide(ARMS, utility=p, draws=100)
    same(decide(ARMS, utility=p, seed=1), decide(ARMS, utility=p))  # nothing is drawn


# --- utilities -------------------------------------------------------------------------------------------------------


def test_a_loss_is_minus_a_utility():
    same(decide(ARMS, loss=lambda post: -post.p), decide(ARMS, utility=p))


def test_an_array_or_a_dict_made_before_is_accepted():
    expected = decide(ARMS, utility=p)
    same(decide(ARMS, utility=ARMS.p), expected)
    same(decide(ARMS.isel(chain=0), utility=ARMS.p.isel(chain=0, drop=True)), decide(ARMS.isel(chain=[0]), utility=p))
    by_name = decide(ARMS, utility={"A": ARMS.p.sel(arm="A"), "B": ARMS.p.sel(arm="B")}, action="arm")
    same(by_name, expected)


def test_dict_keys_become_labels_and_numbers_are_sure_things():
    d = decide(ARMS, utility=lambda post: {"ship B": post.p.sel(arm="B") - 0.01, 3: 0.05, (1, 2): 0})
    assert d.action == "action" and list(d.expected_utility.action.values) == ["ship B", 3, (1, 2)]
    assert d.expected_utility[1] == 0.05 and d.expected_utility_mcse[1] == 0


def test_extra_dims_are_decided_one_by_one():
    d = decide(PANEL, utility=lambda post: post.gain, action="arm")
    assert d.best.dims == ("segment",) and list(d.best.values[:2]) == ["A", "B"]
    assert list(d.resolved.values[:2]) == [True, True] and list(d.best["size"].values) == [10, 20, 30]
    for segment in "xyz":
        alone = decide(PANEL.sel(segment=segment), utility=lambda post: post.gain)
        same_there = d.to_dataset().sel(segment=segment)
        xr.testing.assert_allclose(same_there, alone.to_dataset())
    by_name = decide(PANEL, utility=lambda post: {a: post.gain.sel(arm=a) for a in "AB"})
    np.testing.assert_allclose(by_name.evpi, d.evpi)
    table = d.summary()
    assert table.index.names == ["segment", "arm"] and list(table["best"][:4]) == [True, False, False, True]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_other_number_types(dtype):
    u = xr.DataArray(np.eye(2, dtype=dtype)[np.newaxis].repeat(4, 1), dims=("chain", "draw", "action"))
    d = decide({"u": u}, utility=lambda post: post.u)
    assert d.expected_utility.dtype == np.float64 and float(d.evpi) == 0.5


def late(dims):
    return lambda post: post.gain.transpose(..., *dims)


REFUSED = [
    ({}, "Exactly one of 'utility' and 'loss' must be given. Got neither"),
    ({"utility": p, "loss": p}, "Exactly one of 'utility' and 'loss' must be given. Got both"),
    ({"utility": lambda post: post.p.values}, "utility must be a DataArray.*Got ndarray"),
    ({"loss": lambda post: None}, "loss must be a DataArray.*Got NoneType"),
    ({"utility": lambda post: post.p.sum("arm")}, "must have a dim for the action.*Got dims .chain, draw"),
    ({"utility": lambda post: post.p * post.p.rename(arm="other")}, "must have one dim beyond.*Got .arm, other"),
    ({"utility": p, "action": "act"}, "'action' must be a dim of the utility.*one of .arm.. Got 'act'"),
    ({"utility": lambda post: post.p.mean("draw")}, "must keep the dims chain and draw.*without draw"),
    ({"utility": lambda post: post.p.mean(["chain", "draw"])}, "without chain and draw"),
    ({"utility": ARMS.p.mean("draw")}, "must keep the dims chain and draw.*without draw"),
    ({"utility": lambda post: post.p[:, ::2]}, "as many entries along draw as the draws, 250. Got 125"),
    ({"utility": lambda post: post["q"]}, "Got 'q', which is not among them.\nThey are: p"),
    ({"utility": lambda post: post.q}, "Got 'q', which is not among them.\nThey are: p"),
    ({"utility": lambda post: post.p.astype(str)}, "must be real numbers. Got dtype <U"),
    ({"utility": lambda post: post.p[..., :0]}, "at least one entry along arm"),
    ({"utility": lambda post: post.p.assign_coords(arm=["A", "A"])}, "labels of 'arm' must be unique. Got 'A' twice"),
    ({"utility": lambda post: post.p.rename(arm="evpi")}, "must not be named like a figure of a decision. Got 'evpi'"),
    ({"utility": lambda post: {}}, "at least one action. Got an empty dict"),
    ({"utility": lambda post: {"a": post.p.values}}, "of action 'a' must be a DataArray or a number. Got ndarray"),
    ({"utility": lambda post: {"a": "much"}}, "of action 'a' must be a DataArray or a number. Got str"),
    ({"utility": lambda post: {"a": 1, "b": 2}}, "must keep the dims chain and draw"),
    ({"utility": lambda post: {"a": post.p, "b": 0}, "action": "arm"}, "must leave the dim 'arm' free"),
    ({"utility": lambda post: {"a": post.p[..., :1], "b": post.p}}, "same labels and sizes for every action"),
]


@pytest.mark.parametrize("arguments, message", REFUSED)
def test_utilities_refused(arguments, message):
    with pytest.raises(DecisionError, match=f"(?s){message}") as caught:
        decide(ARMS, **arguments)
    assert len(str(caught.value).splitlines()) == 2  # a sentence and a line of advice


def test_the_users_own_errors_stay_their_own():
    with pytest.raises(KeyError, match="nowhere"):
        decide(ARMS, utility=lambda post: {}["nowhere"])
    with pytest.raises(KeyError):
        decide(ARMS, utility=lambda post: post.p.sel(arm="Z"))
    with pytest.raises(AttributeError, match="sell"):
        decide(ARMS, utility=lambda post: post.p.sell(arm="A"))


def test_values_that_are_not_finite_are_named():
    u = PANEL.gain.copy(deep=True)
    u[0, :3, 1, 1] = np.nan
    with pytest.raises(
        DecisionError, match=r"utility of action 'B' must be a finite number.*NaN in 3 of 200 draws at segment=y"
    ):
        decide({"u": u}, utility=lambda post: post.u, action="arm")
    u = ARMS.p.copy(deep=True)
    u[0, 0, :] = np.inf
    with pytest.raises(DecisionError, match=r"loss of action 'A'.*infinite value in 1 of 1000 draws .and of 1 more"):
        decide({"u": u}, loss=lambda post: post.u)


# --- the answer ------------------------------------------------------------------------------------------------------


def test_a_decision_is_immutable_and_pickles():
    d = decide(ARMS, utility=p)
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.best = "A"
    with pytest.raises(ValueError, match="read-only"):
        d.evpi.values[...] = 0
    same(pickle.loads(pickle.dumps(d)), d)
    assert ARMS.p.values.flags.writeable  # the source is untouched


def test_the_table_has_a_row_per_action():
    d = decide(ARMS, utility=p)
    table = d.summary()
    assert list(table.index) == ["A", "B"] and table.index.name == "arm"
    assert list(table.columns[:3]) == ["best", "expected_utility", "expected_utility_mcse"]
    assert list(table["best"]) == [False, True]
    assert table.loc["B", "expected_loss"] == d.evpi.item()


def test_printing():
    u = xr.DataArray(
        np.tile([[1.0, 0.0], [0.0, 0.5]], (4, 25, 1)), dims=("chain", "draw", "arm"), coords={"arm": ["A", "B"]}
    )
    lines = str(decide({"u": u}, utility=lambda post: post.u)).splitlines()
    assert lines[0] == "Decision between 2 actions, from 200 draws (4 x 50)"
    assert lines[1].startswith("best: A, ahead by 0.25") and lines[3].split() == [
        "arm", "expected_utility", "expected_loss", "prob_best",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[4:6]] == ["A", "B"]
    single = str(decide({"u": u}, utility=lambda post: {"only": post.u[..., 0]}))
    assert "Decision between 1 action," in single and "best: only, the only action" in single
    many = str(decide(PANEL, utility=lambda post: post.gain, action="arm")).splitlines()
    assert many[1].split() == ["segment", "best", "resolved", "gap", "evpi"] and len(many) == 6
    wide = xr.DataArray(np.zeros((1, 10, 30)), dims=("chain", "draw", "arm"))
    assert "... and 10 more" in repr(decide({"u": wide}, utility=lambda post: post.u))


def test_a_multiindex_of_actions_keeps_its_labels():
    u = xr.DataArray(np.zeros((1, 8, 2, 2)) + np.eye(2), dims=("chain", "draw", "price", "channel"))
    u = u.assign_coords(price=[1, 2], channel=["web", "shop"]).stack(plan=("price", "channel"))
    assert decide({"u": u}, utility=lambda post: post.u + post.u.plan.price).best.item() == (2, "shop")


def test_importing_is_cheap():
    heavy = ("xarray", "arviz_stats", "pandas", "scipy.stats")
    code = f"import sys, bayeskit.decision; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
