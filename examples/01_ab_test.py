"""
An A/B/n test with unequal costs
================================

Six insecticides, each on twelve plots of a field, and the insects counted that were left (Beall, 1942). Spray C leaves
the fewest. If it also costs most: is it the one to buy?

The counts are real. What a spray costs and what an insect eats are assumptions of this page; the last figure says how
far the decision depends on one of them.
"""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeskit as bk

DAMAGE = 1.0  # dollars an insect
COST = {"A": 1.0, "B": 1.0, "C": 4.0, "D": 2.0, "E": 2.5, "F": 1.0}  # dollars a plot
PLOTS = 10_000  # to be sprayed

# %%
# Data and model
# --------------
# One row a plot. Each spray has a rate of insects that it leaves; the prior is worth a tenth of a plot.

table = pd.read_csv("data/insect_sprays.csv", comment="#")
print(table.groupby("spray")["insects"].agg(["count", "sum", "mean"]).round(2))

m = bk.Model()
spray = m.index("spray", dims="plot")
rate = m.latent("rate", bk.Gamma(1, 0.1), dims="spray")
m.observed("insects", bk.Poisson(rate[spray]), dims="plot")
posterior = m.condition(table)

print("\nWhat was done, and why:")
print(posterior.explain())

# %%
# The posterior is exact: a gamma distribution per spray, and no draws are needed to describe it.

exact = posterior["rate"]
low, high = exact.eti(0.89).transpose("ci_bound", "spray")
columns = {"mean": exact.mean(), "sd": exact.sd(), "5.5 %": low, "94.5 %": high}
result = pd.DataFrame(columns, index=exact.mean()["spray"].to_index())
print("\nInsects left on a plot:")
print(result.round(2))

# %%
# Draws are for what has no formula, such as pictures and comparisons.

tree = posterior.sample(draws=5000, chains=4, seed=1)
shown = {"title": False, "credible_interval": False, "point_estimate": False, "point_estimate_text": False}
layout = {"cols": ["__variable__"], "aes": {"color": ["spray"]}, "figure_kwargs": {"figsize": (8, 4)}}
pc = az.plot_dist(tree, var_names="rate", visuals=shown, **layout)
pc.add_legend("spray", title="spray", bbox_to_anchor=(0.9, 0.87))
plt.gca().set(xlabel="insects left on a plot", title="Sprays C, D and E work; C leaves the fewest insects")
plt.savefig("01_ab_test.png")

# %%
# Decision
# --------
# A plot loses what the insects eat, and what the spray costs.

cost = xr.DataArray(list(COST.values()), dims="spray", coords={"spray": list(COST)})
decision = bk.decide(tree, loss=lambda post: DAMAGE * post["rate"] + cost)
print("\nMinus the dollars lost on a plot:")
print(decision)

# %%
# The costs of spray C at which another decision is right, and what a perfect test would be worth there:

price = np.round(np.arange(2.05, 6.0, 0.1), 2)
costs = cost.where(cost["spray"] != "C", xr.DataArray(price, dims="price", coords={"price": price}))
by_price = bk.decide(tree, loss=lambda post: DAMAGE * post["rate"] + costs, action="spray")
limit = price[(by_price.best == "C").to_numpy()].max()

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
close = ["C", "D", "E"]
left.plot(price, -by_price.expected_utility.sel(spray=close).transpose("price", "spray"), label=close)
left.set(ylabel="expected loss (dollars a plot)", title=f"Spray C is worth up to {limit:.2f} dollars")
left.legend(title="spray")
right.plot(price, PLOTS * by_price.evpi, color="black")
right.set(ylabel="value of knowing the rates (dollars)", title="Another test pays where the choice is close")
for panel in (left, right):
    panel.axvline(COST["C"], color="0.6", linestyle=":")
    panel.set(xlabel="cost of spray C (dollars a plot)")
figure.savefig("01_ab_test_decision.png")

print(f"\nDecision: buy spray {decision.best.item()}. C would be best if it cost at most {limit:.2f} dollars a plot.")
print(f"For {PLOTS:,} plots, knowing the rates exactly would be worth {PLOTS * float(decision.evpi):,.0f} dollars.")
print("Figures: examples/01_ab_test.png, examples/01_ab_test_decision.png")
