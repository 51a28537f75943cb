"""optuna-dashboard with credentials, a read-only mode and clear errors."""
