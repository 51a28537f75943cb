"""A study with what is stored beside its trials: the spec, the data it was created with, its networks."""

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from atml.ecg import Dataset
from atml.evaluation import fbeta_of_all_afib
from atml.service.alive import dead_trials
from atml.tuning import records
from atml.tuning.candidates import Candidate
from atml.tuning.grid import Grid
from atml.tuning.phases import Phase, WidthPhase, parse_spec
from atml.tuning.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """The segments that a study was created with."""

    directory: str  #: Their directory.
    fingerprint: str  #: Hash of names and samples; the same on every machine.
    segments: int  #: Number of segments.
    subjects: int  #: Number of subjects.
    segment_length: int  #: Samples of a segment.
    afib_share: float  #: Share of AFIB, the mean over subjects.

    @classmethod
    def of(cls, dataset: Dataset) -> "StudyData":
        """Describe a data set."""
        names, subject = np.unique(dataset.subjects, return_inverse=True)
        shares = np.bincount(subject, weights=dataset.labels) / np.bincount(subject)
        return cls(
            directory=dataset.source,
            fingerprint=dataset.fingerprint,
            segments=len(dataset),
            subjects=len(names),
            segment_length=dataset.segment_length,
            afib_share=round(float(shares.mean()), 6),
        )

    def all_afib_fbeta(self, beta: float) -> float:
        """F-beta of calling every segment AFIB: what a model has to beat."""
        return fbeta_of_all_afib(self.afib_share, beta)


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study with its stored spec and data description."""

    study: Study
    phase: Phase
    data: StudyData
    candidates: tuple[Candidate, ...]  # empty while the study waits for its base

    @cached_property
    def grid(self) -> Grid:
        """Every point that the study may try."""
        return self.phase.grid(self.candidates)

    def latest(self) -> "StoredStudy":
        """Return the study with the spec stored now: its budget or targets may have been extended."""
        name = self.study.study_name
        phase = parse_spec(self.study.user_attrs[records.SPEC], source=f"study {name}")
        return self if phase == self.phase else replace(self, phase=phase)

    def snapshot(self) -> Snapshot:
        """Read the study's state; a trial of a dead worker has failed, even if nobody has closed it yet."""
        found = Snapshot.of(self.study, self.phase, self.data.all_afib_fbeta(self.phase.beta))
        dead = {trial.number for trial in dead_trials(self.study, found.trials)[0]}
        return replace(found, trials=[_failed(one) if one.number in dead else one for one in found.trials])

    @property
    def waits_for(self) -> str | None:
        """Name of the base study that has to end before this one can begin, if there is one."""
        return awaited_base(self.phase)


def awaited_base(phase: Phase) -> str | None:
    """Return the name of the base study that a phase 2 has yet to take its architectures from."""
    return phase.base.study if isinstance(phase, WidthPhase) and not phase.base.architectures else None


def _failed(trial: FrozenTrial) -> FrozenTrial:
    changed = copy(trial)
    changed.state = TrialState.FAIL
    return changed
