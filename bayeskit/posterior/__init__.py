"""Posteriors: draws, export to a DataTree, predictive quantities and sampling from a bare log density."""
