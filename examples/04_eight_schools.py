"""
Eight schools
=============

Eight schools tried eight coaching programmes for the SAT-V test (Rubin, 1981). The raw estimates run from -3 to 28
points, with standard errors of 9 to 18. Which programme should a ninth school adopt, if any? A hierarchical model lets
the schools learn from each other, and the answer changes.
"""

import arviz as az
import matplotlib.pyplot as plt
import pandas as pd
import xarray as xr

import bayeskit as bk

COST = 3.0  # what a programme costs to run, in points of the test: an assumption

# %%
# Data and model
# --------------
# The true effects vary around a common mean; how much, the data must say.

data = pd.read_csv("data/eight_schools.csv", comment="#", index_col="school")
print(data.T)

m = bk.Model(coords={"school": list(data.index)})
se = m.data("standard_error", dims="school")
mu = m.latent("mu", bk.Normal(0, 5))
tau = m.latent("tau", bk.HalfCauchy(5))
theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
m.observed("effect", bk.Normal(theta, se), dims="school")
posterior = m.condition({"standard_error": data["standard_error"], "effect": data["effect"]})

print("\nWhat was done, and why:")
print(posterior.explain())

# %%
# Of ten unknowns nine are integrated out in closed form and the last, tau, by quadrature. So this table needs no draws:

print("\nPosterior (points of the test):")
print(posterior.summary().round(2))

# %%
# The estimates are pulled towards each other, the uncertain ones most: A had 28 points, and is now level with G. Draws
# are for the picture and for the decision; they are independent.

tree = posterior.sample(draws=5000, seed=1)
pc = az.plot_forest(
    tree, var_names="theta", labels=["school"], combined=True, figure_kwargs={"figsize": (8, 5), "width_ratios": [1, 6]}
)
axes = pc.get_viz("plot", "theta", column="forest")
heights = [pc.get_viz("point_estimate", "theta", school=s).get_offsets()[0][1] for s in data.index]
axes.plot(data["effect"], heights, "x", color="tab:red", label="raw estimate")
axes.axvline(COST, color="0.6", linestyle=":", label="cost")
axes.set(xlabel="effect of coaching (points)", title="What looked like 28 points is about 6")
axes.legend(loc="lower right")
plt.savefig("04_eight_schools.png")

# %%
# Decision
# --------
# Adopt the programme with the greatest expected effect after costs, or none.


def worth(post):
    net = post["theta"] - COST
    none = xr.zeros_like(net.isel(school=[0])).assign_coords(school=["none"])
    return xr.concat([net, none], dim="school").rename(school="programme")


decision = bk.decide(tree, utility=worth)
print("\nPoints gained after costs:")
print(decision)

best, raw = decision.best.item(), data["effect"].idxmax()
print(
    f"\nDecision: adopt programme {best}, {float(decision.gap):.1f} points ahead of the next. The raw best was {raw}."
)
sure = float(decision.prob_best.sel(programme=best))
print(f"It is the best of all with a probability of only {sure:.2f}: to know would be worth")
print(f"{float(decision.evpi):.1f} points, more than a programme costs, so trying them all for another year may pay.")
print("Figure: examples/04_eight_schools.png")
