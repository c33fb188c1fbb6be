"""What is aimed at, as ratios within one run on one machine."""

# Effective draws per second when warm, against the best peer.
WARM = {
    "eight_schools": 10,
    "linreg-1e3": 10,
    "varying_intercepts-1e4": 10,
    "rats": 3,
    "pumps": 3,
    "seeds": 2,
    "logistic-3020": 2,
    "logit_re": 1,
}
# Fresh process to 4,000 effective draws: so many times faster than the best gradient sampler; those of the table above
# also faster than pyjags.
FRESH = dict.fromkeys(WARM, 4) | {
    "logistic-3020": 2,
    "linreg-1e5": 15,
    "linreg-1e6": 50,
    "varying_intercepts-1e6": 50,
}
FASTER_THAN_JAGS = frozenset(WARM)
# Ten million rows: `condition` against one NumPy pass over them; and draws after it against those after 10,000 rows.
ROWS, CONDITION, NO_GROWTH = 10_000_000, 3.0, 1.25
# Ten thousand regressions: seconds by prior, and MB above the data.
GROUPS, REGRESSIONS, REGRESSIONS_MEMORY = 10_000, {"exact": 2.0, "normal": 5.0}, 100.0
