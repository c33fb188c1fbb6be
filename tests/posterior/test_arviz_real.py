"""Every function of ArviZ on posteriors as the library makes them, and their way to files and back."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import bayeskit as bk
from tests.arviz_functions import functions_for

ALL = ("log_likelihood", "log_prior", "prior", "posterior_predictive")


def shares():
    """Four arms under a prior that is not flat: ArviZ warns where power-scaling has nothing to scale."""
    m = bk.Model(coords={"arm": ["A", "B", "C", "D"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(2, 20), dims="arm")
    m.derived("difference", p[{"arm": 1}] - p[{"arm": 0}])
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m.condition({"n": [1000, 1010, 500, 700], "y": [52, 71, 30, 40]}).sample(200, seed=1, include=ALL)


def schools():
    """Four of the eight, so that a plot of all pairs stays below ArviZ's 40 panels."""
    m = bk.Model(coords={"school": list("ABCD")})
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    data = {"se": [15.0, 10, 16, 11], "y": [28.0, 8, -3, 7]}
    return m.condition(data).sample(200, tune=200, seed=1, include=ALL)


def logistic():
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    m = bk.Model()
    data = m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 2))
    m.observed("y", bk.Bernoulli(logit=a + b * data), dims="obs")
    y = (rng.random(40) < 1 / (1 + np.exp(-1 - x))).astype(int)
    return m.condition({"x": x, "y": y}).sample(200, tune=200, seed=1, include=ALL)


MODELS = {f.__name__: f for f in (shares, schools, logistic)}
METHODS = {"shares": "exact", "schools": "collapsed", "logistic": "collapsed"}


@pytest.fixture(scope="module")
def trees():
    return {name: model() for name, model in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_groups_are_all_there(trees, name):
    tree = trees[name]
    assert tree.attrs["bayeskit_method"] == METHODS[name]
    assert {"posterior", "sample_stats", "observed_data", "constant_data", *ALL} <= set(tree.children)
    assert set(tree["log_prior"].data_vars) <= set(tree["posterior"].data_vars)
    assert set(tree["prior"].data_vars) == set(tree["posterior"].data_vars)
    for group in ("log_likelihood", "posterior_predictive"):
        assert set(tree[group].data_vars) == set(tree["observed_data"].data_vars)
        for variable in tree[group].data_vars:
            assert tree[group][variable].dims[2:] == tree["observed_data"][variable].dims
    for node in tree.children.values():
        assert all(d in node.coords for d in node.dims)


@pytest.mark.parametrize("name", MODELS)
def test_every_function_of_arviz(trees, name):
    called = []
    for function, call in functions_for(trees[name]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # one number a group: leaving it out changes much, as ArviZ says with good reason
            warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto distribution")
            call(trees[name])
        called.append(function)
    assert {"summary", "ess", "rhat", "loo", "psense_summary", "plot_prior_posterior", "plot_forest"} <= set(called)


@pytest.mark.parametrize("name", MODELS)
# zarr-python warns of consolidated metadata, which xarray writes by default, in the format 3
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_files_hold_everything(trees, name, kind, tmp_path):
    tree, path = trees[name], tmp_path / f"tree.{kind}"
    if kind == "netcdf":
        tree.to_netcdf(path)
        back = xr.open_datatree(path, engine="h5netcdf").load()
    else:
        tree.to_zarr(path)
        back = xr.open_datatree(path, engine="zarr").load()
    for group in tree.children:
        xr.testing.assert_equal(tree[group].to_dataset(), back[group].to_dataset())
        assert tree[group].attrs.keys() == back[group].attrs.keys()
    assert back.attrs["explain"] == tree.attrs["explain"]
    back.close()
