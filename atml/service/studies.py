"""Creating, resuming and finding studies. Everything a worker needs is stored with the study."""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import optuna
from optuna import get_all_study_names
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from atml.ecg import Dataset, grouped_folds
from atml.errors import (
    AtmlError,
    CannotWrite,
    ModelError,
    SpecChanged,
    SpecError,
    StorageUnreachable,
    StudyError,
    UnknownStudy,
)
from atml.service.alive import close_dead_trials
from atml.service.stored import StoredStudy, StudyData, awaited_base
from atml.service.watch import Watch
from atml.tuning import records, stop
from atml.tuning.candidates import UNKNOWN, Candidate
from atml.tuning.outcome import Outcome, outcome
from atml.tuning.phases import Phase, WidthPhase, parse_spec
from atml.tuning.snapshot import Snapshot
from atml.tuning.spec import STUDY_NAME, STUDY_NAME_RULE, differences

DATA = "data"
CANDIDATES = "candidates"  # computed once, so that every worker compares the same networks
EXTENDABLE = ("budget.", "targets.", "finalize.")
# These decide which networks are compared, which is settled when a study is created.
NOT_EXTENDABLE = ("targets.size_of", "targets.max_")
FORMAT = "format"  # of the attributes of a study and its trials
PRESENT_FORMAT = 5
CREATION_SECONDS = 5.0  # creating a study takes less than a second


def create_or_resume(
    storage: BaseStorage,
    phase: Phase,
    dataset: Dataset,
    *,
    extend: bool = False,
    may_wait: bool = False,
    watch: Watch | None = None,
) -> StoredStudy:
    """Create the study that `phase` describes, or resume it.

    Args:
        storage: Where studies are kept; the base study of a phase 2 is looked up there.
        phase: The spec.
        dataset: Segments to train on.
        extend: Continue the study even if it has ended; the budget and the targets may differ from the
            stored ones.
        may_wait: Create a phase 2 before its base has ended; `begin` completes it later.
        watch: Follows the measuring of the networks.

    Raises:
        SpecChanged: the study exists with another spec or other data; lists the differences.
        UnknownStudy: the base study of a phase 2 does not exist.
        StudyError: the base study has no finished trial.
        TooFewSubjects: there are too few subjects for the spec's folds.
    """
    data = StudyData.of(dataset)
    # Check now, since the folds would otherwise fail in every worker.
    grouped_folds(dataset, folds=phase.data.folds, seed=phase.data.seed)
    while not _is_complete(storage, phase.name):
        waits = may_wait and not _base_has_ended(storage, phase)
        with suppress(DuplicatedStudyError):  # another process was faster, and is about to complete it
            _create(storage, phase if waits else resolve_base(storage, phase), data, watch or Watch())
    stored = load(storage, phase.name)
    check_data(stored, data)
    return _check_spec(stored, phase, extend=extend)


def load(storage: BaseStorage, name: str) -> StoredStudy:
    """Load a study and its spec.

    Raises:
        UnknownStudy: there is no study of that name; lists the existing ones.
        StudyError: it was not created by ATML, or it was renamed to what cannot name its folder.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except (KeyError, UnicodeEncodeError):  # a name from the command line may hold bytes that are no text
        names = get_all_study_names(storage)
        there = f"it has {', '.join(names)}" if names else "it has none yet"
        raise UnknownStudy(f"no study {name!r} in this storage; {there}") from None
    attributes = study.user_attrs
    if records.SPEC not in attributes:
        raise StudyError(
            f"study {name!r} has no spec: it was not made by ATML, or its creation was cut short"
        )
    if attributes.get(FORMAT) != PRESENT_FORMAT:
        raise StudyError(
            f"study {name!r} was made by an earlier version of ATML, whose networks differ; finish it with "
            "that version, or give the new study another name"
        )
    if not re.fullmatch(STUDY_NAME, name):
        raise StudyError(
            f"study {name!r} was renamed, to what cannot name its folder; rename it again in the dashboard: "
            f"a name {STUDY_NAME_RULE}"
        )
    with damage_explained(name):
        phase = parse_spec(attributes[records.SPEC], source=f"study {name}")
        study.pruner = phase.pruner()
        candidates = tuple(Candidate.from_list(values) for values in attributes.get(CANDIDATES, []))
        data = StudyData(**attributes[DATA])
        stop.stop_in(attributes)
    return StoredStudy(study=study, phase=phase, data=data, candidates=candidates)


@contextmanager
def damage_explained(name: str) -> Iterator[None]:
    """Raise StudyError for what attributes lead to that somebody has changed by hand."""
    try:
        yield
    except ModelError as error:  # an architecture is not installed here
        raise StudyError(f"study {name!r}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"study {name!r} is damaged: its attributes are not as ATML wrote them "
            f"({type(error).__name__}: {error}); restore the storage from a backup, or delete the study"
        ) from error


def check_trials(stored: StoredStudy) -> tuple[Snapshot, Outcome]:
    """Read a study's state and result; raise StudyError if somebody has damaged a trial's attributes."""
    with damage_explained(stored.study.study_name):
        of = stored.snapshot()
        result = outcome(of)
        for trial in of.trials:
            records.curve(trial)
            records.config(trial)
    return of, result


def load_all(storage: BaseStorage, refuse: Callable[[str, AtmlError], None]) -> list[StoredStudy]:
    """Load every study that ATML created, oldest first; other studies may share the storage.

    `refuse` is called with the name of each study that cannot be loaded, and why.
    """
    found = []
    for name in [study.study_name for study in storage.get_all_studies() if records.SPEC in study.user_attrs]:
        try:
            found.append(load(storage, name))
        except (StorageUnreachable, CannotWrite):
            raise
        except AtmlError as error:
            refuse(name, error)
    return found


def resolve_base(storage: BaseStorage, phase: Phase) -> Phase:
    """Fill in what a phase 2 takes from its base study: the best architectures."""
    if not isinstance(phase, WidthPhase) or phase.base.architectures:
        return phase
    base = load(storage, str(phase.base.study))
    names = phase.chosen_from(base.phase.rank(base.study.get_trials(deepcopy=False)))
    if not names:
        sign = stop.read(base.study)
        ended = f": it has ended because {sign.because}" if sign is not None else ""
        raise StudyError(
            f"study {phase.base.study!r} has no finished trial of an architecture with widths "
            f"to base {phase.name!r} on{ended}"
        )
    filled = phase.base.model_copy(update={"architectures": names})
    return phase.model_copy(update={"base": filled})


def _is_complete(storage: BaseStorage, name: str) -> bool:
    """Whether the study exists with its spec; only the remains of a killed creator are deleted."""
    until = time.monotonic() + CREATION_SECONDS
    while name in get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        attributes = study.user_attrs
        if records.SPEC in attributes:
            return True
        waited = time.monotonic() > until
        if study.get_trials(deepcopy=False) or (waited and FORMAT not in attributes):
            raise StudyError(
                f"study {name!r} was not made by ATML, or its creation was cut short; "
                "give the new study another name, or delete that one with: optuna delete-study"
            )
        if waited:
            optuna.delete_study(study_name=name, storage=storage)
        else:
            time.sleep(CREATION_SECONDS / 20)  # another process may be about to complete it
    return False


def begin(storage: BaseStorage, stored: StoredStudy) -> StoredStudy | None:
    """Complete a study that waits for its base; return None while the base has not ended.

    Two workers may do so at once; both write the same, since the base's trials have ended too.

    Raises:
        StudyError: the base ended without a finished trial.
    """
    stored = load(storage, stored.study.study_name)
    if stored.waits_for is None:  # another worker has completed it
        return stored
    if not _base_has_ended(storage, stored.phase):
        return None
    phase = resolve_base(storage, stored.phase)
    candidates = _candidates(phase, stored.data.segment_length, Watch())
    latest = load(storage, stored.study.study_name)  # meanwhile it may have been completed, or extended
    if latest.waits_for is not None:
        stored.study.set_user_attr(CANDIDATES, [one.to_list() for one in candidates])
        stored.study.set_user_attr(records.SPEC, resolve_base(storage, latest.phase).stored())
    return load(storage, stored.study.study_name)


def _base_has_ended(storage: BaseStorage, phase: Phase) -> bool:
    name = awaited_base(phase)
    if name is None:
        return True
    base = load(storage, name).study
    sign = stop.read(base)
    if sign is None or sign.by is stop.StoppedBy.USER:
        return False
    # A trial that is still running may complete and change the ranking.
    return all(trial.state != TrialState.RUNNING for trial in close_dead_trials(base).trials)


def _create(storage: BaseStorage, phase: Phase, data: StudyData, watch: Watch) -> None:
    # Before the study is created: others treat a study that stays incomplete as abandoned.
    candidates = () if awaited_base(phase) else _candidates(phase, data.segment_length, watch)
    study = optuna.create_study(
        storage=storage, study_name=phase.name, directions=list(phase.directions), sampler=RandomSampler()
    )
    study.set_user_attr(FORMAT, PRESENT_FORMAT)  # first: a study with a format is ATML's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(phase.metric_names())
    study.set_user_attr(DATA, asdict(data))
    study.set_user_attr(CANDIDATES, [one.to_list() for one in candidates])
    study.set_user_attr(records.SPEC, phase.stored())  # last: a study with a spec is complete


def _candidates(phase: Phase, segment_length: int, watch: Watch) -> tuple[Candidate, ...]:
    with watch.progress("Measuring networks", "architectures") as update:
        candidates = phase.candidates(segment_length, update)
    if not candidates:
        raise SpecError(
            f"{phase.name}: no architecture can be made as small as {max(phase.search.sizes)} bytes; "
            "raise search.sizes"
        )
    unknown = dict.fromkeys(one.architecture for one in candidates if one.footprint == UNKNOWN)
    if unknown:
        watch.say(f"No C code can be generated for the INT8 networks of {', '.join(unknown)}")
    return candidates


def check_data(stored: StoredStudy, data: StudyData) -> None:
    """Refuse segments other than those the study was created with.

    Raises:
        SpecChanged: they differ; names both.
    """
    if stored.data.fingerprint != data.fingerprint:
        raise SpecChanged(
            f"study {stored.study.study_name!r} was created on other data: {stored.data.directory} "
            f"({stored.data.segments} segments, fingerprint {stored.data.fingerprint[:12]}) but got "
            f"{data.directory} ({data.segments} segments, fingerprint {data.fingerprint[:12]}); "
            "give the new study another name"
        )


def _check_spec(stored: StoredStudy, phase: Phase, *, extend: bool) -> StoredStudy:
    if isinstance(phase, WidthPhase) and isinstance(stored.phase, WidthPhase):
        phase = _with_stored_base(phase, stored.phase)
    changed = differences(_comparable(stored.phase), _comparable(phase))
    if not (changed or extend):
        return stored
    name = stored.study.study_name
    harmless = all(line.startswith(EXTENDABLE) and not line.startswith(NOT_EXTENDABLE) for line in changed)
    if changed and not (extend and harmless):
        proceed = "add --extend to go on with these" if harmless else "give the new study another name"
        if any(".sizes:" in line for line in changed):
            proceed += f", or ship its models of other sizes with: atml finalize {name} --sizes …"
        listed = "\n  ".join(changed)
        raise SpecChanged(
            f"study {name!r} was created with another spec:\n  {listed}\n{proceed}; if your spec does not "
            "set a field above, its default has changed with ATML: set it to the former value to go on"
        )
    if changed:
        stored.study.set_user_attr(records.SPEC, phase.stored())
    stop.clear_stop(stored.study)
    return load(stored.study._storage, name)


def _with_stored_base(phase: WidthPhase, stored: WidthPhase) -> WidthPhase:
    """Keep the base that was looked up at creation; phase 1 may have continued since."""
    asked = phase.base
    same = asked == stored.base.model_copy(update={"architectures": None})
    return phase.model_copy(update={"base": stored.base}) if same else phase


def _comparable(phase: Phase) -> dict[str, Any]:
    """Return the stored spec without the data's location; its content is compared instead."""
    document = phase.stored()
    document["data"].pop("train")
    return document
