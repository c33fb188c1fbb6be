"""Trees built by bayeskit are read by every function of ArviZ, and survive files."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray as xr
from scipy import special

from bayeskit.posterior.export import build_datatree
from tests.arviz_functions import CALLS, FUNCTIONS, functions_for

CHAINS, DRAWS, ROWS = 4, 400, 40
SCHOOLS, ARMS, AXES = ["Choate", "Deerfield", "Hotchkiss"], ["A", "B"], ["x", "y"]


def _log_normal(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def _log_gamma(x, shape, rate):
    return shape * np.log(rate) - special.gammaln(shape) + (shape - 1) * np.log(x) - rate * x


def _log_beta(x, a, b):
    return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - special.betaln(a, b)


class Synthetic:
    """Exact draws of a model with a real, a 0/1 and a count outcome, all conjugate.

    y ~ Normal(intercept + slope x, sigma), sigma^-2 ~ Gamma(3, 2), (intercept, slope) ~ Normal(0, 2 sigma);
    z ~ Bernoulli(p), p ~ Beta(2, 2); n ~ Poisson(rate), rate ~ Gamma(2, 0.5); theta, gamma and cov have no data.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(20240501)
        self.x = np.linspace(-1.0, 1.0, ROWS)
        self.y = 4.0 + 0.5 * self.x + 0.4 * self.rng.standard_normal(ROWS)
        self.z = self.rng.random(ROWS) < 0.4
        self.n = self.rng.poisson(3.0, ROWS)

    def draw(self, posterior: bool) -> dict[str, np.ndarray]:
        """Draws of every parameter, from the posterior or from the prior."""
        rng, shape, used = self.rng, (CHAINS, DRAWS), float(posterior)
        design = np.stack([np.ones(ROWS), self.x], axis=1) * used
        precision = np.eye(2) / 4.0 + design.T @ design
        centre = np.linalg.solve(precision, design.T @ self.y)
        rest = used * self.y @ self.y - centre @ precision @ centre
        sigma = rng.gamma(3.0 + used * ROWS / 2, 1.0 / (2.0 + rest / 2), shape) ** -0.5
        noise = rng.standard_normal((*shape, 2)) @ np.linalg.cholesky(np.linalg.inv(precision)).T
        line = centre + sigma[..., None] * noise
        root = rng.standard_normal((*shape, 2, 3))
        return {
            "intercept": line[..., 0],
            "slope": line[..., 1],
            "sigma": sigma,
            "p": rng.beta(2.0 + used * self.z.sum(), 2.0 + used * (~self.z).sum(), shape),
            "rate": rng.gamma(2.0 + used * self.n.sum(), 1.0 / (0.5 + used * ROWS), shape),
            "theta": rng.standard_normal((*shape, 3)),
            "gamma": rng.standard_normal((*shape, 3, 2)),
            "cov": root @ np.swapaxes(root, -1, -2),
        }

    def log_prior(self, v: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Log prior densities; that of the Wishart matrix is one number a draw."""
        return {
            "intercept": _log_normal(v["intercept"], 0.0, 2 * v["sigma"]),
            "slope": _log_normal(v["slope"], 0.0, 2 * v["sigma"]),
            "sigma": _log_gamma(v["sigma"] ** -2.0, 3.0, 2.0) + np.log(2.0 * v["sigma"] ** -3.0),
            "p": _log_beta(v["p"], 2.0, 2.0),
            "rate": _log_gamma(v["rate"], 2.0, 0.5),
            "theta": _log_normal(v["theta"], 0.0, 1.0),
            "gamma": _log_normal(v["gamma"], 0.0, 1.0),
            "cov": -0.5 * np.trace(v["cov"], axis1=-2, axis2=-1) - 3 * np.log(2.0) - special.multigammaln(1.5, 2),
        }

    def predictive(self, v: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Replicated data."""
        each = {name: values[..., None] for name, values in v.items()}
        shape = (CHAINS, DRAWS, ROWS)
        return {
            "y": each["intercept"] + each["slope"] * self.x + each["sigma"] * self.rng.standard_normal(shape),
            "z": self.rng.random(shape) < each["p"],
            "n": self.rng.poisson(each["rate"], shape),
        }

    def log_likelihood(self, v: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Log likelihood of each row."""
        each = {name: values[..., None] for name, values in v.items()}
        return {
            "y": _log_normal(self.y, each["intercept"] + each["slope"] * self.x, each["sigma"]),
            "z": np.where(self.z, np.log(each["p"]), np.log1p(-each["p"])),
            "n": self.n * np.log(each["rate"]) - each["rate"] - special.gammaln(self.n + 1.0),
        }


DIMS = {"theta": ("school",), "gamma": ("school", "arm"), "cov": ("axis", "axis_")}


def _over_rows(arrays):
    return {name: (("obs",), values) for name, values in arrays.items()}


@cache
def synthetic_tree() -> xr.DataTree:
    """A tree with all the groups the library exports."""
    model = Synthetic()
    posterior, prior = model.draw(True), model.draw(False)
    log_prior, log_likelihood = model.log_prior(posterior), model.log_likelihood(posterior)
    lp = sum(a.reshape(CHAINS, DRAWS, -1).sum(-1) for a in (*log_prior.values(), *log_likelihood.values()))
    mean = posterior["intercept"][..., None] + posterior["slope"][..., None] * model.x
    groups = {
        "posterior": {name: (DIMS.get(name, ()), values) for name, values in posterior.items()},
        "prior": {name: (DIMS.get(name, ()), values) for name, values in prior.items()},
        "log_prior": {name: (DIMS.get(name, ())[: a.ndim - 2], a) for name, a in log_prior.items()},
        "log_likelihood": _over_rows(log_likelihood),
        "posterior_predictive": _over_rows(model.predictive(posterior)),
        "prior_predictive": _over_rows(model.predictive(prior)),
        "unconstrained_posterior": {
            "sigma": ((), np.log(posterior["sigma"])),
            "rate": ((), np.log(posterior["rate"])),
            "p": ((), special.logit(posterior["p"])),
        },
        "derived": {"mu": ("obs", mean), "sigma": ((), posterior["sigma"])},
        "sample_stats": {
            "lp": ((), lp),
            "acceptance_rate": ((), model.rng.random((CHAINS, DRAWS))),
            "accepted": ((), model.rng.random((CHAINS, DRAWS)) < 0.8),
        },
        "observed_data": _over_rows({"y": model.y, "z": model.z, "n": model.n}),
        "constant_data": _over_rows({"x": model.x, "y": np.arange(ROWS) % 5 > 0}),
    }
    run = {"sampling_time": 0.25, "tuning_steps": 1000, "bayeskit_method": "mh", "seed": None, "log_evidence": -12.5}
    return build_datatree(
        groups,
        coords={"school": SCHOOLS, "arm": ARMS, "axis": AXES, "row_label": ("obs", [f"row {i}" for i in range(ROWS)])},
        attrs={
            "posterior": run,
            "sample_stats": {"blocks": {"sigma": "slice"}, "thinned": False},
            "/": {"seed": 2**80},
        },
        name="synthetic",
    )


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[call.name for call in CALLS])
def test_arviz_reads_the_tree(name, function):
    function(synthetic_tree())


def test_the_list_is_complete():
    import arviz

    called = {name.split("_lik_fn")[0] for name, _ in FUNCTIONS}
    # plot_energy is for HMC; combine_plots and add_* take plots; nothing else may be missing
    plots = {name for name in dir(arviz) if name.startswith("plot_")} - {"plot_energy", "plot_ecdf_pit"}
    assert plots - called == {"plot_collection", "plot_matrix"}  # modules
    assert [name for name, _ in functions_for(synthetic_tree())] == [name for name, _ in FUNCTIONS]


def test_a_bare_posterior_gets_fewer_calls():
    bare = build_datatree({"posterior": {"mu": ((), np.zeros((2, 4)))}})
    names = [name for name, _ in functions_for(bare)]
    assert "plot_forest" in names
    assert not {"loo", "plot_ppc_dist", "plot_bf", "psense_prior"} & set(names)


# --- functions that need the model, or a group of their own ----------------------------------------------------------


def test_explained_variance_of_a_deterministic_group():
    import arviz

    tree = synthetic_tree()
    assert arviz.bayesian_r2(tree, pred_mean="mu", scale="sigma", group="derived").mean < 1
    assert arviz.residual_r2(tree, pred_mean="mu", obs_name="y", group="derived").mean < 1


def test_ranks_of_simulation_based_calibration():
    import arviz
    import matplotlib.pyplot as plt

    ranks = np.random.default_rng(3).random((1, 200, 3))
    tree = build_datatree({"prior_sbc": {"theta": ("school", ranks), "mu": ((), ranks[..., 0])}})
    assert arviz.plot_ecdf_pit(tree, backend="matplotlib") is not None
    plt.close("all")


def test_moment_matching_from_the_unconstrained_group():
    import arviz

    tree = synthetic_tree()
    x, y = tree["constant_data"]["x"], tree["observed_data"]["y"]
    regression = ["intercept", "slope", "sigma"]
    whole = arviz.get_unconstrained_samples(tree, var_names=regression, return_dataset=True)
    # With one parameter alone arviz-stats 1.3.3 fails to factor the 0-dimensional np.cov; with three it is right.
    upars = whole.to_dataarray("upars").transpose("chain", "draw", "upars")

    def split(upars):
        return (upars.sel(upars=name, drop=True) for name in regression)

    def log_density(upars):
        intercept, slope, log_sigma = split(upars)
        sigma = np.exp(log_sigma)
        prior = _log_normal(intercept, 0.0, 2 * sigma) + _log_normal(slope, 0.0, 2 * sigma)
        jacobian = np.log(2.0) - 2 * log_sigma
        rows = _log_normal(y, intercept + slope * x, sigma)
        return prior + _log_gamma(sigma**-2, 3.0, 2.0) + jacobian + rows.sum("obs")

    def log_likelihood(upars, i):
        intercept, slope, log_sigma = split(upars)
        return _log_normal(float(y[i]), intercept + slope * float(x[i]), np.exp(log_sigma))

    first = arviz.loo(tree, var_name="y", pointwise=True)
    worst = float(first.pareto_k.max())
    second = arviz.loo_moment_match(
        tree,
        first,
        log_prob_upars_fn=log_density,
        log_lik_i_upars_fn=log_likelihood,
        upars=upars,
        var_name="y",
        k_threshold=worst - 1e-6,  # below the largest k, so that this one row is matched
        pointwise=True,
    )
    assert float(second.pareto_k.max()) <= worst
    assert abs(second.elpd - first.elpd) < 0.1 * first.se


class BetaWrapper:
    """Refits the Bernoulli part of the model without some rows."""

    @staticmethod
    def make(tree):
        import arviz

        class Wrapper(arviz.SamplingWrapper):
            def sel_observations(self, idx):
                rows = self.idata_orig["observed_data"]["z"]
                left_out = np.isin(np.arange(rows.size), idx)
                return rows[~left_out], rows[left_out]

            def sample(self, modified_observed_data):
                wins, rows = int(modified_observed_data.sum()), modified_observed_data.size
                return np.random.default_rng(rows).beta(2 + wins, 2 + rows - wins, (CHAINS, DRAWS))

            def get_inference_data(self, fitted_model):
                return build_datatree({"posterior": {"p": ((), fitted_model)}})

            def log_likelihood__i(self, excluded_obs, idata__i):
                p = idata__i["posterior"]["p"]
                return xr.where(excluded_obs == 1, np.log(p), np.log1p(-p)).transpose("chain", "draw", ...)

        return Wrapper(model=None, idata_orig=tree)


def test_cross_validation_by_refitting():
    import arviz

    tree = synthetic_tree()
    wrapper = BetaWrapper.make(tree)
    loo = arviz.loo(tree, var_name="z", pointwise=True)
    folds = arviz.loo_kfold(tree, wrapper, k=ROWS, var_name="z")
    assert abs(folds.elpd - loo.elpd) < 0.1 * loo.se
    loo.pareto_k[:2] = 1.0  # as if two rows had been too influential
    assert abs(arviz.reloo(wrapper, loo_orig=loo, var_name="z").elpd - loo.elpd) < 0.1 * loo.se
    future = arviz.lfo_cv(tree, wrapper, min_observations=30, forecast_horizon=1, time_dim="obs", var_name="z")
    assert future.n_data_points == ROWS - 30


# --- files -----------------------------------------------------------------------------------------------------------


def _assert_same(loaded: xr.DataTree, tree: xr.DataTree) -> None:
    assert set(loaded.groups) == set(tree.groups)
    for path in tree.groups:
        xr.testing.assert_equal(loaded[path].to_dataset(), tree[path].to_dataset())
        for name, variable in tree[path].variables.items():
            assert loaded[path].variables[name].dtype.kind == variable.dtype.kind, (path, name)
        assert loaded[path].attrs.keys() == tree[path].attrs.keys()
        for key, value in tree[path].attrs.items():
            assert np.array_equal(loaded[path].attrs[key], value)


def test_netcdf_round_trip(tmp_path):
    tree = synthetic_tree()
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as loaded:
        _assert_same(loaded.load(), tree)


# zarr-python warns of consolidated metadata, which xarray writes by default, in the format 3
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_zarr_round_trip(tmp_path):
    tree = synthetic_tree()
    tree.to_zarr(tmp_path / "tree.zarr")
    with xr.open_datatree(tmp_path / "tree.zarr", engine="zarr") as loaded:
        _assert_same(loaded.load(), tree)


@pytest.mark.parametrize("method", ["netcdf", "zarr"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_arviz_loads_what_was_saved(tmp_path, method):
    import arviz

    tree = synthetic_tree()
    path = str(tmp_path / "tree")
    if method == "netcdf":
        tree.to_netcdf(path, engine="h5netcdf")
        loaded = arviz.from_netcdf(path, engine="h5netcdf").load()
    else:
        tree.to_zarr(path)
        loaded = arviz.from_zarr(path).load()
    before, after = (arviz.summary(which, round_to="none") for which in (tree, loaded))
    loaded.close()
    assert before.equals(after.loc[before.index])  # Zarr does not keep the order of the variables
