"""Networks of finite latents: evidence, marginals, draws and most probable states by exact variable elimination."""
