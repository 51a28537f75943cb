"""ATML finds the smallest and most accurate network that tells atrial fibrillation from an ECG."""

import os

__version__ = "0.1.0"

# ONNX Runtime reads this when it is imported. Without it, it keeps a device id in the user's cache and
# reports to Microsoft. Whatever the environment says is replaced: its "0" would switch the reports on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
