"""ATML finds the smallest and most accurate network that tells atrial fibrillation from an ECG."""

__version__ = "0.1.0"
