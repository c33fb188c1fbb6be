"""The collapsed rung: a small core is sampled, or integrated by quadrature; what is below it is drawn exactly."""
