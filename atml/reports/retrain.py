"""Training the chosen models for shipping, on soft labels.

A part of each label is replaced by the mean score that the leaders gave the segment without having seen its
subject. Where they all contradict a label it is doubtful, and where they disagree the segment is difficult;
a small network learns more from that than from the label alone (Hinton et al., Distilling the Knowledge in a
Neural Network, 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.evaluation import best_threshold
from atml.reports.choose import Candidate, Choice, RunFits
from atml.reports.fits import CUT_AGAIN, Fit, FitJob, all_of
from atml.reports.scored import Scored
from atml.tuning.phases import Phase


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrained:
    """A chosen model, trained as it is shipped.

    The scores of its own folds choose the threshold, since soft labels change the scores. They are no measure
    of accuracy: the leaders that made the soft labels knew the held-out subjects' labels. The figures are
    therefore those of the candidate, which learned from the labels alone.
    """

    choice: Choice
    fit: Fit  # on all subjects
    scored: Scored  # by the same training on the new folds
    threshold: float


def retrain(
    choices: Sequence[Choice], candidates: Sequence[Candidate], phase: Phase, dataset: Dataset, run: RunFits
) -> list[Retrained]:
    """Train each choice on all subjects, with `finalize.seeds` seeds, and on the new folds.

    A choice that diverges on a fold, or with every seed, is left out.
    """
    share, seeds = phase.finalize.soft_labels, range(phase.finalize.seeds)
    labels = soft_labels(candidates, dataset, share) if share else None
    folds = range(phase.data.folds) if share else ()  # without soft labels, those of the candidate serve
    each = [*((fold, CUT_AGAIN) for fold in folds), *((None, seed) for seed in seeds)]
    jobs = [
        FitJob(phase, dataset.fingerprint, one.candidate.proposal, fold=fold, seed=seed, soft_labels=labels)
        for one in choices
        for fold, seed in each
    ]
    fits = run("step 2 of 2: models to ship", jobs)
    found = (
        _retrained(one, fits[i * len(each) : (i + 1) * len(each)], len(folds), phase, dataset)
        for i, one in enumerate(choices)
    )
    return [one for one in found if one is not None]


def soft_labels(candidates: Sequence[Candidate], dataset: Dataset, share: float) -> NDArray[np.float32]:
    """Return the labels [n], of which `share` is replaced by the candidates' mean out-of-fold score."""
    mean: NDArray[np.float64] = np.mean([one.scored.scores for one in candidates], axis=0)
    mixed: NDArray[np.float64] = (1 - share) * dataset.labels + share * mean
    return mixed.astype(np.float32)


def _retrained(
    choice: Choice, fits: Sequence[Fit | None], folds: int, phase: Phase, dataset: Dataset
) -> Retrained | None:
    on_folds, on_all = all_of(fits[:folds]), [fit for fit in fits[folds:] if fit is not None]
    if on_folds is None or not on_all:
        return None
    scored = Scored.of(on_folds, dataset) if on_folds else choice.candidate.scored
    return Retrained(
        choice=choice,
        # The seed that converged best: no validation data is left to choose by.
        fit=min(on_all, key=lambda fit: fit.train_loss),
        scored=scored,
        threshold=best_threshold(dataset.labels, scored.scores, dataset.subjects, beta=phase.beta),
    )
