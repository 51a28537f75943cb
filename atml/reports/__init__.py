"""Turning a finished study into a bundle with its metrics."""
