"""Every function of ArviZ that reads a posterior, as calls on a tree of any model.

``FUNCTIONS`` is a plain list of (name, callable(tree)); ``functions_for(tree)`` leaves out those that need a group or a
kind of observed variable the tree has not. Left out altogether are `plot_energy` and `bfmi`, which are for Hamiltonian
Monte Carlo, and what needs the model besides the tree: refitting (`reloo`, `loo_kfold`, `lfo_cv`), `loo_moment_match`.

The suite turns warnings into errors, so a call avoids what ArviZ warns of with good reason (a histogram of binary data)
or without (Pareto k of the expectation of a count, estimated from draws with ties).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr


def _az() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import arviz

    return arviz


# --- what a tree has -------------------------------------------------------------------------------------------------


def parameters(tree: xr.DataTree, group: str = "posterior", *, but: tuple[str, ...] = ()) -> list[str]:
    """At most three variables of a group, scalar ones first: enough for plots of pairs, and quick."""
    names = [str(name) for name in tree[group].data_vars if name not in but]
    return sorted(names, key=lambda name: tree[group][name].ndim)[:3]


def shared(tree: xr.DataTree, group: str) -> list[str]:
    """At most three variables that the posterior has in common with another group."""
    return [name for name in tree["posterior"].data_vars if name in tree[group].data_vars][:3]


def observed(tree: xr.DataTree, kind: str = "any") -> list[str]:
    """Observed variables of one dim with a posterior predictive: any, real, count, binary, not_binary, censored."""
    if "observed_data" not in tree or "posterior_predictive" not in tree:
        return []
    found = []
    for name, variable in tree["observed_data"].data_vars.items():
        if variable.ndim != 1 or name not in tree["posterior_predictive"].data_vars:
            continue
        integer = variable.dtype == np.int64
        binary = integer and set(np.unique(variable)) <= {0, 1}
        suits = {
            "any": True,
            "real": variable.dtype.kind == "f",
            "count": integer and not binary,
            "binary": binary,
            "not_binary": not binary,
            # plot_ppc_censored looks for the status (1 an event, 0 censored) under the name of the observed variable
            "censored": "constant_data" in tree and name in tree["constant_data"].data_vars,
        }
        if suits[kind]:
            found.append(str(name))
    return found


def predictor(tree: xr.DataTree, kind: str) -> tuple[str, str] | None:
    """An observed variable and a constant real one over the same dim."""
    for name in observed(tree, kind):
        for constant, variable in tree["constant_data"].data_vars.items() if "constant_data" in tree else ():
            if variable.dims == tree["observed_data"][name].dims and variable.dtype.kind == "f":
                return name, str(constant)
    return None


def has(tree: xr.DataTree, need: str) -> bool:
    """Whether a tree has a group, or what is written as ``observed:kind`` or ``predictor:kind``."""
    what, _, kind = need.partition(":")
    if what == "observed":
        return bool(observed(tree, kind))
    if what == "predictor":
        return predictor(tree, kind) is not None
    return need in tree and bool(tree[need].data_vars)


# --- the calls -------------------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """One call and what a tree must have for it."""

    name: str
    needs: tuple[str, ...]
    function: Callable[[xr.DataTree], Any]


def _plot(name: str, tree: xr.DataTree, **options: Any) -> None:
    import matplotlib.pyplot as plt

    plot = getattr(_az(), name)
    try:
        assert plot(tree, backend="matplotlib", **options) is not None
    finally:
        plt.close("all")


def _call(name: str, tree: xr.DataTree, **options: Any) -> Any:
    result = getattr(_az(), name)(tree, **options)
    assert result is not None
    return result


def _some(name: str, **options: Any) -> Call:
    """A plot of a few parameters."""
    return Call(name, ("posterior",), lambda tree: _plot(name, tree, var_names=parameters(tree), **options))


def _all(name: str, **options: Any) -> Call:
    """A plot of the whole posterior, matrices included, as users call it: without arguments."""
    return Call(name, ("posterior",), lambda tree: _plot(name, tree, **options))


def _number(name: str, *needs: str, **options: Any) -> Call:
    """A statistic of the whole tree."""
    return Call(name, needs or ("posterior",), lambda tree: _call(name, tree, **options))


def _predictive(name: str, kind: str, *needs: str, **options: Any) -> Call:
    """A predictive check of the observed variables of one kind."""
    groups = ("posterior_predictive", "observed_data", *needs, f"observed:{kind}")
    return Call(name, groups, lambda tree: _plot(name, tree, var_names=observed(tree, kind), **options))


def _one(name: str, kind: str = "any", **options: Any) -> Call:
    """A leave-one-out statistic of each observed variable of a kind."""

    def run(tree: xr.DataTree) -> None:
        for variable in observed(tree, kind):
            _call(name, tree, var_name=variable, **options)

    return Call(name, ("log_likelihood", f"observed:{kind}"), run)


def _joint_log_density(tree: xr.DataTree) -> xr.DataArray:
    terms = tree["log_likelihood"].data_vars.values()
    totals = [term.sum([dim for dim in term.dims if dim not in ("chain", "draw")]) for term in terms]
    return xr.concat(totals, dim="term").sum("term")


def _compare(tree: xr.DataTree) -> Any:
    az = _az()
    name = observed(tree)[0]
    return az.compare({"all": tree, "half": tree.isel(draw=slice(0, None, 2))}, var_name=name)


def _plot_compare(tree: xr.DataTree) -> None:
    _plot("plot_compare", _compare(tree))


def _plot_khat(tree: xr.DataTree) -> None:
    _plot("plot_khat", _call("loo", tree, var_name=observed(tree)[0], pointwise=True))


def _large_data_loo(tree: xr.DataTree) -> None:
    """`loo` without a stored log likelihood: a function makes it."""
    name = observed(tree)[0]
    stored = tree["log_likelihood"][name]
    without = tree.filter(lambda node: node.name != "log_likelihood")
    made = _call("loo", without, var_name=name, log_lik_fn=lambda obs, _: stored)
    np.testing.assert_allclose(made.elpd, _call("loo", tree, var_name=name).elpd)


def _subsample(tree: xr.DataTree) -> None:
    az = _az()
    name = observed(tree)[0]
    size = tree["observed_data"][name].size
    first = az.loo_subsample(tree, observations=max(2, size // 2), var_name=name, pointwise=True)
    az.update_subsample(first, tree, observations=1, var_name=name)


def _bayes_factor(tree: xr.DataTree) -> None:
    scalars = [name for name in shared(tree, "prior") if tree["posterior"][name].ndim == 2]
    _call(
        "bayes_factor", tree, var_names=scalars, ref_vals=[float(tree["posterior"][name].median()) for name in scalars]
    )


def _plot_bf(tree: xr.DataTree) -> None:
    name = shared(tree, "prior")[0]
    _plot("plot_bf", tree, var_names=name, ref_val=float(tree["posterior"][name].median()))


def _plot_lm(tree: xr.DataTree) -> None:
    found = predictor(tree, "real")
    assert found is not None
    _plot("plot_lm", tree, y=found[0], x=found[1])


def _pava_residuals(tree: xr.DataTree) -> None:
    found = predictor(tree, "binary")
    assert found is not None
    _plot("plot_ppc_pava_residuals", tree, var_names=found[0], x_var=found[1])


def _plot_loo_interval(tree: xr.DataTree) -> None:
    """On the real variables alone: arviz-plots 1.3.2 computes Pareto k for all of them, whatever `var_names` says."""
    names = observed(tree, "real")
    groups = ("posterior_predictive", "log_likelihood", "observed_data")
    real = {group: tree[group].dataset[names] for group in groups}
    _plot("plot_loo_interval", xr.DataTree.from_dict({"posterior": tree["posterior"].dataset} | real))


def _weight_predictions(tree: xr.DataTree) -> None:
    with warnings.catch_warnings():
        # arviz-stats 1.3.3 calls xarray.concat without saying data_vars, whose default xarray is going to change
        warnings.filterwarnings(
            "ignore", "In a future version of xarray the default value for data_vars", FutureWarning
        )
        _call("weight_predictions", [tree, tree], weights=[0.4, 0.6])


def _distances(name: str, **options: Any) -> Call:
    def run(tree: xr.DataTree) -> None:
        _call(name, tree, data2=tree, var_names=parameters(tree), **options)

    return Call(name, ("posterior",), run)


# The power-scaling plots of arviz-plots 1.3.2 have dims of these names, and raise if a parameter is called the same.
_PSENSE_DIMS = ("alpha", "component_group")

CALLS: list[Call] = [
    # posterior
    _number("summary"),
    Call("summary_median", ("posterior",), lambda tree: _call("summary", tree, kind="all_median")),
    Call("summary_hdi", ("posterior",), lambda tree: _call("summary", tree, ci_kind="hdi")),
    Call("summary_prior", ("prior",), lambda tree: _call("summary", tree, group="prior")),
    Call("summary_text", ("posterior",), lambda tree: _call("summary", tree).to_string()),
    _number("diagnose", show_diagnostics=False),
    _number("ess"),
    Call("ess_tail", ("posterior",), lambda tree: _call("ess", tree, method="tail")),
    _number("rhat"),
    Call(
        "rhat_nested",
        ("posterior",),
        lambda tree: _call(
            "rhat_nested", tree, superchain_ids=[i // 2 for i in range(tree["posterior"].sizes["chain"])]
        ),
    ),
    _number("mcse"),
    _number("hdi"),
    _number("eti"),
    _number("mean"),
    _number("median"),
    _number("mode"),
    _number("std"),
    _number("var"),
    _number("iqr"),
    _number("mad"),
    Call("ecdf", ("posterior",), lambda tree: _call("ecdf", tree["posterior"].dataset)),
    _number("histogram"),
    _number("kde"),
    _number("thin"),
    _number("extract"),
    _number("ci_in_rope", rope=(-1.0, 1.0)),
    _number("convert_to_dataset"),
    _number("convert_to_datatree"),
    _number("get_unconstrained_samples", "posterior", "unconstrained_posterior"),
    _distances("kl_divergence"),
    _distances("wasserstein", num_samples=100),
    _all("plot_dist"),
    _all("plot_forest"),
    _all("plot_ridge"),
    _all("plot_trace_dist"),
    _all("plot_convergence_dist"),
    _all("plot_parallel"),
    _some("plot_trace"),
    _some("plot_rank"),
    _some("plot_rank_dist"),
    _some("plot_pair"),
    Call(
        "plot_pair_focus",
        ("posterior",),
        lambda tree: _plot("plot_pair_focus", tree, focus_var=parameters(tree)[0], var_names=parameters(tree)[1:]),
    ),
    _some("plot_autocorr"),
    _some("plot_ess"),
    _some("plot_ess_evolution"),
    _some("plot_mcse"),
    _some("plot_dgof"),
    _some("plot_dgof_dist"),
    # prior
    Call(
        "plot_prior_posterior",
        ("posterior", "prior"),
        lambda tree: _plot("plot_prior_posterior", tree, var_names=shared(tree, "prior")),
    ),
    Call("bayes_factor", ("posterior", "prior"), _bayes_factor),
    Call("plot_bf", ("posterior", "prior"), _plot_bf),
    Call("plot_dist_prior", ("prior",), lambda tree: _plot("plot_dist", tree, group="prior")),
    # log likelihood and log prior
    _one("loo"),
    Call(
        "loo_i",
        ("log_likelihood", "observed:any"),
        lambda tree: _call("loo_i", 0, data=tree, var_name=observed(tree)[0]),
    ),
    Call("loo_log_lik_fn", ("log_likelihood", "observed:any"), _large_data_loo),
    Call("loo_subsample", ("log_likelihood", "observed:any"), _subsample),
    Call(
        "loo_approximate_posterior",
        ("log_likelihood", "observed:any"),
        lambda tree: _call(
            "loo_approximate_posterior",
            tree,
            log_p=_joint_log_density(tree),
            log_q=_joint_log_density(tree),
            var_name=observed(tree)[0],
        ),
    ),
    Call("compare", ("log_likelihood", "observed:any"), _compare),
    Call("plot_compare", ("log_likelihood", "observed:any"), _plot_compare),
    Call("plot_khat", ("log_likelihood", "observed:any"), _plot_khat),
    Call("psense_prior", ("log_prior",), lambda tree: _call("psense", tree, group="prior")),
    Call("psense_likelihood", ("log_likelihood",), lambda tree: _call("psense", tree, group="likelihood")),
    _number("psense_summary", "posterior", "log_prior", "log_likelihood"),
    Call(
        "plot_psense_dist",
        ("posterior", "log_prior", "log_likelihood"),
        lambda tree: _plot("plot_psense_dist", tree, var_names=parameters(tree, but=_PSENSE_DIMS)),
    ),
    Call(
        "plot_psense_quantities",
        ("posterior", "log_prior", "log_likelihood"),
        lambda tree: _plot("plot_psense_quantities", tree, var_names=parameters(tree, but=_PSENSE_DIMS)),
    ),
    # predictive
    _predictive("plot_ppc_dist", "real"),
    _predictive("plot_ppc_pit", "not_binary"),
    _predictive("plot_ppc_dist_pit", "not_binary"),
    _predictive("plot_ppc_interval", "any"),
    _predictive("plot_ppc_tstat", "not_binary"),
    _predictive("plot_ppc_rootogram", "count"),
    _predictive("plot_ppc_pava", "binary"),
    _predictive("plot_ppc_censored", "censored", num_samples=20),
    _predictive("plot_loo_pit", "any", "log_likelihood"),
    _predictive("plot_loo_pava", "binary", "log_likelihood"),
    Call("plot_loo_interval", ("log_likelihood", "observed:real"), _plot_loo_interval),
    Call(
        "plot_ppc_dist_prior",
        ("prior_predictive", "observed:real"),
        lambda tree: _plot("plot_ppc_dist", tree, group="prior_predictive", var_names=observed(tree, "real")),
    ),
    Call("plot_lm", ("constant_data", "predictor:real"), _plot_lm),
    Call("plot_ppc_pava_residuals", ("constant_data", "predictor:binary"), _pava_residuals),
    Call(
        "loo_pit",
        ("log_likelihood", "observed:any"),
        lambda tree: _call("loo_pit", tree, var_names=observed(tree), random_state=1),
    ),
    _one("metrics"),
    _one("loo_metrics", "real"),
    _one("loo_score"),
    _one("loo_expectations", "real"),
    _one("loo_r2", "real"),
    Call(
        "loo_influence",
        ("log_likelihood", "observed:any"),
        lambda tree: _call(
            "loo_influence", tree, var_names=observed(tree)[0], log_likelihood_var_name=observed(tree)[0]
        ),
    ),
    Call("weight_predictions", ("posterior_predictive", "observed:any"), _weight_predictions),
    Call(
        "summary_predictive",
        ("posterior_predictive",),
        lambda tree: _call("summary", tree, group="posterior_predictive", kind="stats"),
    ),
]

FUNCTIONS: list[tuple[str, Callable[[xr.DataTree], Any]]] = [(call.name, call.function) for call in CALLS]


def functions_for(tree: xr.DataTree) -> Iterator[tuple[str, Callable[[xr.DataTree], Any]]]:
    """The calls that make sense for a tree."""
    for call in CALLS:
        if all(has(tree, need) for need in call.needs):
            yield call.name, call.function
