"""Which requests reach the dashboard, and what browsers may do with its answers.

The dashboard has no access control: anyone who reaches it may write, delete and upload.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ARTIFACTS = "/artifacts/"
REALM = 'Basic realm="ATML dashboard", charset="UTF-8"'

# 'unsafe-eval' is needed by the parallel coordinates plot, which compiles code for WebGL shaders, and
# inline styles by the dashboard's widgets; scripts come only from this server.
PAGE_POLICY = (
    "default-src 'self'; "
    "script-src 'self' 'unsafe-eval'; "
    "style-src 'self' data: 'unsafe-inline'; "
    "img-src 'self' data: blob:; "
    "font-src 'self' data:; "
    "worker-src 'self' blob:; "
    "object-src 'none'; "
    "frame-src 'none'; "
    "frame-ancestors 'none'; "
    "base-uri 'none'; "
    "form-action 'self'"
)
ARTIFACT_POLICY = "default-src 'none'; sandbox"
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": PAGE_POLICY,
}


def opens(credentials: str, header: str) -> bool:
    """Whether an `Authorization` header contains the credentials (user:password), in constant time."""
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:  # also that of base64
        return False
    expected = credentials.encode()
    # Digests have a fixed length, so the time does not even reveal the password's length.
    same = hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())
    return scheme.lower() == "basic" and same


def guarded(
    app: WSGIApplication,
    *,
    hosts: Collection[str] | None,
    credentials: str | None,
    only_reading: bool,
) -> WSGIApplication:
    """Refuse requests to other hosts than `hosts`, without `credentials`, from other sites, or that write.

    None stands for all hosts, or for no credentials.
    """

    def refusal(environ: WSGIEnvironment) -> tuple[str, str] | None:
        try:
            _path_bytes(environ).decode()
        except UnicodeError:
            # The dashboard drops such bytes and routes on the rest, so it would see another path.
            return "400 Bad Request", "The path is not UTF-8."
        # A web page may point its own domain at 127.0.0.1 and so reach local services (DNS rebinding); its
        # requests carry that domain.
        if hosts is not None and _hostname(environ.get("HTTP_HOST", "")) not in hosts:
            return "421 Misdirected Request", f"This dashboard answers to {', '.join(sorted(hosts))} only."
        if credentials is not None and not opens(credentials, environ.get("HTTP_AUTHORIZATION", "")):
            return "401 Unauthorized", "This dashboard requires a user and a password."
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return None
        if not _is_own(environ):  # it would write with this browser's credentials
            return "403 Forbidden", "Pages of other sites cannot write here."
        return ("403 Forbidden", "This dashboard is read-only.") if only_reading else None

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        refused = refusal(environ)
        if refused is None:
            # optuna-dashboard fails without one, as from curl.
            environ.setdefault("HTTP_ACCEPT_ENCODING", "")
            return app(environ, start)
        status, why = refused
        body = f"{why}\n".encode()
        plain = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
        asking = {"WWW-Authenticate": REALM} if status.startswith("401") else {}
        start(status, [*(SAFE_HEADERS | plain | asking).items()])
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    return answer


def with_safe_headers(app: WSGIApplication) -> WSGIApplication:
    """Restrict what browsers may do with the answers; artifacts are PNG pictures or downloads.

    A browser would run an HTML or SVG artifact as a page of the dashboard, with all rights of its user.
    """

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        is_artifact = routed_path(environ).startswith(ARTIFACTS)

        def start_safely(
            status: str, headers: list[tuple[str, str]], *error: Any
        ) -> Callable[[bytes], object]:
            edited = Headers(headers)  # edits the list itself
            for name, value in SAFE_HEADERS.items():
                edited[name] = value
            if is_artifact:
                kind = (edited.get("Content-Type") or "").partition(";")[0].strip().lower()
                is_picture = kind == "image/png"
                edited["Content-Type"] = "image/png" if is_picture else "application/octet-stream"
                edited["Content-Disposition"] = "inline" if is_picture else "attachment"
                edited["Content-Security-Policy"] = ARTIFACT_POLICY
                del edited["Access-Control-Allow-Origin"]  # the dashboard allows every site to read them
            return start(status, headers, *error)

        return app(environ, start_safely)

    return answer


def routed_path(environ: WSGIEnvironment) -> str:
    """Return the path on which optuna-dashboard routes: without invalid UTF-8 and without final slashes."""
    return _path_bytes(environ).decode(errors="ignore").rstrip("/")


def _path_bytes(environ: WSGIEnvironment) -> bytes:
    return str(environ.get("PATH_INFO", "")).encode("latin-1")  # WSGI's encoding of bytes


def _is_own(environ: WSGIEnvironment) -> bool:
    """Whether a request comes from a page of this server or from no page, as with curl."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == str(environ.get("HTTP_HOST", "")).lower()
    return environ.get("HTTP_SEC_FETCH_SITE", "same-origin") in ("same-origin", "none")


def _hostname(host: str) -> str:
    """Return the name in a `Host` header, without port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
