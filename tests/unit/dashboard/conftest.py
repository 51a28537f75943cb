"""What the tests of the dashboard share: requests as a server makes them, without a server."""

import base64
import io
import json
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest


class Answer:
    def __init__(self, status, headers, body):
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body


@pytest.fixture
def call():
    return request


def request(app, method="GET", path="/", *, document=None, **headers):
    """Call a WSGI application as a server would, and hold it to the WSGI specification."""
    environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    body = b"" if document is None else json.dumps(document).encode()
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    environ["CONTENT_TYPE"] = "application/json" if body else ""
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    setup_testing_defaults(environ)
    started = []

    def start(status, headers, error=None):
        started[:] = [(status, headers)]
        return lambda body: None

    result = validator(app)(environ, start)
    body = b"".join(result)
    result.close()
    return Answer(*started[0], body)


@pytest.fixture
def basic():
    return lambda text: "Basic " + base64.b64encode(text.encode()).decode()
