"""From a finished study to its models: evaluate the leaders again, choose, retrain, test once, ship."""

from dataclasses import dataclass
from pathlib import Path

from atml.ecg import Dataset, drop_shared_subjects
from atml.errors import StudyError
from atml.reports.choose import Candidate, answer_to, choose, judge_again
from atml.reports.fits import Fit, FitJob, run_fits
from atml.reports.looks import looks
from atml.reports.out_of_fold import out_of_fold_robustness
from atml.reports.retrain import retrain
from atml.reports.ship import Model, ship
from atml.service.artifacts import local_folder
from atml.service.data import load_training_data
from atml.service.stored import StoredStudy, StudyData
from atml.service.studies import check_data
from atml.service.watch import Watch
from atml.tuning.phases import Phase


@dataclass(frozen=True, kw_only=True, eq=False)
class Final:
    """The shipped models and how they were chosen."""

    candidates: tuple[Candidate, ...]  # the leaders, evaluated again
    models: tuple[Model, ...]  # smallest first
    recommended: Model  # the one that meets the targets best
    is_robust: bool  # whether they reach `targets.robust_fbeta`; if no candidate does, all were considered
    test_looks: int  # evaluations on test segments counted for this study


def finalize(
    stored: StoredStudy,
    *,
    test: Dataset | None,
    out: Path,
    artifacts: str | Path,
    workers: int,
    device: str = "auto",
    train: Path | None = None,
    watch: Watch | None = None,
) -> Final:
    """Make a bundle of the best model of every size, and of the one that meets the targets best.

    The leaders of the search are trained again, for `finalize.epochs`, on new folds. Both sets of folds
    together choose the models. Each chosen model is then trained on all subjects, on soft labels that mix the
    labels with the leaders' scores of the new folds, and evaluated once on the test segments.

    Args:
        stored: The study.
        test: Segments of subjects that it has not seen.
        out: Folder for bundles.
        artifacts: Where the study's files are; finished fits are stored next to them.
        workers: Fits at a time.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        train: Where the training segments are now, if they have moved.
        watch: Receives the progress of both stages.

    Raises:
        StudyError: no trial has finished the race, or training and test share a subject.
        SpecChanged: the training segments are not those that the study was created with.
    """
    phase = stored.phase
    if train is not None:
        phase = phase.model_copy(update={"data": phase.data.model_copy(update={"train": str(train)})})
    dataset = load_training_data(phase.data)
    check_data(stored, StudyData.of(dataset))
    if test is not None:
        check_test(dataset, test)
    folder = local_folder(artifacts) / stored.study.study_name / "fits"

    def run(stage: str, jobs: list[FitJob]) -> list[Fit]:
        what = f"Finalizing {stored.study.study_name}, {stage}"
        with (watch or Watch()).progress(what, "fits") as on_done:
            return run_fits(jobs, folder, workers=workers, device=device, on_done=on_done)

    candidates = judge_again(stored, phase, dataset, run)
    robust = _robust(candidates, dataset, phase)
    choices = choose(robust or candidates, phase)
    answer = answer_to(robust or candidates, phase)
    models = tuple(
        ship(stored, dataset, test, one, out, recommended=one.choice.candidate is answer)
        for one in retrain(choices, candidates, phase, dataset, run)
    )
    return Final(
        candidates=tuple(candidates),
        models=models,
        recommended=next(model for model in models if model.choice.candidate is answer),
        is_robust=bool(robust),
        test_looks=len(looks(stored.study)),
    )


def _robust(candidates: list[Candidate], dataset: Dataset, phase: Phase) -> list[Candidate]:
    """Return the candidates that reach `targets.robust_fbeta`; all if it is not set."""
    floor = phase.targets.robust_fbeta
    if floor is None:
        return candidates
    found = {one.trial: out_of_fold_robustness(one, dataset, beta=phase.beta) for one in candidates}
    return [one for one in candidates if found[one.trial].robust_fbeta >= floor]


def check_test(dataset: Dataset, test: Dataset) -> None:
    """Raise StudyError unless test segments are of other subjects and their AFIB means the same rhythms."""
    if set(dataset.positive) != set(test.positive):
        raise StudyError(
            f"the class to find is {'+'.join(dataset.positive)} in {dataset.source} but "
            f"{'+'.join(test.positive)} in {test.source}; import both with the same --positive"
        )
    _, shared = drop_shared_subjects(dataset, test)
    if shared:
        raise StudyError(
            f"{', '.join(shared)} are in training and test both; list them under data.exclude_subjects "
            "of a new study (`atml run --train … --test …` does so by itself)"
        )
