"""Choosing the models to ship: the leaders of every size are evaluated again on new folds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from atml.ecg import Dataset
from atml.errors import StudyError
from atml.evaluation import FoldCounts, Metrics, best_threshold, chance_to_be_better, estimate
from atml.reports.assessment import metrics_of
from atml.reports.fits import CUT_AGAIN, Fit, FitJob, all_of
from atml.reports.scored import Scored
from atml.service.stored import StoredStudy
from atml.service.watch import Watch
from atml.tuning import records
from atml.tuning.phases import Phase
from atml.tuning.proposal import Proposal
from atml.tuning.ranking import Contender, contenders, leaders, rank

# Of two models, the larger one must be better in this share of the resamples: one standard error.
SURE = 0.84

RunFits = Callable[[str, list[FitJob]], list[Fit | None]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A leader of the search, evaluated again on new folds."""

    contender: Contender  # with the estimate over the search's folds and the new ones
    counts: tuple[FoldCounts, ...] = field(repr=False)  # of all these folds
    fits: tuple[Fit, ...]  # on the new folds
    scored: Scored = field(repr=False)  # by these fits
    proposal: Proposal
    threshold: float
    out_of_fold: Metrics  # on the new folds, at the threshold chosen on the same scores

    @property
    def trial(self) -> int:
        """Number of the trial."""
        return self.contender.trial.number

    @property
    def onnx_bytes(self) -> int:
        """Size of the model."""
        return self.contender.onnx_bytes

    @property
    def fbeta(self) -> float:
        """F-beta over the search's folds and the new ones; biased upwards, since models are chosen by it."""
        return self.contender.fbeta

    @property
    def search_fbeta(self) -> float:
        """F-beta over the search's folds only; biased more, since it chooses leaders among all trials."""
        return records.fbeta(self.contender.trial)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A candidate to ship."""

    candidate: Candidate
    sizes: tuple[int, ...]  # bytes within which it is the best; empty if it only meets the targets best


def sizes_of(phase: Phase) -> tuple[int, ...]:
    """Return the sizes for which a model is chosen, smallest first: those of the spec and the target."""
    target = phase.targets.onnx_bytes
    return tuple(sorted({*phase.finalize.sizes, *([target] if target else [])}))


def judge_again(
    stored: StoredStudy, phase: Phase, dataset: Dataset, run: RunFits, watch: Watch
) -> list[Candidate]:
    """Evaluate the leaders of every size again, on new folds; those that diverge are left out.

    Raises:
        StudyError: no trial has finished the race, or all leaders diverge.
    """
    known = contenders(stored.study.get_trials(deepcopy=False))
    if not known:
        raise StudyError(
            f"study {stored.study.study_name!r} has no trial that finished the race; let it run longer"
        )
    leading = leaders(known, phase.targets, sizes_of(phase), phase.finalize.candidates)
    folds = range(phase.data.folds)
    jobs = [
        FitJob(phase, dataset.fingerprint, records.proposal(one.trial), fold=fold, seed=CUT_AGAIN)
        for one in leading
        for fold in folds
    ]
    fits = run("step 1 of 2: on new folds", jobs)
    candidates = []
    for i, one in enumerate(leading):
        own = all_of(fits[i * len(folds) : (i + 1) * len(folds)])
        if own is not None:
            candidates.append(_candidate(phase, one, dataset, own))
        else:
            watch.say(f"Left out trial {one.trial.number}: its training diverges on other folds")
    if not candidates:
        raise StudyError(
            f"every leader of study {stored.study.study_name!r} diverges on other folds; use a new study "
            "with lower learning rates"
        )
    return candidates


def choose(candidates: Sequence[Candidate], phase: Phase) -> list[Choice]:
    """Return the best candidate of every size and the one that meets the targets best, smallest first.

    Of those that are not clearly worse than the best of a size, the smallest is taken. A size within which
    there is no candidate is left out.
    """
    answer = answer_to(candidates, phase)
    served: dict[int, list[int]] = {answer.trial: []}
    for size in sizes_of(phase):
        fitting = [one for one in candidates if one.onnx_bytes <= size]
        if fitting:
            served.setdefault(_best(fitting, phase.beta).trial, []).append(size)
    chosen = sorted((one for one in candidates if one.trial in served), key=lambda one: one.onnx_bytes)
    return [Choice(candidate=one, sizes=tuple(served[one.trial])) for one in chosen]


def answer_to(candidates: Sequence[Candidate], phase: Phase) -> Candidate:
    """Return the candidate that meets the targets best."""
    first = rank([one.contender for one in candidates], phase.targets)[0]
    return next(one for one in candidates if one.contender is first)


def _best(fitting: Sequence[Candidate], beta: float) -> Candidate:
    best = max(fitting, key=lambda one: (one.fbeta, -one.onnx_bytes))
    smaller = (one for one in fitting if one.onnx_bytes < best.onnx_bytes)
    return min((best, *(one for one in smaller if _is_tied(best, one, beta))), key=lambda one: one.onnx_bytes)


def _is_tied(best: Candidate, other: Candidate, beta: float) -> bool:
    thresholds = (best.contender.estimate.threshold, other.contender.estimate.threshold)
    return chance_to_be_better(best.counts, other.counts, thresholds=thresholds, beta=beta) < SURE


def _candidate(phase: Phase, leader: Contender, dataset: Dataset, fits: Sequence[Fit]) -> Candidate:
    scored = Scored.of(fits, dataset)
    threshold = best_threshold(dataset.labels, scored.scores, dataset.subjects, beta=phase.beta)
    counts = (*records.folds(leader.trial).values(), *(_counts(dataset, fit) for fit in fits))
    return Candidate(
        contender=replace(leader, estimate=estimate(counts, beta=phase.beta, partitions=1 + CUT_AGAIN)),
        counts=counts,
        fits=tuple(fits),
        scored=scored,
        proposal=records.proposal(leader.trial),
        threshold=threshold,
        out_of_fold=metrics_of(dataset, scored.scores, threshold=threshold, beta=phase.beta),
    )


def _counts(dataset: Dataset, fit: Fit) -> FoldCounts:
    return FoldCounts.of(dataset.labels[fit.valid_rows], fit.valid_scores, dataset.subjects[fit.valid_rows])
