"""The core: what is left after elimination, and how it is sampled. Arrays and callables; no model here."""
