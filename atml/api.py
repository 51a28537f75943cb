"""ATML from Python: what the commands do, without a terminal.

Nothing is printed. Long calls report to a `Watch` if one is given.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from atml import defaults
from atml.ecg import Dataset, shared_subjects
from atml.ecg.sources.finding import find_items
from atml.ecg.sources.recording import Item, Reading
from atml.errors import AtmlError, DataError, NoDatabase, SpecError, StudyError
from atml.export import OnnxClassifier
from atml.files import prepare_folder, write_text
from atml.reports.assessment import Evaluation, answered_of, metrics_of, scores
from atml.reports.bundle import BETA, bundle_of, load_model
from atml.reports.finalize import Final, check_test
from atml.reports.finalize import finalize as make_bundle
from atml.reports.html.contents import Reference
from atml.reports.html.page import render
from atml.reports.looks import count_evaluation
from atml.reports.predicting import RecordingPrediction, predict_items, recording_path
from atml.reports.report import Sources, is_bundle, of_bundle, of_study
from atml.reports.verify import Check
from atml.reports.verify import verify as check_bundle
from atml.service.artifacts import check_place, open_artifacts
from atml.service.data import load_segments, load_training_data
from atml.service.launcher import WorkerPlan
from atml.service.session import announcement, open_study, with_training_data, work_on
from atml.service.storage import Storage, open_storage
from atml.service.studies import check_trials, load
from atml.service.watch import Watch
from atml.training import choose_device
from atml.tuning.outcome import Outcome
from atml.tuning.phases import Phase, WidthPhase, load_spec, parse_spec
from atml.tuning.spec import LARGEST
from atml.tuning.stop import StoppedBy
from atml.words import listed

Spec = Phase | Mapping[str, Any] | str | Path
NAMED = 10  # subjects in a message


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcomes of the searches, and the final models."""

    searches: tuple[Outcome, ...]  # one, or two if it searched in two phases
    final: Final


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna, since ATML has its own progress display."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@quiet_optuna()
def search(
    spec: Spec,
    *,
    train: str | Path | None = None,
    storage: str = defaults.STORAGE,
    artifacts: str = defaults.ARTIFACTS,
    workers: int | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    extend: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Create the study that a spec describes, or resume it, and run workers until it is done.

    In the main thread Ctrl-C is forwarded to the worker processes, which finish their epoch.

    Args:
        spec: A TOML file, its fields as a dictionary, or a `Phase`.
        train: Directory of training segments; overrides the spec's `data.train`.
        storage: URL of the database.
        artifacts: Where trials keep their files: a folder, or s3://BUCKET/PREFIX.
        workers: Worker processes; by default one per core, at most eight.
        device: `auto` (CUDA if available), `cpu`, `cuda` or `cuda:N`.
        skip_bad: Leave broken segment files out.
        extend: Continue a study even if its spec's budget, finalize or targets have changed (of these, not
            `size_of` and the limits).
        watch: Receives reports.

    Raises:
        SpecError: the spec is wrong or names no training data.
        DataError: the segments cannot be used.
        SpecChanged: the study exists with another spec or other segments.
        StudyError: every worker failed.
        KeyboardInterrupt: the user stopped the workers; call it again to continue.
    """
    watch = watch or Watch()
    phase = with_training_data(_as_phase(spec), train, skip_bad=skip_bad)
    plan = _plan(storage, artifacts, workers, device, phase.data.train)
    check_place(artifacts)  # its URL may hold a secret, which must not be said
    watch.say(announcement([phase], plan))  # before anything is written
    open_artifacts(artifacts)  # fails here, not in every worker
    dataset = load_training_data(phase.data, watch)
    stored = open_study(open_storage(storage), phase, dataset, watch, extend=extend)
    return work_on(stored, plan, watch)


@quiet_optuna()
def run(
    train: str | Path,
    test: str | Path | None = None,
    *,
    specs: tuple[Spec, ...] = (),
    name: str | None = None,
    sizes: Sequence[int] | None = None,
    storage: str = defaults.STORAGE,
    artifacts: str = defaults.ARTIFACTS,
    out: str | Path = defaults.OUT,
    workers: int | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    extend: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Search, and make a bundle of the best model of every size, unattended.

    Subjects of `test` never take part in a search. Call it again after an interruption: finished trials are
    kept.

    Args:
        train: Directory of training segments.
        test: Directory of segments of other subjects; only shipped models are evaluated on them, once each.
        specs: Spec of one joint search, or specs of an architecture search and a width search;
            `studies/joint.toml` by default.
        name: Prefix of the studies' names; the training folder's name by default.
        sizes: Bytes; they are searched besides the spec's, and the best model within each is shipped. The
            spec's `finalize.sizes` by default.
        storage: As for `search`, like `artifacts`, `workers`, `device`, `skip_bad`, `extend` and `watch`.
        out: Folder for bundles.

    Raises what `search` and `finalize` raise, and:
        StudyError: the first of two searches was stopped by `atml stop`.
    """
    watch = watch or Watch()
    phases = _named(_phases(specs), name or Path(train).resolve().name)
    phases[-1] = _with_sizes(phases[-1], sizes)
    phases = [with_training_data(one, train, skip_bad=skip_bad) for one in phases]
    plan = _plan(storage, artifacts, workers, device, phases[-1].data.train)
    check_place(artifacts)  # its URL may hold a secret, which must not be said
    watch.say(announcement(phases, plan, out=out))  # before anything is written
    open_artifacts(artifacts)  # fails here, not in every worker
    prepare_folder(Path(out))  # not only after the search
    # Read now, so that a broken file is not found only after the search; nothing is scored yet.
    held_out = load_segments(Path(test), watch, skip_bad=skip_bad) if test is not None else None
    segments = load_segments(Path(train), watch, skip_bad=phases[-1].data.skip_bad)
    if held_out is not None and (shared := tuple(shared_subjects(segments, held_out))):
        watch.say(f"Left out of training, since they are in {test}: {', '.join(shared)}")
        phases = [with_training_data(one, train, exclude=shared) for one in phases]
    opened = open_storage(storage)
    outcomes = []
    for phase in phases:
        dataset = load_training_data(phase.data)
        if held_out is not None:
            check_test(dataset, held_out)
        stored = open_study(opened, phase, dataset, watch, extend=extend)
        outcomes.append(work_on(stored, plan, watch))
        sign = outcomes[-1].stop
        if phase is not phases[-1] and sign is not None and sign.by is StoppedBy.USER:
            raise StudyError(
                f"study {phase.name!r} was stopped, so {phases[-1].name!r} is not begun; "
                "run the same command again to continue"
            )
    final = make_bundle(stored, plan, test=held_out, out=Path(out), watch=watch)
    return Run(searches=tuple(outcomes), final=final)


@quiet_optuna()
def finalize(
    study: str,
    *,
    train: str | Path | None = None,
    test: str | Path | None = None,
    sizes: Sequence[int] | None = None,
    storage: str = defaults.STORAGE,
    artifacts: str = defaults.ARTIFACTS,
    out: str | Path = defaults.OUT,
    workers: int | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    watch: Watch | None = None,
) -> Final:
    """Evaluate a study's best trials again, train those of every size on all subjects, and write bundles.

    Each shipped model is evaluated once on the test segments.

    Args:
        study: Name of a study with finished trials.
        train: Where the training segments are now, if they have moved.
        test: Directory of segments of other subjects.
        sizes: Bytes; the best model within each is shipped. The spec's `finalize.sizes` by default.
        storage: As for `search`, like `artifacts`, `workers`, `device`, `skip_bad` and `watch`.
        out: Folder for bundles.

    Raises:
        UnknownStudy: the storage has no such study.
        StudyError: no trial has finished, or training and test share a subject.
        SpecChanged: the training segments are not those of the study.
    """
    watch = watch or Watch()
    check_place(artifacts)
    stored = load(open_storage(storage, must_exist=True), study)
    check_trials(stored)
    prepare_folder(Path(out))
    if sizes is not None:
        stored = replace(stored, phase=_finalizing(stored.phase, sizes))
    held_out = load_segments(Path(test), watch, skip_bad=skip_bad) if test is not None else None
    plan = _plan(storage, artifacts, workers, device, train)
    return make_bundle(stored, plan, test=held_out, out=Path(out), watch=watch)


def evaluate(
    model: str | Path,
    data: str | Path | Dataset,
    *,
    threshold: float | None = None,
    beta: float | None = None,
    storage: str = defaults.STORAGE,
    skip_bad: bool = False,
    watch: Watch | None = None,
) -> Evaluation:
    """Measure a model on segments: pooled, per subject and per rhythm.

    All segments count, also those to which a bundle made with `finalize.coverage` gives no answer; the
    figures of those that it answers are in `answered`.

    Each evaluation of a bundle, or of an ONNX file in it, on segments other than its training segments is
    counted on its study, if `storage` has it; so is each threshold and beta.

    Args:
        model: A bundle's folder or an ONNX file.
        data: A directory of segments, or a data set.
        threshold: Lowest score that counts as AFIB, from 0 to 1; the model's own by default.
        beta: Beta of F-beta; by default that of the bundle's study, 2 for other models.
        storage: URL of the database.
        skip_bad: Leave broken segment files out.
        watch: Receives the number of evaluations of the study's models on other segments, and which subjects
            have the names of training subjects.

    Raises:
        ModelError: the file is not an ATML model, or not the one that its bundle describes.
        DataError: the segments cannot be used, or are not of the model's length; or `threshold` or `beta` is
            out of range.
    """
    _check_share("threshold", threshold)
    if beta is not None and not 0 < beta < math.inf:
        raise DataError(f"beta must be above 0, but got {beta}")
    watch = watch or Watch()
    path = Path(model)
    bundle = bundle_of(path)
    classifier = bundle.classifier if bundle else OnnxClassifier(path)
    dataset = data if isinstance(data, Dataset) else load_segments(Path(data), watch, skip_bad=skip_bad)
    threshold = classifier.metadata.threshold if threshold is None else threshold
    beta = beta or (bundle.beta if bundle else BETA)
    scored, answered = scores(classifier, dataset), None
    if bundle is not None and (least := bundle.least_confidence) is not None:
        answered = answered_of(dataset, scored, threshold=threshold, least_confidence=least, beta=beta)
    metrics = metrics_of(dataset, scored, threshold=threshold, beta=beta)
    found = Evaluation(**vars(metrics), answered=answered)
    if bundle is None:
        return found
    if set(bundle.positive) != set(dataset.positive):
        wanted, labelled = ("+".join(one) for one in (bundle.positive, dataset.positive))
        watch.say(f"The model was trained to find {wanted}; here {labelled} is labelled AFIB.")
    shared = bundle.trained_on(dataset.subjects.tolist())
    if shared:
        watch.say(_known_subjects(shared, found.subjects))
    result = replace(found, training_subjects=len(shared))
    file = bundle.content(bundle.file)
    watch.say(count_evaluation(bundle, file, dataset, result, storage, training_subjects=len(shared)))
    return result


def predict(
    model: str | Path,
    recordings: str | Path | Sequence[str | Path],
    *,
    lead: str | None = None,
    rate_hz: float | None = None,
    columns: Mapping[str, str] | None = None,
    source_format: str | None = None,
    threshold: float | None = None,
    minimum_seconds: float = 0.0,
    skipped: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Iterator[RecordingPrediction]:
    """Score whole recordings, one after another: each segment, AFIB episodes, and the burden.

    The burden is the share of the answered time that lies in episodes. All scored segments have an answer
    unless the bundle was made with `finalize.coverage`.

    A recording is resampled and filtered as `import_recordings` does, part by part, so its length does not
    matter. Its segments follow each other without overlap; after a gap (missing samples, or 2 s of a flat
    line) the next one begins where the signal does. Annotations are not needed.

    Args:
        model: A bundle's folder or an ONNX file.
        recordings: Files, WFDB records or directories of recordings.
        lead: Name or number (from 0) of the channel; by default the first ECG channel.
        rate_hz: Sampling rate of tables and segment directories.
        columns: Which column or array of a table holds the `signal`, `subject`, `record`, `time` (seconds) or
            `rate` (Hz).
        source_format: `wfdb`, `edf`, `csv`, `npz`, `parquet` or `segments`; recognised by default.
        threshold: Lowest score that counts as AFIB, from 0 to 1; the model's own by default.
        minimum_seconds: Shorter episodes are left out, also of the burden.
        skipped: Receives the name of each recording that cannot be read, and why; without it, the first such
            recording raises.
        watch: Receives progress.

    Raises:
        ModelError: the file is not an ATML model, or not the one that its bundle describes.
        DataError: an option is wrong, a package is missing, or a recording cannot be read (unless `skipped`
            is given).
        NoSegments: a path holds no recording.
    """
    _check_share("threshold", threshold)
    if not 0 <= minimum_seconds < math.inf:
        raise DataError(f"minimum_seconds must be 0 or more and finite, but got {minimum_seconds}")
    classifier, least_confidence = load_model(model)
    known = {role: column for role, column in (columns or {}).items() if role != "rhythm"}
    reading = Reading(lead=lead, rate_hz=rate_hz, columns=known, in_parts=True)
    paths = [recordings] if isinstance(recordings, str | Path) else recordings
    watch, items = watch or Watch(), list[Item]()
    for one in map(Path, paths):
        _, found, notes = find_items(recording_path(one) or one, source_format, reading)
        items += found
        for note in notes:
            watch.say(f"{one}: {note}")

    def predicted() -> Iterator[RecordingPrediction]:
        with watch.progress("Predicting", "s of a recording") as update:
            yield from predict_items(
                classifier,
                items,
                threshold=threshold,
                least_confidence=least_confidence,
                minimum_seconds=minimum_seconds,
                skipped=skipped,
                progress=update,
            )

    return predicted()


def verify(
    bundle: str | Path,
    data: str | Path | Dataset | None = None,
    *,
    build: bool = True,
    skip_bad: bool = False,
    watch: Watch | None = None,
) -> list[Check]:
    """Check that a bundle is complete and unchanged, and that its models still give the same answers.

    Args:
        bundle: The bundle's folder.
        data: The test segments, a directory or a data set, to compute the test metrics again.
        build: Build the C code and run its self-test, which takes several seconds.
        skip_bad: Leave broken segment files out.
        watch: Receives reports.

    Returns:
        The checks, each passed, failed or skipped. If the manifest is unreadable, there are no others.

    Raises:
        DataError: the segments cannot be used.
    """
    watch = watch or Watch()
    dataset = (
        data
        if data is None or isinstance(data, Dataset)
        else load_segments(Path(data), watch, skip_bad=skip_bad)
    )
    return check_bundle(bundle, data=dataset, build=build)


def report(
    what: str | Path,
    *,
    storage: str = defaults.STORAGE,
    artifacts: str = defaults.ARTIFACTS,
    results: str | Path = defaults.OUT,
    train: str | Path | None = None,
    traces: bool = True,
    references: Sequence[Reference] = (),
    out: str | Path | None = None,
    watch: Watch | None = None,
) -> Path:
    """Write a report of a study or a bundle, one HTML page that needs no network, and return its path.

    A study's report includes the bundles in `results`/STUDY; a bundle's report includes its study if
    `storage` has it.

    Args:
        what: Name of a study, or a bundle's folder.
        storage: URL of the database.
        artifacts: Where finalize kept its scores: a folder, or s3://BUCKET/PREFIX.
        results: Folder for bundles, as given to `finalize`.
        train: Where the training segments are now, if they have moved; they serve as examples.
        traces: Whether to draw example ECGs. They are patients' data.
        references: Known models that the front is compared with.
        out: The page; NAME-report.html in the working directory by default.
        watch: Receives what was left out, and why.

    Raises:
        UnknownStudy: the storage has no such study.
        ModelError: a bundle cannot be read.
        CannotWrite: a file cannot be written.
    """
    watch = watch or Watch()
    check_place(artifacts)
    bundle = is_bundle(what)
    sources = Sources(
        storage=_storage_for_report(storage, may_be_missing=bundle),
        artifacts=artifacts,
        results=Path(results),
        train=Path(train) if train is not None else None,
        with_traces=traces,
        watch=watch,
    )
    shown = of_bundle(Path(what), sources) if bundle else of_study(str(what), sources)
    path = Path(out) if out is not None else Path(f"{Path(what).resolve().name}-report.html")
    write_text(path, render(replace(shown, references=tuple(references))))
    return path


def _as_phase(spec: Spec) -> Phase:
    """Return a spec as a phase.

    Raises:
        SpecError: the file cannot be read, or a field is unknown or wrong.
    """
    if isinstance(spec, Phase):
        return spec
    return parse_spec(spec, source="spec") if isinstance(spec, Mapping) else load_spec(Path(spec))


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise DataError(f"{name} must be from 0 to 1, but got {value}")


def _plan(
    storage: str, artifacts: str, workers: int | None, device: str, train: str | Path | None
) -> WorkerPlan:
    if workers is not None and workers < 1:
        raise AtmlError(f"workers must be 1 or more, but got {workers}")
    choose_device(device)  # fails before a study is created
    return WorkerPlan(
        storage=storage,
        artifacts=artifacts,
        workers=workers or defaults.default_workers(),
        device=device,
        train=None if train is None else str(Path(train).resolve()),
    )


def _phases(specs: tuple[Spec, ...]) -> list[Phase]:
    """Return the phases of a run: one joint search, or an architecture and a width search."""
    phases = [_as_phase(spec) for spec in specs or (defaults.default_spec("joint.toml"),)]
    expected = ["joint"] if len(phases) == 1 else ["architecture", "width"]
    if [phase.phase for phase in phases] != expected:
        got = ", ".join(f'{phase.name} is "{phase.phase}"' for phase in phases)
        raise SpecError(
            'a run takes one spec with phase = "joint", or two with phase = "architecture" and '
            f'phase = "width", but {got}'
        )
    return phases


def _named(phases: list[Phase], name: str) -> list[Phase]:
    """Name the studies after the run, and base the second on the first."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:48] or "run"
    if len(phases) == 1:
        return [phases[0].model_copy(update={"name": stem})]
    first, second = phases
    assert isinstance(second, WidthPhase)  # noqa: S101
    first = first.model_copy(update={"name": f"{stem}-phase1"})
    base = second.base.model_copy(update={"study": first.name, "architectures": None})
    return [first, second.model_copy(update={"base": base, "name": f"{stem}-phase2"})]


def _with_sizes(phase: Phase, sizes: Sequence[int] | None) -> Phase:
    """Return a phase that searches networks of `sizes`, besides its own, and ships the best within each."""
    if sizes is None:
        return phase
    searched = tuple(sorted({*phase.search.sizes, *_checked_sizes(sizes)}))
    search = phase.search.model_copy(update={"sizes": searched})
    return _finalizing(phase.model_copy(update={"search": search}), sizes)


def _finalizing(phase: Phase, sizes: Sequence[int]) -> Phase:
    finalize = phase.finalize.model_copy(update={"sizes": _checked_sizes(sizes)})
    return phase.model_copy(update={"finalize": finalize})


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return whole numbers of bytes, smallest first."""
    wrong = [one for one in sizes if isinstance(one, bool) or not 1 <= one <= LARGEST or one % 1]
    if wrong or not len(sizes):
        raise SpecError(f"sizes must be whole numbers of bytes, at least one, but got {list(sizes)}")
    return tuple(sorted({int(size) for size in sizes}))


def _storage_for_report(url: str, *, may_be_missing: bool) -> Storage | None:
    try:
        return open_storage(url, must_exist=True)
    except NoDatabase:
        if may_be_missing:
            return None
        raise


def _known_subjects(shared: Sequence[str], subjects: int) -> str:
    """Warn of subjects that have the names of training subjects."""
    return (
        f"{len(shared)} of {subjects:,} subjects have the names of training subjects: "
        f"{listed(shared, NAMED)}. Unless they are other people, this is not an independent test: "
        "the model was trained on them."
    )
