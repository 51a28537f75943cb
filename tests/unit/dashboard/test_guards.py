import base64
import io
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest

from atml.dashboard import guards
from atml.dashboard.guards import opens, routed_path, with_safe_headers
from tests.paths import EVERY_PATH, NOT_UTF8, UTF8, wsgi_path


def answering(content_type="text/plain", *headers):
    """Return an application that counts its calls."""

    def app(environ, start):
        app.calls += 1
        start("200 OK", [("Content-Type", content_type), *headers])
        return [b"content"]

    app.calls = 0
    return app


def guarded(app, *, hosts=None, credentials=None, only_reading=False):
    return guards.guarded(app, hosts=hosts, credentials=credentials, only_reading=only_reading)


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


class TestCredentials:
    def test_a_password_may_hold_a_colon_and_any_letter(self):
        assert opens("anna:gé:heim", basic("anna:gé:heim"))

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Basic",
            "Basic !!!",
            "Basic é",
            "Bearer " + base64.b64encode(b"anna:secret").decode(),
            basic("anna:secre"),
            basic("anna:secret "),
            basic("anna:secrets"),
            basic("Anna:secret"),
            basic("annasecret"),
            basic(""),
        ],
    )
    def test_anything_else_does_not_open(self, header):
        assert not opens("anna:secret", header)


class TestUndecodablePaths:
    @pytest.mark.parametrize("path", NOT_UTF8)
    def test_what_is_not_utf8_is_refused(self, call, path):
        app = answering()
        answer = call(guarded(app), path=wsgi_path(path))
        assert (answer.status, app.calls) == (400, 0)

    def test_a_text_that_holds_no_bytes_is_refused_too(self):
        statuses = []
        guarded(answering())(
            {"PATH_INFO": "/\u0661", "REQUEST_METHOD": "GET"}, lambda status, headers: statuses.append(status)
        )
        assert statuses == ["400 Bad Request"]

    @pytest.mark.parametrize("path", UTF8)
    def test_what_is_utf8_passes(self, call, path):
        assert call(guarded(answering()), path=wsgi_path(path)).status == 200


CREDENTIALS = "anna:secret"


class TestDemandedCredentials:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
    def test_without_them_nothing_is_reached_and_the_browser_is_asked(self, call, method):
        app = answering()
        answer = call(guarded(app, credentials=CREDENTIALS), method)
        assert (answer.status, app.calls) == (401, 0)
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert (answer.body == b"") is (method == "HEAD")

    @pytest.mark.parametrize("path", UTF8)
    def test_they_are_demanded_whatever_the_path(self, call, path):
        app = answering()
        assert call(guarded(app, credentials=CREDENTIALS), path=wsgi_path(path)).status == 401
        assert app.calls == 0

    def test_with_them_the_request_passes(self, call):
        app = guarded(answering(), credentials=CREDENTIALS)
        assert call(app, authorization=basic("anna:secret")).body == b"content"
        assert call(app, authorization=basic("anna:secret").replace("Basic", "basic")).status == 200


class TestHosts:
    hosts = frozenset({"localhost", "127.0.0.1", "::1"})

    @pytest.mark.parametrize(
        "host",
        ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "localhost.:80"],
    )
    def test_this_machine_s_names_pass_at_any_port(self, call, host):
        assert call(guarded(answering(), hosts=self.hosts), host=host).status == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example:8080", "127.0.0.1.nip.io", "[::", "", "a@b:x"]
    )
    def test_another_name_does_not(self, call, host):
        app = answering()
        assert call(guarded(app, hosts=self.hosts), host=host).status == 421
        assert app.calls == 0

    @pytest.mark.parametrize("path", UTF8)
    def test_it_does_not_whatever_the_path(self, call, path):
        app = answering()
        assert call(guarded(app, hosts=self.hosts), path=wsgi_path(path), host="evil.example").status == 421
        assert app.calls == 0

    def test_to_another_name_nobody_is_told_that_credentials_are_needed(self, call):
        app = guarded(answering(), hosts=self.hosts, credentials=CREDENTIALS)
        assert call(app, host="evil.example").status == 421


class TestForeignWrites:
    @pytest.mark.parametrize("path", UTF8)
    def test_they_are_refused_whatever_the_path(self, call, path):
        app = answering()
        assert call(guarded(app), "POST", wsgi_path(path), origin="https://evil.example").status == 403
        assert app.calls == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9999"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
        ],
    )
    def test_another_site_s_page_cannot_write_but_may_be_linked_from(self, call, headers):
        app = answering()
        assert call(guarded(app), "DELETE", host="127.0.0.1:8080", **headers).status == 403
        assert app.calls == 0
        assert call(guarded(app), "GET", host="127.0.0.1:8080", **headers).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": "http://127.0.0.1:8080"},
            {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "same-origin"},
            {"sec_fetch_site": "none"},
        ],
    )
    def test_its_own_page_and_a_script_can(self, call, headers):
        assert call(guarded(answering()), "DELETE", host="127.0.0.1:8080", **headers).status == 200


class TestOnlyReading:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    def test_whatever_may_write_is_refused(self, call, method):
        app = answering()
        answer = call(guarded(app, only_reading=True), method)
        assert (answer.status, app.calls) == (403, 0)
        assert answer.body == b"This dashboard is read-only.\n"

    @pytest.mark.parametrize("path", UTF8)
    def test_it_is_refused_whatever_the_path(self, call, path):
        app = answering()
        assert call(guarded(app, only_reading=True), "DELETE", wsgi_path(path)).status == 403
        assert app.calls == 0

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_reading_passes(self, call, method):
        app = answering()
        assert call(guarded(app, only_reading=True), method).status == 200
        assert app.calls == 1


class TestArtifacts:
    @pytest.mark.parametrize(
        "content_type",
        ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "text/javascript", "image/pngx"],
    )
    def test_whatever_a_browser_might_run_is_a_download(self, call, content_type):
        answer = call(with_safe_headers(answering(content_type)), path="/artifacts/1/2/ab")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.body == b"content"

    @pytest.mark.parametrize(("path", "is_artifact"), EVERY_PATH.items())
    def test_an_artifact_is_what_the_dashboard_takes_for_one(self, call, path, is_artifact):
        answer = call(with_safe_headers(answering("text/html")), path=wsgi_path(path))
        assert answer.headers["content-type"] == ("application/octet-stream" if is_artifact else "text/html")

    @pytest.mark.parametrize("content_type", ["image/png", "IMAGE/PNG", "image/png; charset=x"])
    def test_a_png_is_shown(self, call, content_type):
        answer = call(with_safe_headers(answering(content_type)), path="/artifacts/1/2/ab")
        assert (answer.headers["content-type"], answer.headers["content-disposition"]) == (
            "image/png",
            "inline",
        )

    def test_no_other_site_may_read_one(self, call):
        app = answering("image/png", ("Access-Control-Allow-Origin", "*"))
        answer = call(with_safe_headers(app), path="/artifacts/1/ab")
        assert "access-control-allow-origin" not in answer.headers

    def test_what_is_no_artifact_keeps_its_type(self, call):
        answer = call(with_safe_headers(answering("text/html")), path="/dashboard")
        assert answer.headers["content-type"] == "text/html"
        assert "content-disposition" not in answer.headers


class TestSafeHeaders:
    def test_every_answer_has_them(self, call):
        headers = call(with_safe_headers(answering())).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "script-src 'self' 'unsafe-eval'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]

    @pytest.mark.parametrize("path", EVERY_PATH)
    def test_they_are_there_whatever_the_path(self, call, path):
        headers = call(guarded(with_safe_headers(answering())), path=wsgi_path(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        is_artifact = path in UTF8 and EVERY_PATH[path]
        policy = guards.ARTIFACT_POLICY if is_artifact else guards.PAGE_POLICY
        assert headers["content-security-policy"] == policy

    def test_a_refusal_has_them_too(self, call):
        answer = call(guarded(answering(), credentials=CREDENTIALS))
        assert answer.status == 401
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == guards.PAGE_POLICY

    def test_they_replace_the_application_s_own_policy(self, call):
        own = ("Content-Security-Policy", "default-src *")
        app = with_safe_headers(answering("text/html", own))
        assert call(app).headers[own[0].lower()] == guards.PAGE_POLICY
        assert call(app, path="/artifacts/1/ab").headers[own[0].lower()] == guards.ARTIFACT_POLICY


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
