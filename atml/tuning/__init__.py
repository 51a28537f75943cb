"""The search: specs, phases, pruning, and the objective that connects Optuna with training."""
