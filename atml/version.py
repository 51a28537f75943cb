"""The version of ATML."""

__version__ = "0.2.0"
