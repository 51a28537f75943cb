"""The scores that finalize's networks gave to subjects they had not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.reports.choose import CUT_AGAIN
from atml.reports.fits import Fit, job, stored_fits
from atml.service.artifacts import local_folder
from atml.service.stored import StoredStudy
from atml.tuning import records


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Segments and their scores; every segment is scored by a network without its subject."""

    dataset: Dataset
    scores: NDArray[np.float64]  # [segments] P(AFIB)

    @classmethod
    def of(cls, fits: Sequence[Fit], dataset: Dataset) -> "Scored":
        """Return the segments of `dataset` by fold, with the scores of the fits of all folds."""
        return cls(
            dataset=dataset.select(np.concatenate([fit.valid_rows for fit in fits])),
            scores=np.concatenate([fit.valid_scores for fit in fits]).astype(np.float64),
        )


def scores_in_order(fits: Sequence[Fit], dataset: Dataset) -> NDArray[np.float64]:
    """Return P(AFIB) of the segments of `dataset`, in its order, by the fits of all folds."""
    scores = np.empty(len(dataset))
    for fit in fits:
        scores[fit.valid_rows] = fit.valid_scores
    return scores


def stored_scores(stored: StoredStudy, trial: int, dataset: Dataset, artifacts: str | Path) -> Scored | None:
    """Return the scores that finalize stored for a trial's network.

    None if the artifacts lack them: finalize ran elsewhere or with another version, or never evaluated this
    trial again.
    """
    phase, name = stored.phase, stored.study.study_name
    proposal = records.proposal(stored.study.get_trials(deepcopy=False)[trial])
    jobs = [
        job(phase, stored.data.fingerprint, proposal, fold=fold, seed=CUT_AGAIN)
        for fold in range(phase.data.folds)
    ]
    fits = stored_fits(jobs, local_folder(artifacts) / name / "fits")
    return None if fits is None else Scored.of(fits, dataset)
