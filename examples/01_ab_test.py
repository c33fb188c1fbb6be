"""
An A/B/n test with unequal costs
================================

64,000 customers of a shop got an e-mail on men's merchandise, one on women's merchandise, or none, at random
(Hillstrom, 2008). The men's e-mail sold most. It also costs most: is it the one to send to a million customers?

The test is real; the split of its counts by arm is unverified (see the data file). The costs of a mail and the margin of an order are assumptions of this page, as they differ from shop
to shop; the last figure says how far the decision depends on one of them.
"""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeskit as bk

MARGIN = 30.0  # dollars of contribution per order; orders were of 116 dollars on average
COST = {"no e-mail": 0.00, "women's": 0.05, "men's": 0.15}  # dollars per customer; the men's mail bears a discount
LIST_SIZE = 1_000_000

# %%
# Data and model
# --------------
# Only the counts matter: each arm has a buying rate, and a flat prior lets the data speak.

table = pd.read_csv("data/email_test.csv", comment="#", index_col="arm")
print(table)

m = bk.Model(coords={"arm": list(table.index)})
customers = m.data("customers", dims="arm")
rate = m.latent("rate", bk.Beta(1, 1), dims="arm")
m.observed("buyers", bk.Binomial(customers, rate), dims="arm")
posterior = m.condition({"customers": table["customers"], "buyers": table["buyers"]})

print("\nWhat was done, and why:")
print(posterior.explain())

# %%
# The posterior is exact: a beta distribution per arm, and no draws are needed to describe it.

exact = posterior["rate"]
low, high = 1000 * exact.eti(0.89).transpose("ci_bound", "arm")
columns = {"mean": 1000 * exact.mean(), "sd": 1000 * exact.sd(), "5.5 %": low, "94.5 %": high}
result = pd.DataFrame(columns, index=table.index)
print("\nBuyers per thousand customers:")
print(result.round(2))

# %%
# Draws are for what has no formula, such as pictures and comparisons.

tree = posterior.sample(draws=5000, chains=4, seed=1)
tree["posterior"]["per_thousand"] = 1000 * tree["posterior"]["rate"]
shown = {"title": False, "credible_interval": False, "point_estimate": False, "point_estimate_text": False}
layout = {"cols": ["__variable__"], "aes": {"color": ["arm"]}, "figure_kwargs": {"figsize": (8, 4)}}
pc = az.plot_dist(tree, var_names="per_thousand", visuals=shown, **layout)
pc.add_legend("arm", title="arm", bbox_to_anchor=(0.9, 0.87))
axes = plt.gca()
axes.set(xlabel="buyers per 1,000 customers", title="Both mails sell, and the men's sells more than the women's")
plt.savefig("01_ab_test.png")

# %%
# Decision
# --------
# The profit per customer is the buying rate times the margin, less the cost of the mail.

cost = xr.DataArray(list(COST.values()), dims="arm", coords={"arm": list(COST)})
decision = bk.decide(tree, utility=lambda post: MARGIN * post["rate"] - cost)
print("\nProfit in dollars per customer:")
print(decision)

# %%
# The costs of the men's mail at which another decision is right, and what a perfect test would be worth there:

price = np.round(np.arange(0.05, 0.301, 0.01), 2)
costs = cost.where(cost["arm"] != "men's", xr.DataArray(price, dims="price", coords={"price": price}))
by_price = bk.decide(tree, utility=lambda post: MARGIN * post["rate"] - costs, action="arm")
limit = price[(by_price.best == "men's").to_numpy()].max()

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(price, by_price.expected_utility.transpose("price", "arm"), label=list(table.index))
left.set(ylabel="expected profit (dollars per customer)", title=f"The men's mail is worth up to {limit:.2f} dollars")
left.legend(title="arm")
right.plot(price, LIST_SIZE * by_price.evpi, color="black")
right.set(ylabel="value of knowing the rates (dollars)", title="Another test pays where the choice is close")
for panel in (left, right):
    panel.axvline(COST["men's"], color="0.6", linestyle=":")
    panel.set(xlabel="cost of a men's mail (dollars per customer)")
figure.savefig("01_ab_test_decision.png")

best, worth = decision.best.item(), LIST_SIZE * float(decision.evpi)
print(f"\nDecision: send the {best} e-mail. It stays the best while it costs at most {limit:.2f} dollars a customer.")
print(f"For {LIST_SIZE:,} customers, knowing the rates exactly would be worth {worth:,.0f} dollars.")
print("Figures: examples/01_ab_test.png, examples/01_ab_test_decision.png")
