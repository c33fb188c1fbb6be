"""Elimination: which latents are integrated out, from the data upwards, and what each leaves behind."""
