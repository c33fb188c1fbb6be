"""How a posterior is inferred: sampling kernels, their adaptation, the loop over sweeps and the plan."""
