"""optuna-dashboard with credentials, a read-only mode and clear errors."""

from atml.service.dashboard.app import credentials_for, dashboard_app, serve

__all__ = ["credentials_for", "dashboard_app", "serve"]
