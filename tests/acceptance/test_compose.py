"""The compose file: held to the specification, and its services run as plain processes.

There need not be a Docker engine. The services' commands and environment are taken from the file itself;
only the places that a container would have of its own (database host, volumes, port) are replaced.
"""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import optuna
import pytest
import yaml

from atml.service.storage import open_storage
from atml.service.studies import create_or_resume, load
from atml.training.allocator import ALLOCATOR
from atml.tuning import records, stop
from atml.tuning.phases import parse_spec
from tests.postgres import PASSWORD, USER, PostgresServer, free_port
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
COMPOSE, GPU = ROOT / "docker-compose.yml", ROOT / "docker-compose.gpu.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
ATML_SERVICES = {name: service for name, service in SERVICES.items() if service["image"] == "atml"}


def example_environment():
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled_in(text, values):
    """Put variables in, as compose does."""
    return VARIABLE.sub(lambda found: values.get(found[1]) or (found[3] if found[2] == "-" else ""), text)


@pytest.mark.parametrize("path", [COMPOSE, GPU], ids=lambda path: path.name)
def test_it_follows_the_compose_specification(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class TestFile:
    def test_no_password_is_in_it_and_none_in_the_example(self):
        for name, service in SERVICES.items():
            for key, value in service["environment"].items():
                if re.search("PASSWORD|AUTH", key):
                    assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), (name, key)
                assert "://" not in value or ":" not in value.split("://")[1], (name, key)
        example = example_environment()
        assert (example["POSTGRES_PASSWORD"], example["ATML_DASHBOARD_AUTH"]) == ("", "")
        assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()

    def test_the_example_has_every_variable_and_no_other(self):
        used = {found[1] for path in (COMPOSE, GPU) for found in VARIABLE.finditer(path.read_text())}
        assert used == set(example_environment())

    def test_every_volume_and_dependency_is_declared(self):
        document = yaml.safe_load(COMPOSE.read_text())
        mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
        named = {mount.split(":")[0] for mount in mounts if mount[0].isalpha()}
        assert named == set(document["volumes"])
        for service in ATML_SERVICES.values():
            assert service["depends_on"] == {"database": {"condition": "service_healthy"}}
        assert set(yaml.safe_load(GPU.read_text())["services"]) <= set(SERVICES)

    def test_the_database_is_postgresql_17_with_a_health_check_and_a_volume(self):
        database = SERVICES["database"]
        assert database["image"] == "postgres:17"
        assert database["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
        assert database["volumes"] == ["database:/var/lib/postgresql/data"]
        assert "ports" not in database  # no one else needs it

    def test_workers_can_be_scaled_and_share_artifacts_with_the_dashboard(self):
        worker = SERVICES["worker"]
        assert not {"container_name", "ports"} & worker.keys()
        shared = f"artifacts:{worker['environment']['ATML_ARTIFACTS']}"
        assert shared in worker["volumes"]
        assert shared in SERVICES["dashboard"]["volumes"]

    def test_the_dashboard_is_published_to_this_machine_alone_and_demands_credentials(self):
        dashboard = SERVICES["dashboard"]
        assert [filled_in(port, {}) for port in dashboard["ports"]] == ["127.0.0.1:8080:8080"]
        assert "ATML_DASHBOARD_AUTH" in dashboard["environment"]

    def test_every_service_of_atml_switches_telemetry_off(self):
        for service in ATML_SERVICES.values():
            assert service["environment"]["ORT_DISABLE_TELEMETRY"] == "1"


class TestDockerfile:
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    def test_the_services_run_without_rights(self):
        (user,) = [line for line in self.lines if line.startswith("USER ")]
        assert user == "USER atml"
        last_stage = max(index for index, line in enumerate(self.lines) if line.startswith("FROM "))
        assert last_stage < self.lines.index(user) < self.lines.index('ENTRYPOINT ["atml"]')

    def test_it_switches_telemetry_off(self):
        assert "ORT_DISABLE_TELEMETRY=1" in [line.strip(" \\") for line in self.lines]

    def test_workers_have_the_allocator_that_atml_gives_its_own(self):
        (setting,) = [f"{name}={value}" for name, value in ALLOCATOR.items()]
        assert setting in [line.strip(" \\") for line in self.lines]

    def test_what_it_copies_is_there_and_let_through(self):
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        for line in self.lines:
            if line.startswith("COPY ") and "--from" not in line:
                *sources, _ = line.split()[1:]
                assert [source for source in sources if not (ROOT / source).exists()] == []
                assert [source for source in sources if f"!{source}" not in ignored] == []


@pytest.fixture(scope="module")
def server():
    with PostgresServer() as server:
        yield server


class Stack:
    """The services of the compose file as processes of this machine."""

    def __init__(self, server, database_url, folder):
        self.folder = folder
        self.port = free_port()
        self.values = {
            **example_environment(),
            "POSTGRES_PASSWORD": PASSWORD,
            "ATML_DASHBOARD_AUTH": "anna:secret",
        }
        name = database_url.rpartition("/")[2]
        self.places = {
            "atml@database/atml": f"{USER}@127.0.0.1:{server.port}/{name}",
            "/var/lib/atml": str(folder),
        }
        self.processes = []

    def environment(self, service):
        found = {}
        for key, value in ATML_SERVICES[service]["environment"].items():
            found[key] = filled_in(value, self.values)
            for inside, here in self.places.items():
                found[key] = found[key].replace(inside, here)
        return found

    def start(self, service, *more):
        command = [sys.executable, "-m", "atml", *ATML_SERVICES[service]["command"], *more]
        with (self.folder / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment(service)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def said(self, service):
        return (self.folder / f"{service}.log").read_text()

    def get(self, path, auth=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if auth:
            request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def wait_for_the_dashboard(self, process):
        due = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < due and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.said("dashboard"))

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def stack(server, tmp_path):
    with server.database() as url:
        stack = Stack(server, url, tmp_path)
        yield stack
        stack.end()


@pytest.fixture
def storage(stack, monkeypatch):
    """The services' database, by their own URL and environment."""
    environment = stack.environment("worker")
    monkeypatch.setenv("PGPASSWORD", environment["PGPASSWORD"])
    opened = open_storage(environment["ATML_STORAGE"])
    yield opened
    opened.remove_session()
    opened.engine.dispose()


def submit(storage, dataset, document):
    return create_or_resume(
        storage, parse_spec({**document, "budget": {"trials": 2}}, source="test"), dataset
    )


def test_the_services_work_together_as_plain_processes(stack, storage, dataset, phase1_document):
    stored = submit(storage, dataset, phase1_document)
    dashboard = stack.start("dashboard", "--port", str(stack.port))
    worker = stack.start("worker", "first", "--device", "cpu")
    assert worker.wait(PATIENCE_SECONDS) == 0, stack.said("worker")
    assert len(records.trained(stored.study.trials)) == 2
    assert stop.read(load(storage, "first").study).by is stop.StoppedBy.BUDGET

    stack.wait_for_the_dashboard(dashboard)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        stack.get("/api/studies")
    assert b'"first"' in stack.get("/api/studies", auth="anna:secret")
    trial = stored.study.trials[0]
    listed = stack.get(f"/api/studies/{stored.study._study_id}", auth="anna:secret")
    for artifact in optuna.artifacts.get_all_artifact_meta(trial, storage=storage):
        assert artifact.artifact_id.encode() in listed
        path = f"/artifacts/{stored.study._study_id}/{trial._trial_id}/{artifact.artifact_id}"
        kept = Path(stack.environment("worker")["ATML_ARTIFACTS"]) / artifact.artifact_id
        assert stack.get(path, auth="anna:secret") == kept.read_bytes()

    dashboard.send_signal(signal.SIGTERM)  # `docker compose down`
    assert dashboard.wait(PATIENCE_SECONDS) == 0, stack.said("dashboard")
    assert "Traceback" not in stack.said("dashboard")


def test_a_worker_without_a_name_takes_what_was_submitted(stack, storage, dataset, phase1_document):
    stored = submit(storage, dataset, phase1_document)
    worker = stack.start("worker")
    due = time.monotonic() + PATIENCE_SECONDS
    while stop.read(stored.study) is None:
        assert worker.poll() is None, stack.said("worker")
        assert time.monotonic() < due
        time.sleep(0.2)
    assert len(records.trained(stored.study.trials)) == 2
    worker.send_signal(signal.SIGTERM)
    worker.wait(PATIENCE_SECONDS)
    assert "Traceback" not in stack.said("worker")
