"""Growth of thirty rats (Gelfand, Hills, Racine-Poon and Smith, 1990, JASA 85, table 3; `rats` of BUGS volume 1).

y_it ~ N(a_i + b_i (x_t - 22), s2), a_i ~ N(ac, s2a), b_i ~ N(bc, s2b); ac, bc ~ N(0, 1000^2), variances
~ IG(0.001, 0.001).
"""

import numpy as np

MONITORED = ("a", "b", "ac", "bc", "s2", "s2a", "s2b")
WEIGHTS = """
151 199 246 283 320  145 199 249 293 354  147 214 263 312 328  155 200 237 272 297  135 188 230 280 323
159 210 252 298 331  141 189 231 275 305  159 201 248 297 338  177 236 285 350 376  134 182 220 260 296
160 208 261 313 352  143 188 220 273 314  154 200 244 289 325  171 221 270 326 358  163 216 242 281 312
160 207 248 288 324  142 187 234 280 316  156 203 243 283 317  157 212 259 307 336  152 203 246 286 321
154 205 253 298 334  139 190 225 267 302  146 191 229 272 302  157 211 250 285 323  132 185 237 286 331
160 207 257 303 345  169 216 261 295 333  157 205 248 289 316  137 180 219 258 291  153 200 244 286 324
"""  # a rat after the other, each on days 8, 15, 22, 29 and 36


def data():
    return {"x": np.array([8.0, 15, 22, 29, 36]), "y": np.array(WEIGHTS.split(), dtype=float).reshape(30, 5)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    x = m.data("x", dims="time")
    ac, bc = m.latent("ac", bk.Normal(0, 1000)), m.latent("bc", bk.Normal(0, 1000))
    s2, s2a, s2b = (m.latent(name, bk.InverseGamma(0.001, 0.001)) for name in ("s2", "s2a", "s2b"))
    a = m.latent("a", bk.Normal(ac, var=s2a), dims="rat")
    b = m.latent("b", bk.Normal(bc, var=s2b), dims="rat")
    m.observed("y", bk.Normal(a + b * (x - 22), var=s2), dims=("rat", "time"))
    return m.condition(data)


JAGS = """model {
  ac ~ dnorm(0, 1.0E-6)
  bc ~ dnorm(0, 1.0E-6)
  tau ~ dgamma(0.001, 0.001)
  taua ~ dgamma(0.001, 0.001)
  taub ~ dgamma(0.001, 0.001)
  for (i in 1:30) {
    a[i] ~ dnorm(ac, taua)
    b[i] ~ dnorm(bc, taub)
    for (t in 1:5) { y[i, t] ~ dnorm(a[i] + b[i] * (x[t] - 22), tau) }
  }
  s2 <- 1 / tau
  s2a <- 1 / taua
  s2b <- 1 / taub
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        ac, bc = pm.Normal("ac", 0, 1000), pm.Normal("bc", 0, 1000)
        s2, s2a, s2b = (pm.InverseGamma(name, alpha=0.001, beta=0.001) for name in ("s2", "s2a", "s2b"))
        a = pm.Normal("a", ac, s2a**0.5, shape=30)
        b = pm.Normal("b", bc, s2b**0.5, shape=30)
        pm.Normal("y", a[:, None] + b[:, None] * (data["x"] - 22), s2**0.5, observed=data["y"])
    return model


def numpyro(x, y):
    from numpyro import sample
    from numpyro.distributions import InverseGamma, Normal

    ac, bc = sample("ac", Normal(0, 1000)), sample("bc", Normal(0, 1000))
    s2, s2a, s2b = (sample(name, InverseGamma(0.001, 0.001)) for name in ("s2", "s2a", "s2b"))
    a = sample("a", Normal(ac, s2a**0.5).expand([30]).to_event(1))
    b = sample("b", Normal(bc, s2b**0.5).expand([30]).to_event(1))
    sample("y", Normal(a[:, None] + b[:, None] * (x - 22), s2**0.5), obs=y)
