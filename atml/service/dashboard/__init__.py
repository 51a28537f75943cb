"""optuna-dashboard, behind what it lacks: credentials, a read-only mode, clear errors."""

from atml.service.dashboard.app import credentials_for, dashboard_app, serve

__all__ = ["credentials_for", "dashboard_app", "serve"]
