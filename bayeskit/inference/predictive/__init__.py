"""Predictive distributions: what an observed variable will be, its latents integrated out."""
