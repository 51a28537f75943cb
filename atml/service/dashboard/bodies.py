"""Answers 400 to requests whose JSON body the dashboard would answer with "internal server error"."""

import base64
import binascii
import io
import json
import re
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from atml.service.dashboard.paths import routed_path

# The type of each field in the dashboard's requests.
FIELDS: dict[str, type] = {
    "study_name": str,
    "directions": list,
    "version": int,
    "body": str,
    "file": str,
    "filename": str,
    "user_attrs": dict,
    "state": str,
    "values": list,
    "mode": str,
    "candidates": list,
    "clicked": int,
    "output_type": str,
}
# These take none; the dashboard's own page sends none.
WITHOUT_BODY = re.compile(r"/api/studies/\d+/(\d+/skip|preference/[^/]+)")
NAMES = {str: "a text", int: "a number", list: "a list", dict: "an object"}


def refuse_malformed_bodies(app: WSGIApplication) -> WSGIApplication:
    """Answer 400, with the reason, to a body that is no JSON object or has a field of the wrong type."""

    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD") or not routed_path(environ).startswith("/api/"):
            return app(environ, start)
        length = environ.get("CONTENT_LENGTH") or "0"
        body = environ["wsgi.input"].read(int(length)) if length.isdigit() else b""
        environ["wsgi.input"] = io.BytesIO(body)
        problem = _problem(body, environ)
        if problem is None:
            return app(environ, start)
        answer = json.dumps({"reason": problem}).encode()
        start("400 Bad Request", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    return guarded


def _problem(body: bytes, environ: WSGIEnvironment) -> str | None:
    takes_none = environ["REQUEST_METHOD"] == "DELETE" or WITHOUT_BODY.fullmatch(routed_path(environ))
    if not body and takes_none:
        return None
    if not environ.get("CONTENT_TYPE", "").startswith("application/json"):
        return "the body must be a JSON object, sent as application/json"
    try:
        document = json.loads(body)
    except ValueError:
        return "the body is not JSON"
    if not isinstance(document, dict):
        return "the body must be a JSON object"
    for name, value in document.items():
        expected = FIELDS.get(name)
        # A truth value is a number to Python, but not to the dashboard.
        if expected is not None and (not isinstance(value, expected) or isinstance(value, bool)):
            return f"{name} must be {NAMES[expected]}"
    return _problem_within(document)


def _problem_within(document: dict[str, Any]) -> str | None:
    if not all(isinstance(one, str) for one in document.get("directions", [])):
        return "directions must be texts"
    if not all(isinstance(one, int | str) for one in document.get("candidates", [])):
        return "candidates must be numbers"
    if "file" in document and not _is_data_uri(document["file"]):
        return "file must be a data URI: data:TYPE;base64,…"
    return None


def _is_data_uri(text: str) -> bool:
    scheme, _, rest = text.partition(":")
    _, comma, content = rest.partition(",")
    try:
        base64.standard_b64decode(content)
    except (binascii.Error, ValueError):
        return False
    return scheme == "data" and bool(comma)
