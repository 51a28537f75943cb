"""WSGI middlewares between the network and the dashboard, one for each concern.

The dashboard has no access control: anyone who reaches it may write, delete and upload. Each guard takes
an application and returns a safer one; `atml.service.dashboard.app` applies them in order.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from atml.errors import DashboardError
from atml.service.dashboard.paths import decoded_path, routed_path

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


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The credentials of the dashboard's only user."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `user:password`.

        Raises:
            DashboardError: either is missing; the given text is not shown.
        """
        user, _, password = text.partition(":")
        if not (user and password):
            raise DashboardError("ATML_DASHBOARD_AUTH must be user:password, neither of them empty")
        return cls(user=user, password=password)

    def open_with(self, header: str) -> bool:
        """Whether an `Authorization` header contains these credentials, in constant time."""
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except ValueError:  # also that of base64
            return False
        expected = f"{self.user}:{self.password}".encode()
        # Digests have a fixed length, so the time does not even reveal the password's length.
        same = hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())
        return scheme.lower() == "basic" and same


def refuse_undecodable_paths(app: WSGIApplication) -> WSGIApplication:
    """Answer 400 to a path that is not UTF-8.

    The dashboard drops such bytes and routes on the rest, so it would see a different path than the
    guards did.
    """

    def is_allowed(environ: WSGIEnvironment) -> bool:
        try:
            decoded_path(environ)
        except UnicodeError:
            return False
        return True

    return _refuse_unless(is_allowed, app, "400 Bad Request", "The path is not UTF-8.")


def demand_credentials(app: WSGIApplication, credentials: Credentials) -> WSGIApplication:
    """Answer 401 to every request without the right credentials."""

    def is_allowed(environ: WSGIEnvironment) -> bool:
        return credentials.open_with(environ.get("HTTP_AUTHORIZATION", ""))

    why = "This dashboard requires a user and a password."
    return _refuse_unless(is_allowed, app, "401 Unauthorized", why, ("WWW-Authenticate", REALM))


def answer_only_to(app: WSGIApplication, hosts: Collection[str]) -> WSGIApplication:
    """Answer 421 to requests for a host name not in `hosts`.

    A web page may point its own domain at 127.0.0.1 and so reach local services (DNS rebinding); its
    requests carry that domain.
    """

    def is_allowed(environ: WSGIEnvironment) -> bool:
        return _hostname(environ.get("HTTP_HOST", "")) in hosts

    why = f"This dashboard answers to {', '.join(sorted(hosts))} only."
    return _refuse_unless(is_allowed, app, "421 Misdirected Request", why)


def refuse_foreign_writes(app: WSGIApplication) -> WSGIApplication:
    """Answer 403 to writes that a page of another site makes with this browser's credentials."""

    def is_allowed(environ: WSGIEnvironment) -> bool:
        return _is_reading(environ) or _is_own(environ)

    return _refuse_unless(is_allowed, app, "403 Forbidden", "Pages of other sites cannot write here.")


def read_only(app: WSGIApplication) -> WSGIApplication:
    """Answer 403 to every request that is not a GET or a HEAD."""
    return _refuse_unless(_is_reading, app, "403 Forbidden", "This dashboard is read-only.")


def harmless_artifacts(app: WSGIApplication) -> WSGIApplication:
    """Serve artifacts as PNG pictures or as downloads, whatever type they were uploaded with.

    A browser would run an HTML or SVG file as a page of the dashboard, with all rights of its user.
    """

    def change(headers: Headers) -> None:
        picture = (headers.get("Content-Type") or "").partition(";")[0].strip().lower() == "image/png"
        headers["Content-Type"] = "image/png" if picture else "application/octet-stream"
        headers["Content-Disposition"] = "inline" if picture else "attachment"
        headers["Content-Security-Policy"] = ARTIFACT_POLICY
        del headers["Access-Control-Allow-Origin"]  # the dashboard allows every site to read them

    guarded = _change_headers(app, change)

    def only_artifacts(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        is_artifact = routed_path(environ).startswith(ARTIFACTS)
        return (guarded if is_artifact else app)(environ, start)

    return only_artifacts


def security_headers(app: WSGIApplication) -> WSGIApplication:
    """Add the headers that restrict what browsers may do with the responses."""

    def change(headers: Headers) -> None:
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if headers.get("Content-Security-Policy") != ARTIFACT_POLICY:
            headers["Content-Security-Policy"] = PAGE_POLICY

    return _change_headers(app, change)


def _change_headers(app: WSGIApplication, change: Callable[[Headers], None]) -> WSGIApplication:
    def changed(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def start_changed(
            status: str, headers: list[tuple[str, str]], *error: Any
        ) -> Callable[[bytes], object]:
            change(Headers(headers))  # edits the list itself
            return start(status, headers, *error)

        return app(environ, start_changed)

    return changed


def _refuse_unless(
    is_allowed: Callable[[WSGIEnvironment], bool],
    app: WSGIApplication,
    status: str,
    why: str,
    *headers: tuple[str, str],
) -> WSGIApplication:
    body = f"{why}\n".encode()
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if is_allowed(environ):
            return app(environ, start)
        start(status, [*plain, *headers])
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    return guarded


def _is_reading(environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] in ("GET", "HEAD")


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
