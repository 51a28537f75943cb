"""A study at one moment, so that everything reported about it is consistent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from optuna import Study
from optuna.trial import FrozenTrial

from atml.tuning import stop
from atml.tuning.phases import Phase
from atml.tuning.stop import Stop
from atml.tuning.times import now


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a study, read once."""

    study: str
    phase: Phase
    stop: Stop | None
    trials: list[FrozenTrial]
    taken: datetime  # local, as the times of trials
    all_afib_fbeta: float  # F-beta of calling every segment AFIB

    @classmethod
    def of(cls, study: Study, phase: Phase, all_afib_fbeta: float) -> Self:
        """Read a study."""
        # The stop request first: a study that has spent its budget must not show too few trials.
        sign = stop.read(study)
        trials = study.get_trials(deepcopy=False)
        return cls(
            study=study.study_name,
            phase=phase,
            stop=sign,
            trials=trials,
            taken=now(),
            all_afib_fbeta=all_afib_fbeta,
        )
