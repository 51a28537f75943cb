"""A PgBouncer before a PostgreSQL server: many clients, few connections, each for one transaction."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgres import PASSWORD, START_SECONDS, USER, free_port, unprivileged

CONNECTIONS = 8  # at the server, for each database

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 1000
query_wait_timeout = 30
server_login_retry = 1
"""


def is_installed():
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin") is not None


class PgBouncer:
    """Runs until the end of the block, and can be stopped and started again within."""

    def __init__(self, server):
        self._folder = Path(tempfile.mkdtemp(prefix="atml-pgbouncer-"))
        self.port = free_port()
        self._process = None
        self._identity = unprivileged(self._folder)
        (self._folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
        (self._folder / "settings.ini").write_text(
            SETTINGS.format(server=server.port, port=self.port, folder=self._folder, connections=CONNECTIONS)
        )

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self):
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, self._folder / "settings.ini"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._identity,
            )
        due = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > due:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.05)

    def stop(self):
        """Disconnect all clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, url):
        """Return the URL of a database of the server as it is reached from here."""
        before, _, database = url.rpartition("/")
        return f"{before.rpartition(':')[0]}:{self.port}/{database}"
