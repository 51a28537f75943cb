"""The dashboard behind its guards, on a real storage; and the server on real ports."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta, upload_artifact

from atml.dashboard.app import Address, credentials_for, dashboard_app, serve
from atml.dashboard.guards import ARTIFACT_POLICY
from atml.errors import AddressError, DashboardError
from atml.service.artifacts import open_artifacts
from tests.paths import NOT_UTF8, UTF8

AUTH = "anna:secret"


class TestCredentialsFor:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.9", "::1"])
    def test_this_machine_needs_none(self, host):
        assert credentials_for(Address(host=host), None) is None
        assert credentials_for(Address(host=host), "") is None

    def test_this_machine_heeds_them_when_they_are_set(self):
        assert credentials_for(Address(), "anna:secret") == AUTH

    @pytest.mark.parametrize("text", [":", "user", "user:", ":password"])
    def test_user_and_password_must_both_be_there_and_are_not_shown(self, text):
        with pytest.raises(DashboardError, match="must be user:password") as caught:
            credentials_for(Address(), text)
        assert text not in str(caught.value).replace("user:password", "")

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
    def test_any_other_address_demands_them_and_says_how(self, host):
        with pytest.raises(DashboardError, match="set ATML_DASHBOARD_AUTH=user:password"):
            credentials_for(Address(host=host), None)
        assert credentials_for(Address(host=host), "anna:secret") == AUTH

    def test_a_host_that_is_none_is_named(self):
        with pytest.raises(AddressError, match=r"nowhere\.invalid: no such host"):
            credentials_for(Address(host="nowhere.invalid"), None)


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage, study_name="seen")


@pytest.fixture
def app(storage, study, tmp_path):
    def app(host="127.0.0.1", credentials=None, only_reading=False):
        return dashboard_app(
            storage,
            open_artifacts(tmp_path / "artifacts"),
            address=Address(host=host),
            credentials=credentials,
            only_reading=only_reading,
        )

    return app


class TestApp:
    def test_the_study_is_listed(self, call, app):
        listed = json.loads(call(app(), path="/api/studies").body)["study_summaries"]
        assert [one["study_name"] for one in listed] == ["seen"]

    def test_the_page_and_its_script_are_served(self, call, app):
        page = call(app(), path="/dashboard")
        assert (page.status, page.headers["x-frame-options"]) == (200, "DENY")
        assert call(app(), path="/static/bundle.js", accept_encoding="gzip").status == 200

    def test_a_client_that_names_no_encoding_gets_the_script_too(self, call, app):
        assert call(app(), path="/static/bundle.js").status == 200

    def test_a_study_can_be_deleted(self, call, app, study, storage):
        assert call(app(), "DELETE", f"/api/studies/{study._study_id}").status == 204
        assert storage.get_all_studies() == []

    def test_read_only_refuses_that_and_nothing_changes(self, call, app, study, storage):
        assert call(app(only_reading=True), "DELETE", f"/api/studies/{study._study_id}").status == 403
        assert [one.study_name for one in storage.get_all_studies()] == ["seen"]

    def test_credentials_are_asked_for_before_anything_else_is_told(self, call, basic, app):
        guarded = app(host="0.0.0.0", credentials=AUTH, only_reading=True)
        assert call(guarded, "DELETE", "/api/studies/1").status == 401
        assert call(guarded, path="/api/studies").status == 401
        assert call(guarded, path="/api/studies", authorization=basic("anna:secret")).status == 200

    def test_on_loopback_another_host_s_name_is_refused_elsewhere_any_is_served(self, call, basic, app):
        assert call(app(), path="/api/studies", host="evil.example").status == 421
        served = app(host="0.0.0.0", credentials=AUTH)
        headers = {"host": "ecg.example", "authorization": basic("anna:secret")}
        assert call(served, path="/api/studies", **headers).status == 200

    def test_an_html_artifact_is_a_download_of_the_same_bytes(self, call, app, study, tmp_path):
        path = tmp_path / "page.html"
        path.write_text("<script>alert(1)</script>")
        store = open_artifacts(tmp_path / "artifacts")
        kept = upload_artifact(
            study_or_trial=study, file_path=str(path), artifact_store=store, mimetype="text/html"
        )
        answer = call(app(), path=f"/artifacts/{study._study_id}/{kept}")
        assert (answer.headers["content-type"], answer.body) == (
            "application/octet-stream",
            path.read_bytes(),
        )

    def test_a_number_is_a_column_to_sort_by(self, call, app, study, make_trial):
        study.add_trial(make_trial(f1=0.5))
        columns = json.loads(call(app(), path=f"/api/studies/{study._study_id}").body)["union_user_attrs"]
        assert {"key": "f1", "sortable": True} in columns

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/studies/99"),
            ("GET", "/api/studies/99/plot/edf"),
            ("GET", "/artifacts/99/abc"),
            ("GET", "/artifacts/99/98/abc"),
            ("GET", "/csv/99"),
            ("PUT", "/api/studies/99/note"),
            ("DELETE", "/api/studies/99"),
        ],
    )
    def test_an_unknown_study_is_not_found(self, call, app, caplog, method, path):
        document = {"version": 1, "body": "hello"} if method == "PUT" else None
        assert call(app(), method, path, document=document).status == 404
        assert "Traceback" not in caplog.text
        assert "File " not in caplog.text  # how the dashboard logs one

    def test_an_artifact_whose_file_is_gone_is_not_found(self, call, app, study, tmp_path):
        (tmp_path / "notes.txt").write_text("hello")
        store = open_artifacts(tmp_path / "artifacts")
        kept = upload_artifact(
            study_or_trial=study, file_path=str(tmp_path / "notes.txt"), artifact_store=store
        )
        (tmp_path / "artifacts" / kept).unlink()
        assert call(app(), path=f"/artifacts/{study._study_id}/{kept}").status == 404


STORED = b"<script>alert(1)</script>"


class TestStoredScripts:
    """A page that somebody uploaded, asked for over the network: no path makes a browser run it."""

    @pytest.fixture
    def artifact(self, study, tmp_path):
        (tmp_path / "page.html").write_bytes(STORED)
        kept = upload_artifact(
            study_or_trial=study,
            file_path=str(tmp_path / "page.html"),
            artifact_store=open_artifacts(tmp_path / "artifacts"),
            mimetype="text/html",
        )
        return f"{study._study_id}/{kept}"

    @staticmethod
    def answers(app, requests):
        """Return what the server says to request targets, which `http.client` would not all send."""
        said = {}

        def visit(url):
            port = int(url.rstrip("/").rpartition(":")[2])
            try:
                for method, target in requests:
                    with socket.create_connection(("127.0.0.1", port)) as connection:
                        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                        connection.sendall(head.encode("latin-1"))
                        response = http.client.HTTPResponse(connection, method=method)
                        response.begin()
                        said[target] = (response.status, response.headers, response.read())
                        response.close()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a command does
        try:
            serve(
                app, Address(port=0), on_ready=lambda url: threading.Thread(target=visit, args=(url,)).start()
            )
        finally:
            signal.signal(signal.SIGTERM, before)
        assert len(said) == len(requests)
        return said

    @pytest.mark.parametrize(
        "path", ["/%FFartifacts/", "/art%FFifacts/", "%FF/artifacts/", "//\xffartifacts/"]
    )
    def test_bytes_that_the_server_would_drop_are_refused(self, app, artifact, path):
        target = path + artifact
        status, headers, body = self.answers(app(), [("GET", target)])[target]
        assert (status, STORED in body) == (400, False)
        assert headers["x-content-type-options"] == "nosniff"

    def test_no_path_serves_it_as_a_page(self, app, artifact):
        paths = [one.replace("1/ab", artifact) for one in (*NOT_UTF8, *UTF8) if one]
        paths += [f"http://127.0.0.1{one}" for one in paths if one.startswith("/")]
        said = self.answers(app(), [("GET", path) for path in paths])
        served = {path: headers for path, (_, headers, body) in said.items() if STORED in body}
        assert f"/artifacts/{artifact}" in served
        for path, headers in served.items():
            assert headers["content-type"] == "application/octet-stream", path
            assert headers["content-security-policy"] == ARTIFACT_POLICY, path
            assert headers["content-disposition"] == "attachment", path

    @pytest.mark.parametrize("path", ["/%FFapi/studies/1", "/api/studies/%FF1", "/api/studies/1%FF"])
    def test_a_study_is_not_deleted_by_such_a_path(self, app, storage, study, path):
        assert self.answers(app(), [("DELETE", path)])[path][0] == 400
        assert [one.study_name for one in storage.get_all_studies()] == ["seen"]


class TestAway:
    """Database or artifacts fail while the dashboard runs: 503 and one sentence, until they are back."""

    def test_a_database_that_is_away_is_one_sentence_until_it_is_back(
        self, call, app, storage, tmp_path, caplog
    ):
        served = app()
        storage.engine.dispose()
        files = list(tmp_path.glob("atml.db*"))
        for path in files:
            path.rename(path.with_suffix(f"{path.suffix}-away"))
        (tmp_path / "atml.db").mkdir()
        answer = call(served, path="/api/studies")
        assert answer.status == 503
        reason = json.loads(answer.body)["reason"]
        assert reason.startswith(f"cannot write sqlite:///{tmp_path}/atml.db: its folder is full, read-only")
        (tmp_path / "atml.db").rmdir()
        for path in files:
            path.with_suffix(f"{path.suffix}-away").rename(path)
        assert call(served, path="/api/studies").status == 200
        assert "Traceback" not in caplog.text

    def test_an_upload_that_cannot_be_kept_leaves_no_record(self, call, app, study, storage, tmp_path):
        served = app()
        (tmp_path / "artifacts").rmdir()
        document = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "notes.txt"}
        answer = call(served, "POST", f"/api/artifacts/{study._study_id}", document=document)
        assert answer.status == 503
        assert "its folder is gone" in json.loads(answer.body)["reason"]
        assert get_all_artifact_meta(study_or_trial=study) == []


# Serves on a host, visits the page, sends itself a signal and says what came of it.
SERVED = """
import os, signal, sys, threading, urllib.request
from atml.dashboard.app import Address, serve
from atml.interrupts import handle_signals

def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]

def visit(url):
    with urllib.request.urlopen(url) as response:
        print(url, response.read().decode(), sep="\\n")
    os.kill(os.getpid(), int(sys.argv[2]))

handle_signals((signal.SIGINT, signal.SIGTERM), signal.default_int_handler)  # as a command does
visitor = lambda url: threading.Thread(target=visit, args=(url,)).start()
serve(app, Address(host=sys.argv[1], port=0), on_ready=visitor)
print("returned")
"""


class TestServe:
    @pytest.mark.parametrize(
        ("host", "number"), [("127.0.0.1", signal.SIGTERM), ("localhost", signal.SIGINT)]
    )
    def test_it_answers_until_a_signal_and_leaves_the_port_free(self, host, number):
        # In a process of its own: what other tests left to the garbage collector could swallow the exception.
        command = [sys.executable, "-c", SERVED, host, str(int(number))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        url, body, ended = done.stdout.splitlines()
        assert (body, ended) == ("here", "returned")
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])))

    def test_a_port_that_is_taken_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(AddressError, match=f"127.0.0.1 port {port}: Address already in use.*--port"):
                serve(lambda environ, start: [], Address(port=port), on_ready=lambda url: None)
