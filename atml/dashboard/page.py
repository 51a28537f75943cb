"""What ATML adds to the dashboard's page: titles of axes, and no buttons that would be refused."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from atml.dashboard.guards import routed_path

FOLDER = Path(__file__).parent
SCRIPT = "/atml/page.js"
# With them a browser would keep the page of a dashboard that was started with other options.
CACHING = ("Last-Modified", "ETag")
CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE")


def with_additions(app: WSGIApplication, *, only_reading: bool) -> WSGIApplication:
    """Add a style and a script to the dashboard's page; the content security policy allows only files."""
    styles = ["page.css", *(["read_only.css"] if only_reading else [])]
    css = "".join((FOLDER / name).read_text(encoding="utf-8") for name in styles)
    added = f'<style>{css}</style><script defer src="{SCRIPT}"></script></head>'.encode()
    script = (FOLDER / "page.js").read_bytes()

    def changed(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = routed_path(environ)
        if path == SCRIPT:
            kind = ("Content-Type", "text/javascript; charset=utf-8")
            start("200 OK", [kind, ("Content-Length", str(len(script)))])
            return [script] if environ["REQUEST_METHOD"] != "HEAD" else []
        if environ["REQUEST_METHOD"] != "GET" or not (path == "/dashboard" or path.startswith("/dashboard/")):
            return app(environ, start)
        return _inserted(app, {k: v for k, v in environ.items() if k not in CONDITIONS}, start, added)

    return changed


def _inserted(
    app: WSGIApplication, environ: WSGIEnvironment, start: StartResponse, added: bytes
) -> Iterable[bytes]:
    """Return the page with `added` at the end of its head."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def keep(status: str, headers: list[tuple[str, str]], *_error: Any) -> Callable[[bytes], object]:
        begun[:] = [(status, headers)]
        return lambda _written: None

    parts = app(environ, keep)
    try:
        body = b"".join(parts).replace(b"</head>", added, 1)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, headers = begun[0]
    edited = Headers(headers)
    for name in CACHING:
        del edited[name]
    edited["Cache-Control"] = "no-cache"
    edited["Content-Length"] = str(len(body))
    start(status, headers)
    return [body]
