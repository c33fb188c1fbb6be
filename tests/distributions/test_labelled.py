"""The labelled layer, and distributions as values: names of dims, printing, equality, pickling, errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from bayeskit.distributions import (
    Beta,
    BetaBinomial,
    Binomial,
    Cauchy,
    ChiSquared,
    Flat,
    Gamma,
    GeneralizedInverseGaussian,
    Geometric,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    Normal,
    Poisson,
    Power,
    StudentT,
    Truncated,
    Uniform,
)
from bayeskit.errors import ParameterError, RefusedError
from bayeskit.expressions import Constant

ARM = xr.DataArray([1.0, 2.0], dims="arm", coords={"arm": ["A", "B"], "colour": ("arm", ["red", "blue"])})
SITE = xr.DataArray([1.0, 2.0, 3.0], dims="site")


class TestLabels:
    def test_dims_are_the_union_in_order_of_appearance(self):
        d = Normal(ARM, SITE)
        assert d.dims == ("arm", "site") == d.mean().dims
        np.testing.assert_array_equal(d.mean(), [[1, 1, 1], [2, 2, 2]])
        np.testing.assert_array_equal(d.sd(), [[1, 2, 3], [1, 2, 3]])
        assert list(d.var().coords["arm"].values) == ["A", "B"]
        assert "colour" in d.var().coords

    def test_the_order_of_axes_of_a_parameter_does_not_matter(self):
        table = xr.DataArray(np.arange(6.0).reshape(3, 2), dims=("site", "arm"), coords={"arm": ["A", "B"]})
        d = Normal(ARM, 1 + table)
        np.testing.assert_array_equal(d.sd().sel(arm="B"), [2, 4, 6])

    def test_scalars_answer_without_dims(self):
        assert Gamma(2, 4).mean().dims == ()
        assert Gamma(2, 4).mean().item() == 0.5

    def test_new_dims_come_last(self):
        d = Normal(ARM, SITE)
        q = d.quantile([0.1, 0.5, 0.9])
        assert q.dims == ("arm", "site", "quantile")
        np.testing.assert_array_equal(q.coords["quantile"], [0.1, 0.5, 0.9])
        np.testing.assert_allclose(q.sel(quantile=0.5), d.mean())
        assert d.quantile(0.5).dims == ("arm", "site")
        for interval in (d.hdi(), d.eti()):
            assert interval.dims == ("arm", "site", "ci_bound")
            assert list(interval.coords["ci_bound"].values) == ["lower", "upper"]

    def test_values_are_aligned_by_name(self):
        x = xr.DataArray([0.0, 1.0, 2.0, 3.0], dims="draw")
        found = Normal(ARM, 1).log_prob(x)
        assert found.dims == ("arm", "draw")
        assert found.sel(arm="B", draw=2) == pytest.approx(-0.5 * np.log(2 * np.pi))
        swapped = xr.DataArray([2.0, 1.0], dims="arm", coords={"arm": ["A", "B"]})
        np.testing.assert_allclose(Normal(ARM, 1).cdf(swapped), Normal(0, 1).cdf([1.0, -1.0]))

    def test_a_row_of_bare_values_is_the_last_dim(self):
        found = Normal(ARM, 1).cdf([0.0, 1.0, 2.0])
        assert found.dims == ("arm", "x")
        np.testing.assert_array_equal(found.coords["x"], [0, 1, 2])

    def test_draws_lead(self):
        draws = Normal(ARM, SITE).sample(7, seed=3)
        assert draws.dims == ("draw", "arm", "site")
        assert draws.shape == (7, 2, 3)
        assert len(np.unique(draws)) == 42
        xr.testing.assert_identical(draws, Normal(ARM, SITE).sample(7, seed=3))

    def test_many_cells_need_no_loop(self):
        cells = xr.DataArray(np.linspace(0.5, 50, 20_000), dims="cell")
        d = Beta(cells, 3)
        low, high = (d.hdi(0.5).sel(ci_bound=end) for end in ("lower", "upper"))
        np.testing.assert_allclose(d.cdf(high) - d.cdf(low), 0.5, rtol=1e-8)


@pytest.mark.parametrize(
    "d",
    [Gamma(2, 1), Gamma(0.5, 1), Beta(2, 5), Beta(0.5, 0.5), Beta(5, 1), InverseGamma(0.1, 1), Gamma(1e4, 1),
     GeneralizedInverseGaussian(-1, 2, 3), Power(InverseGamma(3, 2), 0.5), Truncated(Normal(), -1, 3), StudentT(3)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("prob", [0.5, 0.89])
def test_hdi_is_the_narrowest_interval(d, prob):
    lower, upper = d.hdi(prob).values
    start = np.linspace(0, 1 - prob, 2001)
    widths = d.quantile(np.minimum(start + prob, 1)).values - d.quantile(start).values
    assert d.cdf(upper) - d.cdf(lower) == pytest.approx(prob, rel=1e-8)
    assert upper - lower <= widths.min() * (1 + 1e-9)


def test_hdi_of_a_flat_density_is_central_and_of_a_falling_one_starts_at_its_bound():
    np.testing.assert_allclose(Beta(1, 1).hdi(0.9), [0.05, 0.95])
    assert HalfNormal(3).hdi().values[0] == 0
    assert Truncated(Normal(), lower=8).hdi().values[0] == 8


@pytest.mark.parametrize(
    "d",
    [Poisson(3.3), Poisson(0.5), Poisson(40), Binomial(10, 0.3), Binomial(10, 0.99), Geometric(0.3),
     BetaBinomial(10, 0.5, 0.5), Truncated(Poisson(3), 1)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("prob", [0.5, 0.89, 0.95])
def test_hdi_of_counts_is_the_shortest_run_and_of_those_the_most_probable(d, prob):
    mass = np.exp(d.log_prob(np.arange(90.0)).values)
    runs = [(i, j, mass[i : j + 1].sum()) for i in range(90) for j in range(i, 90)]
    width = min(j - i for i, j, held in runs if held >= prob - 1e-12)
    held = max(held for i, j, held in runs if j - i == width)
    lower, upper = d.hdi(prob).values
    assert upper - lower == width
    assert mass[int(lower) : int(upper) + 1].sum() == pytest.approx(held, rel=1e-12)


class TestValues:
    @pytest.mark.parametrize(
        ("d", "text"),
        [
            (Normal(), "Normal(0, 1)"),
            (Normal(0, 2.5), "Normal(0, 2.5)"),
            (Normal(0, tau=4), "Normal(0, tau=4)"),
            (Gamma(2, scale=3), "Gamma(2, scale=3)"),
            (Beta(ARM, 1), "Beta(<arm: 2>, 1)"),
            (StudentT(3, var=np.float64(4)), "StudentT(3, 0, var=4.0)"),
            (Flat(), "Flat()"),
            (Flat(lower=0), "Flat(lower=0)"),
            (Truncated(Normal(0, 1), upper=2), "Truncated(Normal(0, 1), upper=2)"),
            (Power(InverseGamma(2, 3), 0.5), "Power(InverseGamma(2, 3), 0.5)"),
        ],
    )
    def test_printed_as_written(self, d, text):
        assert str(d) == repr(d) == text

    def test_printed_with_expressions(self):
        t = Constant(3.0)
        assert str(Normal(0, tau=t)) == f"Normal(0, tau={t})"
        assert Normal(0, tau=t).given["tau"] is t

    @pytest.mark.parametrize(
        "d", [Normal(0, tau=4), Beta(ARM, 1), Flat(lower=0), Truncated(Normal(ARM, 1), upper=2), Power(Gamma(2, 3), -1)]
    )
    def test_pickled_and_equal(self, d):
        again = pickle.loads(pickle.dumps(d))
        assert again == d
        assert hash(again) == hash(d)
        assert str(again) == str(d)

    def test_equal_where_they_mean_the_same(self):
        assert Normal(0, tau=4) == Normal(0, 0.5) == Normal(0, var=0.25)
        assert hash(Normal(0, tau=4)) == hash(Normal(0, 0.5))
        assert Normal(0, 1) != Normal(0, 2)
        assert Gamma(1, 1) != Beta(1, 1)
        assert Normal(ARM, 1) != Normal(ARM + 1, 1)
        assert Truncated(Normal(), 0) != Truncated(Normal(), 1)

    def test_immutable(self):
        with pytest.raises(AttributeError, match="Normal is immutable; 'mu' cannot be set"):
            Normal().mu = 3

    def test_improper(self):
        for d in (Flat(), Gamma(0, 1), InverseGamma(0, 0), Beta(0, 1), GeneralizedInverseGaussian(0, 0, 1)):
            assert not d.is_proper
            with pytest.raises(RefusedError, match="is improper, so it cannot be drawn from"):
                d.sample(3)
        assert GeneralizedInverseGaussian(2, 1, 0).is_proper
        assert InverseGamma(0, 0).log_prob(2.0).item() == pytest.approx(-np.log(2))
        assert Gamma(0, 0).log_prob(2.0).item() == pytest.approx(-np.log(2))
        assert Beta(0, 0).log_prob(0.25).item() == pytest.approx(-np.log(0.25 * 0.75))
        assert GeneralizedInverseGaussian(0, 0, 0).log_prob(2.0).item() == pytest.approx(-np.log(2))

    def test_moments_that_are_infinite_or_do_not_exist(self):
        assert StudentT(1.5).var() == np.inf
        assert np.isnan(StudentT(1).mean())
        assert np.isnan(Cauchy().var())
        assert InverseGamma(1, 1).mean() == np.inf
        assert HalfStudentT(1).mean() == np.inf
        assert Power(InverseGamma(0.4, 1), 0.5).mean() == np.inf
        assert Truncated(Cauchy(), lower=3).mean() == np.inf
        assert Truncated(Cauchy(), upper=3).mean() == -np.inf


class TestErrors:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Normal(0, -1.0), r"Parameter 'sigma' of Normal must be positive\. Got -1\.0\. A standard "
             r"deviation is what is meant; use var= for a variance or tau= for a precision\."),
            (lambda: Normal(np.nan), r"'mu' of Normal must be a finite number\. Got nan\."),
            (lambda: Normal(0, ARM - 1), r"'sigma' of Normal must be positive\. Got 0\.0 at arm='A'\."),
            (lambda: Normal(0, 1, var=2), r"must be given one of 'sigma', 'var' and 'tau'\. Got 'sigma' and 'var'"),
            (lambda: Gamma(2), r"Gamma must be given 'beta' or 'scale'\. Got nothing for it\."),
            (lambda: Normal([1, 2], 1), r"'mu' of Normal must be a scalar\. Got an array of shape \(2,\) .*m\.data"),
            (lambda: Normal("one"), r"'mu' of Normal must be a number, a DataArray or an expression.*Got str 'one'\."),
            (lambda: Uniform(3, 1), r"Parameters of Uniform must satisfy lower < upper\. Got lower=3, upper=1\."),
            (lambda: Flat(3, 3), r"Parameters of Flat must satisfy lower < upper"),
            (lambda: ChiSquared(np.inf), r"'nu' of ChiSquared must be positive\. Got inf\."),
            (lambda: Truncated(Normal(), 2, 1), r"lower < upper with part of the support between them"),
            (lambda: Truncated(Gamma(1, 1), upper=-1), r"lower < upper with part of the support between them"),
            (lambda: Truncated(Flat(), 0), r"must be given a proper univariate distribution\. Got Flat\(\)\."),
            (lambda: Power(Normal(), 0.5), r"Power must be given a continuous distribution of positive numbers"),
            (lambda: Power(Gamma(1, 1), 0), r"'exponent' of Power must be a number other than zero\. Got 0\."),
            (lambda: Normal().quantile(2), r"'q' of Normal must lie between 0 and 1"),
            (lambda: Normal().sample(0), r"'draws' of Normal must be a whole number, one or more\. Got 0\."),
            (lambda: Normal().cdf([[1.0]]), r"must have 0 axes, or one more\. Got an array of shape \(1, 1\)"),
            (lambda: Normal(ARM, ARM.assign_coords(arm=["A", "C"])).mean(), r"must agree in the labels and sizes"),
        ],
    )  # fmt: skip
    def test_sentences(self, make, message):
        with pytest.raises(ParameterError, match=message):
            make()

    def test_expressions_have_no_numbers(self):
        d = Normal(Constant(3.0), 1)
        for ask in (d.mean, d.hdi, d.sample, lambda: d.log_prob(1.0)):
            with pytest.raises(RefusedError, match=r"depends on the model variable.*Condition the model first"):
                ask()

    def test_what_a_family_lacks_is_named(self):
        with pytest.raises(RefusedError, match="Flat has no mean in closed form"):
            Flat().mean()
