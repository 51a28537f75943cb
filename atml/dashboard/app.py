"""Serving optuna-dashboard to this machine, or to users with credentials."""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import WSGIApplication

import optuna_dashboard
from optuna.artifacts._protocol import ArtifactStore
from optuna.storages import BaseStorage
from waitress import create_server, wasyncore

from atml.dashboard.answers import WithHttpErrors
from atml.dashboard.bodies import refuse_malformed_bodies
from atml.dashboard.guards import guarded, with_safe_headers
from atml.dashboard.page import with_additions
from atml.errors import AddressError, DashboardError

# A browser opens up to six connections to one server; two more to spare.
THREADS = 8
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and a port to listen on."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0 picks a free one

    def is_loopback(self) -> bool:
        """Whether it can be reached only from this machine.

        Raises:
            AddressError: the host has no address.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise AddressError(
                f"{self.host or repr('')}: no such host or address: {error.strerror}"
            ) from None
        except UnicodeError:  # a label of the name is empty or longer than 63 letters
            raise AddressError(f"{self.host!r} is not a valid host name") from None
        # An IPv6 address may include its interface: fe80::1%eth0.
        return all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in found)


def credentials_for(address: Address, text: str | None) -> str | None:
    """Return the credentials `text` (user:password), which may be missing only on loopback.

    Raises:
        DashboardError: they are missing although other machines could reach the dashboard, or malformed.
    """
    if text:
        user, _, password = text.partition(":")
        if not (user and password):
            raise DashboardError("ATML_DASHBOARD_AUTH must be user:password, neither of them empty")
        return text
    if address.is_loopback():
        return None
    raise DashboardError(
        f"{address.host} can be reached from other machines, and the dashboard lets everyone delete studies: "
        "set ATML_DASHBOARD_AUTH=user:password, or leave --host out to serve this machine alone"
    )


def dashboard_app(
    storage: BaseStorage,
    artifacts: ArtifactStore,
    *,
    address: Address,
    credentials: str | None,
    only_reading: bool,
) -> WSGIApplication:
    """Return optuna-dashboard behind its guards, outermost last."""
    app: WSGIApplication = optuna_dashboard.wsgi(
        WithHttpErrors(storage), artifact_store=WithHttpErrors(artifacts)
    )
    app = refuse_malformed_bodies(with_additions(app, only_reading=only_reading))
    hosts = LOOPBACK_NAMES | {address.host.lower()} if address.is_loopback() else None
    return guarded(with_safe_headers(app), hosts=hosts, credentials=credentials, only_reading=only_reading)


def serve(app: WSGIApplication, address: Address, *, on_ready: Callable[[str], None]) -> None:
    """Serve `app` until Ctrl-C; `on_ready` is called with the URL as soon as the port is open.

    Raises:
        AddressError: the address cannot be listened on.
    """
    connections: dict[int, Any] = {}  # by file descriptor, including the listening ones
    server = _listen(app, address, connections)
    try:
        on_ready(_url(address, server))
        server.run()  # returns on KeyboardInterrupt
    except KeyboardInterrupt:
        pass  # just before it ran
    finally:
        wasyncore.close_all(connections, ignore_all=True)


def _listen(app: WSGIApplication, address: Address, connections: dict[int, Any]) -> Any:
    try:
        return create_server(
            app, map=connections, host=address.host, port=address.port, threads=THREADS, ident="atml"
        )
    except (OSError, ValueError) as error:
        wasyncore.close_all(connections, ignore_all=True)
        reason = getattr(error, "strerror", None) or error
        raise AddressError(
            f"cannot listen on {address.host} port {address.port}: {reason}; choose another with --port"
        ) from None


def _url(address: Address, server: Any) -> str:
    """Return the URL to open, with the actual port."""
    several = getattr(server, "effective_listen", None)
    port = several[0][1] if several else getattr(server, "effective_port", address.port)
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{port}/"
