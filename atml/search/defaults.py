"""Where the default specs lie: inside an installed package, or in the checkout it runs from."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def default_spec(name: str) -> Path:
    """Return the path of a spec that ATML brings along, such as `phase1.toml`."""
    installed = PACKAGE / "studies" / name
    return installed if installed.exists() else PACKAGE.parent / "studies" / name
