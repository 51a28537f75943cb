"""From a finished study to its models: evaluate the leaders again, choose, retrain, test once, ship."""

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from atml.ecg import Dataset, shared_subjects
from atml.errors import StudyError
from atml.reports.choose import Candidate, RunFits, answer_to, choose, judge_again
from atml.reports.fits import Fit, FitJob, run_fits
from atml.reports.looks import looks
from atml.reports.out_of_fold import out_of_fold_robustness, shipped_robustness
from atml.reports.retrain import retrain
from atml.reports.ship import Exported, Model, export, ship
from atml.service.artifacts import local_folder
from atml.service.data import load_training_data
from atml.service.launcher import WorkerPlan
from atml.service.session import draw_simulated
from atml.service.stored import StoredStudy, StudyData
from atml.service.studies import check_data
from atml.service.watch import Watch
from atml.tuning.phases import Phase
from atml.tuning.sizes import SizeOf


@dataclass(frozen=True, kw_only=True, eq=False)
class Final:
    """The shipped models and how they were chosen."""

    candidates: tuple[Candidate, ...]  # the leaders, evaluated again
    models: tuple[Model, ...]  # smallest first
    recommended: Model  # the one that meets the targets best
    is_robust: bool  # whether `recommended` reaches `targets.robust_fbeta`; if not, no other can
    failed_targets: tuple[str, ...] | None  # by `recommended`, over all folds; None if there are no targets
    test_looks: int  # evaluations on test segments counted for this study
    size_of: SizeOf  # what the sizes of the candidates count


def finalize(
    stored: StoredStudy, plan: WorkerPlan, *, test: Dataset | None, out: Path, watch: Watch | None = None
) -> Final:
    """Make a bundle of the best model of every size, and of the one that meets the targets best.

    The leaders of the search are trained again, for `finalize.epochs`, on new folds. Both sets of folds
    together choose the models. Each chosen model is then trained on all subjects, on soft labels that mix the
    labels with the leaders' scores of the new folds, and evaluated once on the test segments.

    Args:
        stored: The study.
        plan: `workers` is the number of fits at a time; finished fits are stored in `artifacts`.
        test: Segments of subjects that the study has not seen.
        out: Folder for bundles.
        watch: Receives the progress of both stages.

    Raises:
        StudyError: no trial has finished the race, no model can be shipped, or the test segments do not go
            with those of training.
        SpecChanged: the training segments are not those that the study was created with.
    """
    phase, watch = stored.phase, watch or Watch()
    if plan.train is not None:
        phase = phase.model_copy(update={"data": phase.data.model_copy(update={"train": plan.train})})
    dataset = load_training_data(phase.data)
    check_data(stored, StudyData.of(dataset))
    if test is not None:
        check_test(dataset, test)
    draw_simulated(phase.final_training.simulated, dataset, watch)
    folder = local_folder(plan.artifacts) / stored.study.study_name / "fits"

    def run(stage: str, jobs: list[FitJob]) -> list[Fit | None]:
        what = f"Finalizing {stored.study.study_name}, {stage}"
        with watch.progress(what, "fits") as on_done:
            return run_fits(jobs, folder, workers=plan.workers, device=plan.device, on_done=on_done)

    candidates = judge_again(stored, phase, dataset, run, watch)
    # Once of each candidate for which it is needed.
    robustness = cache(partial(out_of_fold_robustness, dataset=dataset, beta=phase.beta))
    floor = phase.targets.robust_fbeta
    robust = [one for one in candidates if floor is None or robustness(one).robust_fbeta >= floor]
    answer, exported = _train(robust, candidates, phase, dataset, run, watch)
    is_robust = answer in robust
    models = tuple(
        ship(
            stored,
            dataset,
            test,
            one,
            out,
            shipped_robustness(robustness(one.candidate), one.retrained, dataset),
            recommended=one.candidate is answer,
        )
        for one in exported
    )
    return Final(
        candidates=tuple(candidates),
        models=models,
        recommended=next(model for model in models if model.choice.candidate is answer),
        is_robust=is_robust,
        failed_targets=_failed_targets(answer, phase, is_robust=is_robust),
        test_looks=len(looks(stored.study)),
        size_of=phase.targets.size_of,
    )


def _failed_targets(answer: Candidate, phase: Phase, *, is_robust: bool) -> tuple[str, ...] | None:
    targets = phase.targets
    if {targets.fbeta, targets.onnx_bytes, targets.robust_fbeta} == {None}:
        return None
    return (*targets.missed(answer.fbeta, answer.onnx_bytes), *(() if is_robust else ("robust_fbeta",)))


def _train(
    preferred: list[Candidate],
    leaders: list[Candidate],
    phase: Phase,
    dataset: Dataset,
    run: RunFits,
    watch: Watch,
) -> tuple[Candidate, list[Exported]]:
    """Choose models and train them; return the one that meets the targets best, and all.

    Others take the places of those that cannot be shipped: whose training diverges, or whose INT8 version
    cannot be made or decides otherwise although the targets count it. Leaders that are not `preferred` are
    considered when none of those is left.
    """
    left = leaders
    while left:
        among = [one for one in left if one in preferred] or left
        choices = choose(among, phase)
        trained = [export(phase, dataset, one) for one in retrain(choices, leaders, phase, dataset, run)]
        sound = [one for one in trained if not (phase.targets.counts_int8 and one.lacks_int8)]
        shipped = {one.candidate.trial for one in sound}
        failed = {one.candidate.trial for one in choices} - shipped
        if not failed:
            for one in (one for one in sound if one.no_int8):
                watch.say(f"Trial {one.candidate.trial} has no INT8 version: {one.no_int8}")
            return answer_to(among, phase), sound
        for trial in sorted(failed):
            watch.say(
                f"Not shipped: trial {trial}; its training diverges, or its INT8 version cannot be made or "
                "decides otherwise"
            )
        left = [one for one in left if one.trial not in failed]
    raise StudyError(
        "no model can be shipped: trained again, each diverges or decides otherwise as INT8; use a new study "
        "with lower learning rates, or without INT8 sizes and limits in [targets]"
    )


def check_test(dataset: Dataset, test: Dataset) -> None:
    """Raise StudyError unless test segments are of other subjects, but of the same length and classes."""
    if dataset.segment_length != test.segment_length:
        raise StudyError(
            f"segments have {dataset.segment_length} samples in {dataset.source} but "
            f"{test.segment_length} in {test.source}; test on segments of the same length"
        )
    if set(dataset.positive) != set(test.positive):
        raise StudyError(
            f"the class to find is {'+'.join(dataset.positive)} in {dataset.source} but "
            f"{'+'.join(test.positive)} in {test.source}; import both with the same --positive"
        )
    shared = shared_subjects(dataset, test)
    if shared:
        raise StudyError(
            f"{', '.join(shared)} are in training and test both; list them under data.exclude_subjects "
            "of a new study (`atml run --train … --test …` does so by itself)"
        )
