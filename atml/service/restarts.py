"""Whether a worker that died is worth another start, and when."""

from dataclasses import dataclass

from optuna import Study
from optuna.trial import FrozenTrial

from atml.search import records
from atml.search.processes import this_process
from atml.search.retry import MOST_DEATHS, got_further

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# Without even beginning a trial it fails for want of something that no restart brings.
STILLBIRTHS_ALLOWED = 2
# A trial that kills its workers is given up after MOST_DEATHS; the worker must outlast it.
FRUITLESS_ALLOWED = MOST_DEATHS + 1


@dataclass(frozen=True, kw_only=True)
class Deeds:
    """What a worker did while it lived."""

    began: bool  # a trial
    got_further: bool  # finished one, or trained an epoch that no worker had before it


class Restarts:
    """Counts the deaths in a row by which nothing was gained."""

    def __init__(self) -> None:
        self._stillbirths = 0
        self._fruitless = 0

    def delay_after(self, deeds: Deeds) -> float | None:
        """Return the seconds to wait before the next start; None if there should be none."""
        self._stillbirths = 0 if deeds.began else self._stillbirths + 1
        self._fruitless = 0 if deeds.got_further else self._fruitless + 1
        if self._stillbirths > STILLBIRTHS_ALLOWED or self._fruitless > FRUITLESS_ALLOWED:
            return None
        return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** max(0, self._fruitless - 1))


def deeds_of(study: Study, pid: int) -> Deeds:
    """Look up what the worker of this number on this machine did in a study."""
    here = this_process()
    own = [trial for trial in study.get_trials(deepcopy=False) if _is_of(trial, here.host, pid)]
    return Deeds(began=bool(own), got_further=any(map(_gained, own)))


def _is_of(trial: FrozenTrial, host: str, pid: int) -> bool:
    worker = trial.user_attrs.get(records.WORKER, {})
    return (worker.get("host"), worker.get("pid")) == (host, pid)


def _gained(trial: FrozenTrial) -> bool:
    return records.was_trained(trial) or got_further(trial)
