"""A gRPC server in front of the database, for more workers than the database could give connections to."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import grpc
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._grpc.auto_generated import api_pb2_grpc
from optuna.storages._grpc.servicer import OptunaStorageProxyService
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from atml.errors import AtmlError, CannotWrite, StorageError, StorageUnreachable
from atml.search import records
from atml.service.address import Address
from atml.service.signals import LeaveOnSignal
from atml.service.storage import GRACE_SECONDS, HEARTBEAT_SECONDS
from atml.service.storage.grpc import (
    BEAT,
    DESCRIBE,
    LEAVE,
    RECORD_HEARTBEAT,
    SERVICE,
    STALE_TRIALS,
    WORKERS,
    pack,
    unpack,
)
from atml.service.storage.patient import is_outage
from atml.service.storage.registry import RegistryTable, WorkerEntry
from atml.service.studies import fail_dead

THREADS = 8  # that wait for the database; Python runs one at a time anyway
FAREWELL_SECONDS = 5.0
LOOK_SECONDS = 0.2

SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second proxy would take half of the first one's workers
    ("grpc.max_receive_message_length", -1),
    # As often as workers look whether the proxy is still there; gRPC would call that an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

Fields = dict[str, Any]

_logger = logging.getLogger(__name__)


class SharedStorage(_CachedStorage):
    """The database, and one cache of finished trials for all workers of a proxy.

    Args:
        backend: The database.
        settle_seconds: For so long after the start no trial counts as dead, since no worker could send a
            heartbeat while there was no proxy.
    """

    def __init__(self, backend: RDBStorage, *, settle_seconds: float) -> None:
        super().__init__(backend)
        self._settled = time.monotonic() + settle_seconds

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial and return its id."""
        # Optuna would now cache it as it was created; another thread may have seen it finished since.
        return self._backend.create_new_trial(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Write one parameter of a running trial."""
        if trial_id in self._trial_id_to_study_id_and_number:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        else:  # it began before this process did; Optuna would not know it
            self._backend.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        return super()._get_stale_trial_ids(study_id) if time.monotonic() > self._settled else []


class Proxy:
    """Serves a database to workers, and closes the trials of those that died.

    Args:
        database: What is served.
        address: Where to listen.
        settle_seconds: How long workers have after the start to send their first heartbeat.
        reap_seconds: Time between two looks for dead workers.

    Raises:
        AddressError: the address cannot be listened on.
    """

    def __init__(
        self,
        database: RDBStorage,
        address: Address,
        *,
        settle_seconds: float = GRACE_SECONDS,
        reap_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        address.is_loopback()  # refuses a host without an address
        self._storage = SharedStorage(database, settle_seconds=settle_seconds)
        self._reap_seconds = reap_seconds
        self._ending = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="reaper", daemon=True)
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS), interceptors=[_InOneSentence()], options=SERVER_OPTIONS
        )
        service = OptunaStorageProxyService(self._storage)
        api_pb2_grpc.add_StorageServiceServicer_to_server(service, self._server)  # type: ignore[no-untyped-call]
        self._server.add_generic_rpc_handlers((_own_service(self._storage, RegistryTable(database.engine)),))
        try:
            port = self._server.add_insecure_port(address.url("", address.port).removeprefix("://"))
        except RuntimeError:
            raise address.refusal("it is in use, or not this machine's") from None
        self.url = address.url("grpc", port)

    def __enter__(self) -> "Proxy":
        self._server.start()
        self._reaper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.stop(FAREWELL_SECONDS).wait()
        self._reaper.join(FAREWELL_SECONDS)

    def _reap(self) -> None:
        while not self._ending.wait(self._reap_seconds):
            try:
                reap(self._storage)
            except (AtmlError, StorageInternalError) as error:
                _logger.warning("cannot look for dead workers: %s", error)


def reap(storage: SharedStorage) -> None:
    """Close and queue again the trials of dead workers, in every study that ATML made."""
    for found in storage.get_all_studies():
        if records.SPEC in found.user_attrs:
            fail_dead(optuna.load_study(study_name=found.study_name, storage=storage))


class EndOnSignal(LeaveOnSignal):
    """Notes which signal asks this process to end."""

    def __init__(self) -> None:
        super().__init__()
        self.by: int | None = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.by = number
        super()._on_signal(number, frame)


def serve(
    database: RDBStorage, address: Address, *, ending: EndOnSignal, on_ready: Callable[[str], None]
) -> None:
    """Serve a database until asked to end.

    Args:
        database: What is served.
        address: Where to listen.
        ending: Says when to end.
        on_ready: Called with the proxy's URL as soon as workers can reach it.

    Raises:
        AddressError: the address cannot be listened on.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        with Proxy(database, address) as proxy:
            on_ready(proxy.url)
            while not ending.requested():
                time.sleep(LOOK_SECONDS)
    finally:
        database.engine.dispose()
    if ending.by == signal.SIGINT:
        raise KeyboardInterrupt


def _own_service(storage: SharedStorage, registry: RegistryTable) -> grpc.GenericRpcHandler:
    """Return what Optuna's protocol lacks."""

    def describe(_: Fields) -> Fields:
        return {"optuna": optuna.__version__}

    def record_heartbeat(fields: Fields) -> Fields:
        storage.record_heartbeat(fields["trial_id"])
        return {}

    def stale_trials(fields: Fields) -> Fields:
        return {"trial_ids": storage._get_stale_trial_ids(fields["study_id"])}

    def beat(fields: Fields) -> Fields:
        registry.beat(WorkerEntry.from_dict(fields))
        return {}

    def leave(fields: Fields) -> Fields:
        registry.leave(fields["worker"])
        return {}

    def workers(_: Fields) -> Fields:
        return {
            "workers": [{**one.entry.to_dict(), "ago": one.last_seen_seconds} for one in registry.workers()]
        }

    answers = {
        DESCRIBE: describe,
        RECORD_HEARTBEAT: record_heartbeat,
        STALE_TRIALS: stale_trials,
        BEAT: beat,
        LEAVE: leave,
        WORKERS: workers,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: _handler(_without_context(answer), unpack, pack) for name, answer in answers.items()}
    )


def _without_context(answer: Callable[[Fields], Fields]) -> Callable[[Fields, grpc.ServicerContext], Fields]:
    return lambda fields, _context: answer(fields)


def _handler(answer: Callable[[Any, Any], Any], read: Any, write: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=read, response_serializer=write)


class _InOneSentence(grpc.ServerInterceptor):  # type: ignore[misc]
    """Tells workers what the database said: whether to ask again, and else why not."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        inner = continuation(details)
        if inner is None:
            return None

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return inner.unary_unary(request, context)
            except StorageUnreachable as error:
                context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            except CannotWrite as error:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            except StorageError as error:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            except StorageInternalError as error:
                context.abort(_code_of(error.__cause__), f"{error}: {error.__cause__}")
            except SQLAlchemyError as error:
                context.abort(_code_of(error), str(error))

        return _handler(answer, inner.request_deserializer, inner.response_serializer)


def _code_of(cause: BaseException | None) -> grpc.StatusCode:
    return grpc.StatusCode.UNAVAILABLE if is_outage(cause) else grpc.StatusCode.UNKNOWN
