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
    """Segments of a data set and their scores; every segment is scored by a network without its subject."""

    dataset: Dataset
    rows: NDArray[np.int64]  # [n] indices into the data set
    scores: NDArray[np.float64]  # [n] P(AFIB)

    @classmethod
    def of(cls, fits: Sequence[Fit], dataset: Dataset) -> "Scored":
        """Return the held-out scores of the fits of all folds, as `Candidate.fits` holds them."""
        return cls(
            dataset=dataset,
            rows=np.concatenate([fit.valid_rows for fit in fits]),
            scores=np.concatenate([fit.valid_scores for fit in fits]).astype(np.float64),
        )

    @property
    def in_order(self) -> NDArray[np.float64]:
        """[segments] P(AFIB) in the order of the data set."""
        scores = np.empty(len(self.dataset))
        scores[self.rows] = self.scores
        return scores

    @property
    def labels(self) -> NDArray[np.int64]:
        """[n] 0 Normal, 1 AFIB."""
        return self.dataset.labels[self.rows]

    @property
    def subjects(self) -> NDArray[np.str_]:
        """[n] names of subjects."""
        return self.dataset.subjects[self.rows]

    @property
    def rhythms(self) -> NDArray[np.str_]:
        """[n] annotated rhythms."""
        return self.dataset.rhythms[self.rows]


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
