"""A simulated heart, its rhythms and its recording: what `sources/simulator.py` writes."""
