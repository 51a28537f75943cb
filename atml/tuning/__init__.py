"""The search: specs, phases, pruning, and the objective in which Optuna and training meet."""
