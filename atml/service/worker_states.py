"""What each worker of a storage is doing."""

from collections.abc import Sequence
from dataclasses import dataclass

from atml.service.alive import WorkerRow
from atml.tuning.progress import Progress


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """A worker's state; without a study it waits for one, without a trial it is between two."""

    host: str  #: Its host.
    pid: int  #: Its process number.
    number: int  #: Its number, which seeds its sampler.
    device: str  #: Device it trains on.
    threads: int  #: CPU threads it trains with.
    study: str | None  #: Study it works on; None if it waits for one.
    trial: int | None  #: Trial it trains; None between two trials.
    epoch: int | None  #: Finished epochs of the fold.
    epochs: int | None  #: Epochs of the fold.
    last_seen_seconds: float  #: Seconds since its last heartbeat.
    lost: bool  #: Whether it disappeared.


def worker_states(rows: Sequence[WorkerRow], studies: Sequence[Progress]) -> list[WorkerState]:
    """Return what each worker is doing."""
    held = {
        (trial.host, trial.pid): (state.snapshot.study, trial) for state in studies for trial in state.running
    }
    found = []
    for one in rows:
        process = one.process
        study, trial = held.get((process.host, process.pid), (one.study, None))
        found.append(
            WorkerState(
                host=process.host,
                pid=process.pid,
                number=one.number,
                device=one.device,
                threads=one.threads,
                study=study,
                trial=trial.number if trial else None,
                epoch=trial.epoch if trial else None,
                epochs=trial.epochs if trial else None,
                last_seen_seconds=round(one.last_seen_seconds, 1),
                lost=one.is_lost,
            )
        )
    return found
