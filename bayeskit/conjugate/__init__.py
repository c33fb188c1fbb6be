"""The mathematics of conjugacy: rules as rows of a table, posteriors and log normalisers of each natural family."""
