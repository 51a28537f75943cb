import io
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest

from atml.service.dashboard.paths import decoded_path, routed_path
from tests.paths import EVERY_PATH, NOT_UTF8, UTF8, wsgi_path


@pytest.fixture(scope="module")
def dashboard():
    return optuna_dashboard.wsgi(optuna.storages.InMemoryStorage())


@pytest.mark.parametrize("path", EVERY_PATH)
def test_the_routed_path_is_the_one_that_the_dashboard_leaves_in_the_request(dashboard, path):
    environ = {"PATH_INFO": wsgi_path(path), "HTTP_ACCEPT_ENCODING": "", "wsgi.errors": io.StringIO()}
    setup_testing_defaults(environ)
    expected = routed_path(environ)
    result = dashboard(environ, lambda status, headers, error=None: None)
    if close := getattr(result, "close", None):
        close()
    assert environ["PATH_INFO"] == expected
    assert expected.startswith("/artifacts/") == EVERY_PATH[path]


@pytest.mark.parametrize("path", NOT_UTF8)
def test_a_path_that_is_not_utf8_cannot_be_decoded(path):
    with pytest.raises(UnicodeError):
        decoded_path({"PATH_INFO": wsgi_path(path)})


@pytest.mark.parametrize("path", UTF8)
def test_a_path_that_is_utf8_is_decoded_whole(path):
    environ = {"PATH_INFO": wsgi_path(path)}
    assert decoded_path(environ).rstrip("/") == routed_path(environ)
