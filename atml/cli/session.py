"""Running one study to its end under a progress display: what `search` and `run` share."""

from pathlib import Path
from typing import TYPE_CHECKING

from atml.cli.console import bar, err

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from atml.ecg import Dataset
    from atml.search.outcome import Outcome
    from atml.search.phases import Phase
    from atml.service.launcher import WorkerPlan
    from atml.service.studies import StoredStudy


def with_training_data(
    phase: "Phase", train: Path | None, *, skip_bad: bool, exclude: tuple[str, ...] = ()
) -> "Phase":
    """Return the phase with its training directory made absolute, so that every worker finds it."""
    from atml.errors import SpecError

    directory = train or (Path(phase.data.train) if phase.data.train else None)
    if directory is None:
        raise SpecError("no training data: set data.train in the spec, or give --train DIR")
    excluded = tuple(dict.fromkeys((*phase.data.exclude_subjects, *exclude)))
    changes = {
        "train": str(directory.resolve()),
        "skip_bad": phase.data.skip_bad or skip_bad,
        "exclude_subjects": excluded,
    }
    return phase.model_copy(update={"data": phase.data.model_copy(update=changes)})


def load_phase_data(phase: "Phase") -> "Dataset":
    """Load the phase's training segments under a bar; say how many broken files were left out."""
    from atml.service.data import load_training_data

    with bar(f"Reading {phase.data.train}", "files") as update:
        dataset = load_training_data(phase.data, update)
    if dataset.skipped:
        err().print(f"{phase.data.train}: left out {dataset.skipped} broken files")
    return dataset


def tell_left_out(stored: "StoredStudy") -> None:
    """Name the architectures that are not searched, since the segments are too short for them."""
    from atml.models import get_architecture

    if stored.waits_for is not None:
        return  # which architectures it will search is not known yet
    length = stored.data.segment_length
    searched = stored.phase.architectures()
    names = [name for name in searched if get_architecture(name).minimum_length > length]
    if names:
        err().print(
            f"{stored.study.study_name}: left out {', '.join(names)}: "
            f"segments of {length} samples are too short"
        )


def open_study(storage: "BaseStorage", phase: "Phase", dataset: "Dataset", *, extend: bool) -> "StoredStudy":
    """Create or resume a study; what an earlier crash or a stop left behind is put right."""
    from atml.search.stop import StoppedBy, clear_stop, read
    from atml.service.alive import close_dead_trials
    from atml.service.studies import begin, create_or_resume

    stored = create_or_resume(storage, phase, dataset, extend=extend)
    if stored.waits_for is not None:  # submitted before its base had ended
        stored = begin(storage, stored) or stored
    tell_left_out(stored)
    sign = read(stored.study)
    if sign is not None and sign.by is StoppedBy.USER:
        clear_stop(stored.study)
    closed = close_dead_trials(stored.study).closed
    if closed:
        err().print(f"{phase.name}: {closed} trial(s) of a killed worker are queued again")
    return stored


def run_study(stored: "StoredStudy", *, storage: str, artifacts: str, workers: int, device: str) -> "Outcome":
    """Launch the workers, show their progress, and return what came of it."""
    from atml.cli.display import StudyDisplay
    from atml.search.outcome import outcome
    from atml.search.stop import read
    from atml.service.launcher import WorkerPlan, launch

    if read(stored.study) is None:
        plan = WorkerPlan(storage=storage, artifacts=artifacts, workers=workers, device=device)
        _announce(stored, plan)
        with StudyDisplay(stored) as display:
            launch(stored.study, plan, on_poll=display.update, say=display.say)
    return outcome(stored.snapshot())


def _announce(stored: "StoredStudy", plan: "WorkerPlan") -> None:
    from atml.training import choose_device, describe_device

    data, budget = stored.data, stored.phase.budget
    limits = [f"{budget.trials} trials"] if budget.trials else []
    limits += [f"{budget.minutes:g} min"] if budget.minutes else []
    err().print(
        f"{stored.study.study_name}: {data.segments:,} segments of {data.subjects} subjects, "
        f"{plan.workers} worker(s) on {describe_device(choose_device(plan.device))} "
        f"with {plan.threads_each()} thread(s) each, budget {' or '.join(limits) or 'none'}"
    )
