"""The version, in one place: read by the build, by `bayeskit.__version__` and by every result that is exported."""

__version__ = "0.1.0"
