"""The scores that finalize's networks gave to subjects they had not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.reports.fits import CUT_AGAIN, Fit, FitJob, stored_fits
from atml.service.artifacts import local_folder
from atml.service.stored import StoredStudy
from atml.tuning import records


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Segments and their scores, in the same order, each by a network without its subject."""

    dataset: Dataset
    scores: NDArray[np.float64]  # [segments] P(AFIB)

    @classmethod
    def of(cls, fits: Sequence[Fit], dataset: Dataset) -> "Scored":
        """Return all segments of `dataset` with the scores by the fits of all folds."""
        scores = np.empty(len(dataset))
        for fit in fits:
            scores[fit.valid_rows] = fit.valid_scores
        return cls(dataset=dataset, scores=scores)


def stored_scores(stored: StoredStudy, trial: int, dataset: Dataset, artifacts: str | Path) -> Scored | None:
    """Return the scores that finalize stored for a trial's network.

    None if the artifacts lack them: finalize ran elsewhere or with another version, or never evaluated this
    trial again.
    """
    phase, name = stored.phase, stored.study.study_name
    proposal = records.proposal(stored.study.get_trials(deepcopy=False)[trial])
    jobs = [
        FitJob(phase, stored.data.fingerprint, proposal, fold=fold, seed=CUT_AGAIN)
        for fold in range(phase.data.folds)
    ]
    fits = stored_fits(jobs, local_folder(artifacts) / name / "fits")
    return None if fits is None else Scored.of(fits, dataset)
