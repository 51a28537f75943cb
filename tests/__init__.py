"""The tests; what NumPy and PyTorch read when they are imported is set here, before they are."""

import os

# Tests run two at a time, and start processes: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin are slow on a busy machine
