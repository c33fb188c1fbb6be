"""The version, in one place: read by the build, by `bayeskit.__version__` and by what a result records of its making."""

__version__ = "0.1.0"
