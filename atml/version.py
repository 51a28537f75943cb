"""The version of ATML."""

__version__ = "0.1.0"
