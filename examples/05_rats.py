"""
Rats: growth curves and a lost weight
=====================================

Thirty young rats were weighed at five ages (Gelfand et al., 1990; the example "Rats" of BUGS). Each has a line of its
own, and the lines are drawn from a common population. First all weights, a row each, against the published table; then
the same model on a rectangle with one weight lost: what did the rat weigh, and on what weight should its dose be based?
"""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeskit as bk

data = pd.read_csv("data/rats.csv", comment="#")
square = data.pivot(index="rat", columns="day", values="weight").astype(float)
print(square.head(3))

# %%
# The model
# ---------
# The 62 normal unknowns are integrated out as one block. Only the three precisions are left to sample; the 62 are then
# drawn given them.


def growth(m):
    center, slope = m.latent("center", bk.Normal(0, tau=1e-6)), m.latent("slope", bk.Normal(0, tau=1e-6))
    tau_a, tau_b, tau = (m.latent(name, bk.Gamma(0.001, 0.001)) for name in ("tau_a", "tau_b", "tau"))
    a = m.latent("a", bk.Normal(center, tau=tau_a), dims="rat")  # grams at day 22
    b = m.latent("b", bk.Normal(slope, tau=tau_b), dims="rat")  # grams per day
    m.derived("birth", center - 22 * slope)
    m.derived("sigma", tau**-0.5)
    return a, b, tau


# %%
# A row per weight, and the published table.

long = bk.Model()
rat, day = long.index("rat", dims="row"), long.data("day", dims="row")
a, b, tau = growth(long)
long.observed("weight", bk.Normal(a[rat] + b[rat] * (day - 22), tau=tau), dims="row")
posterior = long.condition(data)
print("\nWhat was done, and why:")
print(posterior.explain())

tree = posterior.sample(seed=1)
table = az.summary(tree, var_names=["birth", "slope", "sigma"], round_to=4)[["mean", "sd", "mcse_mean"]]
table["published mean"], table["published sd"] = [106.6, 6.186, 6.093], [3.66, 0.1089, 0.4643]
print("\nAll 150 weights (grams; grams per day), and BUGS:")
print(table)

# %%
# The same on a rectangle of rats and days. The last weight of rat 9, the heaviest, is lost: a NaN is an unknown.

truth = square.loc[9, 36]
square.loc[9, 36] = np.nan
wide = bk.Model(coords={"rat": square.index, "age": square.columns})
day = wide.data("day", dims="age")
a, b, tau = growth(wide)
wide.observed("weight", bk.Normal(a + b * (day - 22), tau=tau), dims=("rat", "age"))
lossy = wide.condition({"day": square.columns, "weight": square})
print("\nWhat was done with the lost weight:")
print(next(line for line in lossy.explain().splitlines() if "weight_missing" in line))

tree = lossy.sample(draws=2000, seed=2)
lost = tree["posterior"]["weight_missing"].squeeze("weight_missing_cell")
print(
    f"\nRat 9 at day 36: {float(lost.mean()):.0f} grams, sd {float(lost.std()):.1f}; the scales had said {truth:.0f}."
)

# %%
# Decision
# --------
# A drug is dosed by weight. A gram too much does three times the harm of a gram too little.

basis = xr.DataArray(np.arange(340, 421), dims="basis", coords={"basis": np.arange(340, 421)})
excess = basis - lost
decision = bk.decide(tree, loss=xr.where(excess > 0, 3 * excess, -excess))
best = int(decision.best)

shown = {"title": False, "point_estimate_text": False}
az.plot_dist(tree, var_names="weight_missing", visuals=shown, figure_kwargs={"figsize": (8, 4)})
axes = plt.gca()
top = 1.2 * axes.get_ylim()[1]
for value, text, side in ((best, "basis of the dose", "left"), (truth, "weighed", "right")):
    axes.axvline(value, color="0.5", linestyle=":")
    axes.annotate(f" {text}: {value:.0f} ", (value, 0.93), xycoords=("data", "axes fraction"), ha=side, color="0.3")
axes.set(xlabel="weight of rat 9 at day 36 (grams)", ylim=(None, top))
axes.set_title("The lost weight is known to 9 grams, and the careful dose lies below its mean")
plt.savefig("05_rats.png")
print(f"\nDecision: dose rat 9 as if it weighed {best} grams.")
print("Figure: examples/05_rats.png")
