"""Whether and when a dead worker is restarted."""

from dataclasses import dataclass

from optuna import Study
from optuna.trial import FrozenTrial

from atml.errors import StorageUnreachable
from atml.tuning import records
from atml.tuning.processes import this_process
from atml.tuning.retry import MOST_DEATHS, got_further

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
# A worker that does not even begin a trial has a problem that a restart does not solve.
MAX_STARTS_WITHOUT_TRIAL = 3
# A trial that kills its workers is retried MOST_DEATHS times; the restarts must outlast it.
MAX_DEATHS_WITHOUT_PROGRESS = MOST_DEATHS + 2


@dataclass(frozen=True, kw_only=True)
class History:
    """What a worker did before it died."""

    began: bool  # it began a trial
    progressed: bool  # it finished a trial or trained a new epoch


class Restarts:
    """Counts a worker's deaths in a row without progress."""

    def __init__(self) -> None:
        self._without_trial = 0
        self._without_progress = 0

    def delay_after(self, history: History) -> float | None:
        """Return the seconds to wait before the restart; None for no restart."""
        self._without_trial = 0 if history.began else self._without_trial + 1
        self._without_progress = 0 if history.progressed else self._without_progress + 1
        if (
            self._without_trial >= MAX_STARTS_WITHOUT_TRIAL
            or self._without_progress >= MAX_DEATHS_WITHOUT_PROGRESS
        ):
            return None
        return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** max(0, self._without_progress - 1))


def history_of(study: Study, pid: int) -> History:
    """Return what process `pid` on this machine did in a study."""
    try:
        own = [trial for trial in study.get_trials(deepcopy=False) if _is_of(trial, pid)]
    except StorageUnreachable:  # unknown; a longer delay suits an unreachable server
        return History(began=True, progressed=False)
    progressed = any(records.was_trained(trial) or got_further(trial) for trial in own)
    return History(began=bool(own), progressed=progressed)


def _is_of(trial: FrozenTrial, pid: int) -> bool:
    worker = trial.user_attrs.get(records.WORKER, {})
    return (worker.get("host"), worker.get("pid")) == (this_process().host, pid)
