"""One worker: runs trials of a study, one after the other, until there is a reason to leave."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna import Study, Trial, TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from atml.dashboard.note import NoteKeeper
from atml.ecg import Dataset
from atml.errors import AtmlError, CannotWrite, StudyError
from atml.files import prepare_folder
from atml.service.alive import Checked, Registration, close_dead_trials, storage_of
from atml.service.artifacts import keep_files, local_folder, open_artifacts
from atml.service.data import load_training_data
from atml.service.signals import LeaveOnSignal
from atml.service.storage import Storage
from atml.service.stored import StoredStudy, StudyData
from atml.service.studies import check_data
from atml.tuning import failures, records, stop
from atml.tuning.budget import exhausted, first_to_finish, out_of_time, spent
from atml.tuning.checkpoints import Checkpoints
from atml.tuning.fit import Trainer
from atml.tuning.grid import FIXED_PARAMS
from atml.tuning.objective import Objective, TrialInterrupted
from atml.tuning.retry import retry_after_death, retry_after_interruption
from atml.tuning.sampler import FrontSampler
from atml.tuning.stop import Stop, StoppedBy
from atml.tuning.times import now

TrialFunction = Callable[[Trial], float | Sequence[float]]

# While others train the last trials; many workers that poll constantly would overload the database.
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """A worker's settings."""

    artifacts: str | Path  # folder or bucket
    train: Path | None = None  # the training segments on this machine, if elsewhere than the study's
    leave: LeaveOnSignal
    registration: Registration


def work(stored: StoredStudy, settings: WorkerSettings, *, wait: bool = True) -> None:
    """Work on a study until its budget is spent, its targets are met or the worker is asked to leave.

    If the study is extended meanwhile, the worker continues with the new budget and targets.

    With `wait` it waits while other workers train the last trials of the budget, since one may fail.

    Raises:
        StudyError: it waits for its base study, or the segments differ from those it was created with.
        DataError: the segments cannot be loaded.
        CannotWrite: a disk is full or read-only; the current trial is queued again.
    """
    if stored.waits_for is not None:
        raise StudyError(f"study {stored.study.study_name!r} waits for its base {stored.waits_for!r} to end")
    itself = settings.registration.row
    torch.set_num_threads(itself.threads)
    study, phase = stored.study, stored.phase
    study.sampler = phase.sampler(itself.number, stored.grid)
    checkpoints = local_folder(settings.artifacts) / study.study_name / "checkpoints"
    prepare_folder(checkpoints)
    objective = Objective(
        phase=phase,
        study=study,
        grid=stored.grid,
        trainer=Trainer(phase, _same_data(stored, settings.train), torch.device(itself.device)),
        device=itself.device,
        asked_to_leave=settings.leave.requested,
        keep=keep_files(open_artifacts(settings.artifacts)),
        checkpoints=Checkpoints(checkpoints),
    )
    with settings.registration.at(study.study_name):
        take_trials(stored, objective, leave=settings.leave.requested, wait=wait)
    latest = stored.latest()
    if latest is not stored and not settings.leave.requested():
        work(latest, settings, wait=wait)


def _same_data(stored: StoredStudy, train: Path | None) -> Dataset:
    """Load the study's segments and check that they are the same on this machine."""
    spec = stored.phase.data
    if train is not None:
        spec = spec.model_copy(update={"train": str(train)})
    dataset = load_training_data(spec)
    check_data(stored, StudyData.of(dataset))
    return dataset


def take_trials(
    stored: StoredStudy,
    objective: TrialFunction,
    *,
    leave: Callable[[], bool],
    wait: bool = True,
) -> None:
    """Run trials until the study is over or `leave` returns True.

    Raises:
        StorageUnreachable: the database server was unreachable for too long.
        CannotWrite: a disk is full or read-only; the current trial is queued again.
    """
    study = stored.study
    note = NoteKeeper(study, stored.snapshot)
    pause_seconds = FIRST_WAIT_SECONDS
    while not leave():
        checked = close_dead_trials(study)
        if is_over(stored, checked):
            note.finish()
            return
        if not is_fully_claimed(stored, checked):
            pause_seconds = FIRST_WAIT_SECONDS
            trial = _next_trial(stored, checked.trials)
            if run_trial(study, trial, objective) == TrialState.COMPLETE:
                note.update(trial.number)
        elif wait:  # a running trial may fail and leave room for another
            time.sleep(random.uniform(0.5, 1.0) * pause_seconds)
            pause_seconds = min(LONGEST_WAIT_SECONDS, 2 * pause_seconds)
        else:
            break
    note.finish()


def is_over(stored: StoredStudy, checked: Checked) -> bool:
    """Whether nothing is left to do in a study; its stop request then has the reason.

    If the study was extended meanwhile, that is so for its former spec only, and no stop is requested.
    """
    if stop.read(stored.study) is not None:
        return True
    # A trial whose worker may be dead would count as running time.
    sign = _reason_to_stop(stored, checked.trials) if checked.is_certain else None
    if sign is not None and stored.latest() is stored:
        stop.request_stop(stored.study, sign)
    return sign is not None


def run_trial(study: Study, trial: Trial, objective: TrialFunction) -> TrialState:
    """Run and close a trial, and queue it again if it was interrupted; return its state.

    If this machine was suspended, others may have taken the worker for dead; they have closed the trial and
    queued it again.
    """
    storage, values = storage_of(study), None
    try:
        result = objective(trial)
        state, values = TrialState.COMPLETE, result if isinstance(result, Sequence) else [result]
    except TrialPruned:
        state = TrialState.PRUNED
    except UpdateFinishedTrialError:
        return TrialState.FAIL
    except BaseException as error:
        interrupted = isinstance(error, (TrialInterrupted, CannotWrite)) or not isinstance(error, Exception)
        with suppress(AtmlError, UpdateFinishedTrialError):  # `close_dead_trials` does it later, or did it
            known = study.get_trials(deepcopy=False)[trial.number]
            retry = retry_after_interruption(known) if interrupted else retry_after_death(known)
            storage.fail_trial(study._study_id, trial._trial_id, retry)
        if not isinstance(error, TrialInterrupted):
            raise
        return TrialState.FAIL
    try:
        storage.set_trial_state_values(trial._trial_id, state, values)
    except UpdateFinishedTrialError:
        return TrialState.FAIL
    return state


def _next_trial(stored: StoredStudy, trials: Sequence[FrozenTrial]) -> Trial:
    """Claim a queued trial, or start one at the point that the sampler suggests.

    A new trial is created with the parameters that it will be given, so others know its point from the start.
    """
    study, storage = stored.study, storage_of(stored.study)
    for queued in trials:
        if queued.state == TrialState.WAITING and _claim(storage, queued):
            return Trial(study, queued._trial_id)
    if not isinstance(study.sampler, FrontSampler):
        return study.ask()
    fixed = {FIXED_PARAMS: study.sampler.suggest(trials).params}
    template = create_trial(state=TrialState.RUNNING, system_attrs=fixed)
    return Trial(study, storage.start_trial(study._study_id, template))


def _claim(storage: Storage, queued: FrozenTrial) -> bool:
    try:
        return bool(storage.set_trial_state_values(queued._trial_id, TrialState.RUNNING))
    except UpdateFinishedTrialError:
        return False


def _reason_to_stop(stored: StoredStudy, trials: list[FrozenTrial]) -> Stop | None:
    targets = stored.phase.targets
    for trial in records.completed(trials):
        # A size alone is met by the first trial, which says nothing of how good a model of that size can be.
        if targets.stop and targets.fbeta is not None and stored.phase.meets_targets(trial):
            return Stop(
                by=StoppedBy.TARGETS, because=f"trial {trial.number} meets the targets", trial=trial.number
            )
    error = failures.hopeless(trials)
    if error is not None:
        return Stop(by=StoppedBy.ERRORS, because=error)
    reason = exhausted(stored.phase.budget, spent(trials, now()), first_to_finish(trials))
    if reason is not None:
        return Stop(by=StoppedBy.BUDGET, because=reason)
    if _is_out_of_points(stored, trials):
        return Stop(by=StoppedBy.SPACE, because="every point was tried or ruled out")
    return None


def _is_out_of_points(stored: StoredStudy, trials: list[FrozenTrial]) -> bool:
    if any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials):
        return False
    return stored.phase.is_exhausted(stored.grid, trials)


def is_fully_claimed(stored: StoredStudy, checked: Checked) -> bool:
    """Whether everything left in a study is, or may be, in training elsewhere."""
    if not checked.is_certain:
        return True
    budget, trials = stored.phase.budget.trials, checked.trials
    used = spent(trials, now())
    if budget is not None and used.trained + used.running >= budget:
        return True
    # On a small space all points may be running elsewhere.
    if any(trial.state == TrialState.WAITING for trial in trials):
        return False
    if out_of_time(stored.phase.budget, used.seconds):  # only the first trial may finish
        return True
    return stored.phase.is_exhausted(stored.grid, trials)
