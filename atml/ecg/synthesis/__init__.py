"""A simulated heart, its rhythms and its recording, used by `sources/simulator.py`."""
