"""The version of ATML."""

__version__ = "0.3.0"
