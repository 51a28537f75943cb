"""optuna-dashboard with credentials, a read-only mode and clear errors, and what ATML shows in it."""
