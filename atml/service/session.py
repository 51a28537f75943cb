"""Running one study from spec to outcome, shared by the commands and the Python interface."""

from collections.abc import Sequence
from pathlib import Path

from optuna.storages import BaseStorage

from atml.ecg import Dataset, simulated_segments
from atml.ecg.simulated import fit_labels
from atml.errors import SpecError, StudyError
from atml.models import get_architecture
from atml.service.alive import close_dead_trials
from atml.service.launcher import WorkerPlan, launch
from atml.service.storage.database import shown
from atml.service.storage.opening import parsed_url
from atml.service.stored import StoredStudy
from atml.service.studies import begin, create_or_resume
from atml.service.watch import Watch
from atml.training import choose_device, describe_device
from atml.tuning.outcome import Outcome, outcome
from atml.tuning.phases import Phase
from atml.tuning.spec import BudgetSpec
from atml.tuning.stop import StoppedBy, clear_stop, read
from atml.words import counted


def announcement(phases: Sequence[Phase], plan: WorkerPlan, *, out: str | Path | None = None) -> str:
    """Return two lines about a search, and about shipping its models if `out` names a folder for them.

    Raises:
        StorageError: the URL of the storage is wrong.
    """
    name, spend = phases[-1].name, " and then ".join(_limits(phase.budget) for phase in phases)
    shipping = ", then training the best again, about half as long" if out is not None else ""
    bundles = f", bundles {Path(out) / name}" if out is not None else ""
    return (
        f"{name}: searching {phases[0].data.train} for at most {spend}{shipping}\n"
        f"Writes studies to {shown(parsed_url(plan.storage))}, files to {plan.artifacts}{bundles}; "
        "after Ctrl-C the same command continues"
    )


def with_training_data(
    phase: Phase, train: str | Path | None, *, skip_bad: bool = False, exclude: tuple[str, ...] = ()
) -> Phase:
    """Return the phase with its training directory made absolute, so that every worker finds it.

    Raises:
        SpecError: neither the spec nor `train` names a directory, or its name is not UTF-8.
    """
    directory = train or phase.data.train
    if directory is None:
        raise SpecError("no training data: set data.train in the spec, or give --train DIR")
    place = str(Path(directory).resolve())
    try:
        place.encode()
    except UnicodeEncodeError:  # no spec or manifest could hold it
        raise SpecError(f"{place!a}: this name is not UTF-8; rename it") from None
    changes = {
        "train": place,
        "skip_bad": phase.data.skip_bad or skip_bad,
        "exclude_subjects": tuple(dict.fromkeys((*phase.data.exclude_subjects, *exclude))),
    }
    return phase.model_copy(update={"data": phase.data.model_copy(update=changes)})


def draw_simulated(share: float, dataset: Dataset, watch: Watch) -> None:
    """Draw the simulated segments that training takes a share of, so that not every process has to."""
    if share and fit_labels(dataset.positive):
        with watch.progress("Simulating segments to train on", "subjects") as update:
            simulated_segments(dataset.segment_length, progress=update)


def say_left_out(stored: StoredStudy, watch: Watch) -> None:
    """Report the architectures that are not searched because the segments are too short."""
    if stored.waits_for is not None:
        return  # its architectures are not known yet
    length = stored.data.segment_length
    searched = stored.phase.architectures()
    names = [name for name in searched if get_architecture(name).minimum_length > length]
    if names:
        watch.say(
            f"{stored.study.study_name}: left out {', '.join(names)}: "
            f"segments of {length} samples are too short"
        )


def open_study(
    storage: BaseStorage, phase: Phase, dataset: Dataset, watch: Watch, *, extend: bool = False
) -> StoredStudy:
    """Create or resume a study, and clean up after an earlier crash or stop.

    Raises what `create_or_resume` raises, and:
        StudyError: the study waits for its base to end.
    """
    draw_simulated(phase.training.simulated, dataset, watch)
    stored = create_or_resume(storage, phase, dataset, extend=extend, watch=watch)
    if stored.waits_for is not None:  # submitted before its base had ended
        begun = begin(storage, stored)
        if begun is None:
            raise StudyError(
                f"study {phase.name!r} waits for its base {stored.waits_for!r} and its last trials to end; "
                "then run the same command again"
            )
        stored = begun
    say_left_out(stored, watch)
    sign = read(stored.study)
    if sign is not None and sign.by is StoppedBy.USER:
        clear_stop(stored.study)
    queued = close_dead_trials(stored.study).queued
    if queued:
        watch.say(f"{phase.name}: queued again after a killed worker: {counted(queued, 'trial')}")
    return stored


def work_on(stored: StoredStudy, plan: WorkerPlan, watch: Watch) -> Outcome:
    """Run workers until the study has ended, and return its outcome."""
    if read(stored.study) is None:
        _announce(stored, plan, watch)
        with watch.study(stored) as shown:
            launch(stored.study, plan, on_poll=shown.update, say=shown.say)
    return outcome(stored.latest().snapshot())


def _announce(stored: StoredStudy, plan: WorkerPlan, watch: Watch) -> None:
    data, phase = stored.data, stored.phase
    trivial = data.all_afib_fbeta(phase.beta)
    watch.say(
        f"{stored.study.study_name}: {counted(data.segments, 'segment')} of "
        f"{counted(data.subjects, 'subject')}, {counted(plan.workers, 'worker')} on "
        f"{describe_device(choose_device(plan.device))}; calling every segment AFIB has F{phase.beta:g} "
        f"{trivial:.4f}"
    )
    wanted = phase.targets.fbeta
    if wanted is not None and wanted <= trivial:
        watch.say(
            f"Note: calling every segment AFIB reaches targets.fbeta = {wanted:g}, so meeting it means "
            "nothing; set it higher"
        )


def _limits(budget: BudgetSpec) -> str:
    """Return a budget in words."""
    found = [counted(budget.trials, "trial")] if budget.trials else []
    found += [f"{budget.minutes:g} min"] if budget.minutes else []
    return " or ".join(found) or "as long as there are points to try"
