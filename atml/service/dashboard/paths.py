"""The path of a request as optuna-dashboard routes it, which may differ from the server's."""

from wsgiref.types import WSGIEnvironment


def decoded_path(environ: WSGIEnvironment) -> str:
    """Return the path as text.

    Raises:
        UnicodeError: its bytes are not UTF-8.
    """
    return _path_bytes(environ).decode()


def routed_path(environ: WSGIEnvironment) -> str:
    """Return the path used for routing: without invalid UTF-8 and without final slashes."""
    return _path_bytes(environ).decode(errors="ignore").rstrip("/")


def _path_bytes(environ: WSGIEnvironment) -> bytes:
    return str(environ.get("PATH_INFO", "")).encode("latin-1")  # WSGI's encoding of bytes
