"""A storage behind `atml proxy`: any number of workers share the few connections that the proxy holds."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from optuna import Study
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import GrpcStorageProxy
from optuna.storages._grpc.auto_generated.api_pb2_grpc import StorageServiceStub
from optuna.storages._grpc.client import GrpcClientCache
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial, TrialState

from atml.errors import CannotWrite, StorageError, StorageUnreachable
from atml.service.storage.patience import Patience, make_patient, wait_until_open
from atml.service.storage.registry import SeenWorker, WorkerEntry

SCHEME = "grpc://"
ANSWER_SECONDS = 10.0  # to the first question, which asks the proxy alone
# What Optuna's protocol lacks: heartbeats, the table of workers, and a way to tell ATML's proxy from others.
SERVICE = "atml.Proxy"
DESCRIBE, RECORD_HEARTBEAT, STALE_TRIALS = "Describe", "RecordHeartbeat", "StaleTrials"
BEAT, LEAVE, WORKERS = "Beat", "Leave", "Workers"  # of the table of workers

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # a long study's first answer holds all of its trials
    # Left alone, gRPC looks for a proxy that went away once in two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A machine that vanished without a word (power, cable, firewall) is noticed within a minute.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_http_proxy", 0),  # that of the environment leads out of the cluster
)
# What a call ends with when the proxy was stopped, killed or cut off; also while its database is away.
OUTAGES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)

_Result = TypeVar("_Result")


def pack(fields: dict[str, Any]) -> bytes:
    """Return a question or an answer of ATML's own as it is sent."""
    return json.dumps(fields).encode()


def unpack(message: bytes) -> dict[str, Any]:
    """Return what `pack` was given."""
    return dict(json.loads(message))


@dataclass(frozen=True, kw_only=True)
class HeartbeatOptions:
    """How often a worker says that its trial lives, and what is done when it does not; as `RDBStorage`."""

    heartbeat_interval: int
    grace_period: int
    heartbeat_stale_trial_callback: Callable[[Study, FrozenTrial], None]


class ProxiedStorage(GrpcStorageProxy, BaseHeartbeat):
    """Optuna's client of a storage proxy, with heartbeats and patience.

    Heartbeats go into the database's own table, by its own clock, so workers with and without a proxy
    may serve one study. What fails because the proxy or its database did not answer is repeated with
    growing delays, as `PatientStorage` does.

    Args:
        host: The proxy's machine; an IPv6 address in brackets.
        port: Where it listens.
        heartbeats: Options of the heartbeats.
        patience_seconds: How long to try again before giving up.
        give_up: Asked while waiting; once true, nothing is waited for any more.

    Every method may raise:
        StorageUnreachable: the proxy, or its database, has not answered for `patience_seconds`.
        CannotWrite: the database's disk is full.
        StorageError: the proxy's user may not write.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        heartbeats: HeartbeatOptions,
        patience_seconds: float,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self.registry = ProxiedRegistry(self)
        self._heartbeats = heartbeats
        self._patience = Patience(
            shown=f"{SCHEME}{host}:{port}",
            server="the proxy, or its database,",
            failure=grpc.RpcError,
            is_outage=is_outage,
            seconds=patience_seconds,
            give_up=give_up,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(host=host, port=port)

    def _setup(self) -> None:
        self._channel = grpc.insecure_channel(f"{self._host}:{self._port}", options=CHANNEL_OPTIONS)
        self._stub = StorageServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._cache = GrpcClientCache(self._stub)

    def describe(self) -> dict[str, Any]:
        """Return what the proxy says of itself; asked once, without patience."""
        return self.ask(DESCRIBE, timeout=ANSWER_SECONDS)

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's process lives; while nobody listens, that is left out."""

        def record() -> None:
            self.ask(RECORD_HEARTBEAT, timeout=ANSWER_SECONDS, trial_id=trial_id)

        with _as_storage_error():
            self._patience.spare(record)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        return list(self.persist(lambda: self.ask(STALE_TRIALS, study_id=study_id)["trial_ids"]))

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between two heartbeats."""
        return self._heartbeats.heartbeat_interval

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None] | None:
        """Return what is called with a trial whose heartbeat has stopped."""
        return self._heartbeats.heartbeat_stale_trial_callback

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; True if it is in that state now by the doing of this process."""
        with _as_storage_error():
            return self._patience.persist_change(
                lambda: super(ProxiedStorage, self).set_trial_state_values(trial_id, state, values),
                is_done=lambda: self.get_trial(trial_id).state == state,
            )

    def ask(self, question: str, *, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """Ask the proxy one of ATML's own questions, once."""
        call = self._channel.unary_unary(
            f"/{SERVICE}/{question}", request_serializer=pack, response_deserializer=unpack
        )
        return dict(call(fields, timeout=timeout))

    def persist(self, call: Callable[[], _Result]) -> _Result:
        """Call until it works, or waiting has no sense."""
        with _as_storage_error():
            return self._patience.persist(call)

    def attempt(self, call: Callable[[], _Result]) -> _Result:
        """Call once."""
        with _as_storage_error():
            return call()


class ProxiedRegistry:
    """The table of workers behind a proxy; what it cannot be told is told later, so once is enough."""

    def __init__(self, storage: ProxiedStorage) -> None:
        self._storage = storage

    def beat(self, entry: WorkerEntry) -> None:
        """Say that a worker lives."""
        with _as_storage_error():
            self._storage.ask(BEAT, timeout=ANSWER_SECONDS, **entry.to_dict())

    def leave(self, worker: str) -> None:
        """Take a worker off the table."""
        with _as_storage_error():
            self._storage.ask(LEAVE, timeout=ANSWER_SECONDS, worker=worker)

    def workers(self) -> list[SeenWorker]:
        """Return all workers that are there or were lost lately, by host and process number."""
        answer = self._storage.persist(lambda: self._storage.ask(WORKERS))
        return [
            SeenWorker(entry=WorkerEntry.from_dict(one), last_seen_seconds=one["ago"])
            for one in answer["workers"]
        ]


@contextmanager
def _as_storage_error() -> Iterator[None]:
    """Raise what the proxy could not do as a storage without a proxy would."""
    try:
        yield
    except grpc.RpcError as error:
        if is_outage(error):
            raise StorageUnreachable(str(error.details())) from None
        if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise CannotWrite(str(error.details())) from None
        if error.code() == grpc.StatusCode.PERMISSION_DENIED:
            raise StorageError(str(error.details())) from None
        raise StorageInternalError(f"the proxy could not do it: {error.details()}") from error


def is_outage(error: grpc.RpcError) -> bool:
    """Whether the proxy, or its database, was away when this happened; the same may work later."""
    return error.code() in OUTAGES


def open_proxied(
    url: str,
    *,
    heartbeats: HeartbeatOptions,
    patience_seconds: float,
    wait_for_server: bool,
    give_up: Callable[[], bool],
) -> ProxiedStorage:
    """Open the storage behind the proxy at `url`.

    Args:
        url: `grpc://HOST:PORT`.
        heartbeats: Options of the heartbeats.
        patience_seconds: How long to try again when the proxy stops answering.
        wait_for_server: Be as patient with a proxy that does not answer yet.
        give_up: Asked while waiting; once true, nothing is waited for any more.

    Raises:
        StorageUnreachable: no proxy answers there.
        StorageError: the URL is wrong, or something else answers.
    """
    host, port = parse_address(url)
    storage = ProxiedStorage(
        host, port, heartbeats=heartbeats, patience_seconds=patience_seconds, give_up=give_up
    )
    try:
        wait_until_open(
            lambda: _require_proxy(storage, f"{SCHEME}{host}:{port}"),
            patience_seconds=patience_seconds,
            wait_for_server=wait_for_server,
            give_up=give_up,
        )
    except BaseException:
        storage.close()
        raise
    return storage


def parse_address(url: str) -> tuple[str, int]:
    """Return host and port of `grpc://HOST:PORT`; an IPv6 address keeps its brackets."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or "@" in parts.netloc or parts.path not in ("", "/") or parts.query:
        raise StorageError(
            "a proxy's URL has a host, a port and nothing else; write grpc://HOST:PORT, "
            "such as grpc://127.0.0.1:13000"
        )
    return (f"[{host}]" if ":" in host else host), port


def _require_proxy(storage: ProxiedStorage, shown: str) -> None:
    try:
        storage.describe()
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise StorageError(
                f"{shown}: a gRPC server answers there, but not ATML's; start it with: atml proxy"
            ) from None
        if not is_outage(error):
            raise StorageError(f"{shown}: the proxy cannot be used: {error.details()}") from None
        raise StorageUnreachable(
            f"{shown}: no proxy answers there; check host and port, and that `atml proxy` runs"
        ) from None


make_patient(ProxiedStorage, "create_new_trial", "set_trial_param", "get_all_trials")
