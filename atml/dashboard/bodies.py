"""Answers 400 to requests whose JSON body the dashboard would answer with "internal server error"."""

import base64
import io
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from atml.dashboard.guards import routed_path
from atml.tuning.spec import STUDY_NAME, STUDY_NAME_RULE

# These take none; the dashboard's own page sends none.
WITHOUT_BODY = re.compile(r"/api/studies/\d+/(\d+/skip|preference/[^/]+)")


def _data_uri(text: str) -> str:
    scheme, _, rest = text.partition(":")
    _, comma, content = rest.partition(",")
    if scheme != "data" or not comma:
        raise ValueError("must be a data URI: data:TYPE;base64,…")
    base64.standard_b64decode(content)  # its errors are ValueErrors
    return text


def _study_name(text: str) -> str:
    if not re.fullmatch(STUDY_NAME, text):
        raise ValueError(STUDY_NAME_RULE)  # workers name folders after studies
    return text


class Body(BaseModel):
    """The fields of all requests of the dashboard."""

    model_config = ConfigDict(strict=True)

    study_name: Annotated[str, AfterValidator(_study_name)] = ""
    directions: list[str] = []
    version: int = 0
    body: str = ""
    file: Annotated[str, AfterValidator(_data_uri)] = ""
    filename: str = ""
    user_attrs: dict[str, Any] = {}
    state: str = ""
    values: list[Any] = []
    mode: str = ""
    candidates: list[int | str] = []
    clicked: int = 0
    output_type: str = ""


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
        Body.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
    return None
