"""What the dashboard's table of trials shows: one figure a column, where ATML keeps JSON.

Only what is sent to the browser changes. A view within the storage would not do: renaming a study in
the dashboard copies its trials, and would copy what the view shows.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from atml.search import records
from atml.service.dashboard.paths import routed_path

STUDY = re.compile(r"/api/studies/\d+")
HIDDEN = frozenset({records.CONFIG, records.CURVE, records.METRICS})  # the pictures tell more
FIGURES = tuple(name for name in records.RECORDED_METRICS if name != "fbeta")  # F-beta is the value

Document = dict[str, Any]


def readable_columns(app: WSGIApplication) -> WSGIApplication:
    """Give the trials that the dashboard asks for one attribute a metric, and none that fills a page."""

    def readable(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        is_study = STUDY.fullmatch(routed_path(environ))
        if not is_study or environ["REQUEST_METHOD"] != "GET":
            return app(environ, start)
        return _rewritten(app, environ, start)

    return readable


def readable_study(document: Document) -> Document:
    """Return the dashboard's description of a study with readable attributes; only ATML's own change."""
    if not any(one["key"] == records.SPEC for one in document["user_attrs"]):
        return document
    trials, best = ([_trial(one) for one in document[key]] for key in ("trials", "best_trials"))
    return {**document, "trials": trials, "best_trials": best, "union_user_attrs": _columns(document)}


def _rewritten(app: WSGIApplication, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def hold(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return lambda _: None

    result = app(environ, hold)
    try:
        body = b"".join(result)
    finally:
        if close := getattr(result, "close", None):
            close()
    status, headers = started[0]
    if status.startswith("200"):
        body = json.dumps(readable_study(json.loads(body))).encode()
        Headers(headers)["Content-Length"] = str(len(body))
    start(status, headers)
    return [body]


def _trial(trial: Document) -> Document:
    """Return a trial with an attribute for each of its metrics; attributes are pairs of texts."""
    attributes = {one["key"]: one["value"] for one in trial["user_attrs"]}
    metrics = _table(attributes.get(records.METRICS))
    shown = {key: value for key, value in attributes.items() if key not in HIDDEN}
    if records.WORKER in shown:
        worker = _table(shown[records.WORKER])
        shown[records.WORKER] = f"{worker.get('host', '')} {worker.get('pid', '')}".strip()
    figures = {name: metrics.get(name) for name in FIGURES}
    shown |= {name: f"{value:.4f}" for name, value in figures.items() if isinstance(value, float)}
    return {**trial, "user_attrs": [{"key": key, "value": value} for key, value in shown.items()]}


def _columns(document: Document) -> list[Document]:
    """Return the table's columns; what is a parameter or an objective already has one."""
    parameters = {one["name"] for one in document["union_search_space"]}
    shown_elsewhere = HIDDEN | parameters | set(document.get("objective_names", ()))
    columns = list(document["union_user_attrs"])
    kept = [one for one in columns if one["key"] not in shown_elsewhere]
    if any(one["key"] == records.METRICS for one in columns):
        kept += [{"key": name, "sortable": True} for name in FIGURES]
    return kept


def _table(text: str | None) -> dict[str, Any]:
    """Return a JSON table; an empty one for anything else, since people can edit attributes."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
