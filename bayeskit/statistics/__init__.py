"""Sufficient statistics: what the rows of the data come down to, touched once."""
