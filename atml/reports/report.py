"""Collects what a report needs from the storage, bundles, artifacts and segments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError
from optuna import get_all_study_names
from optuna.storages import BaseStorage

from atml.errors import AtmlError, CannotWrite, ModelError, StorageUnreachable
from atml.files import read_file, why_unreadable
from atml.reports.bundle import DAMAGE, MANIFEST, Bundle, load_bundle
from atml.reports.html.contents import Contents, ModelPart
from atml.reports.html.model_part import model_part
from atml.reports.html.page import contents, render
from atml.reports.html.study_part import study_part
from atml.reports.scored import Scored, stored_scores
from atml.service.data import load_training_data
from atml.service.stored import StoredStudy, StudyData
from atml.service.studies import check_data, check_trials, load
from atml.service.watch import Watch
from atml.tuning import records

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a report looks for what it says."""

    storage: BaseStorage | None  # None: a bundle without a storage
    artifacts: str | Path
    results: Path  # bundles of a study are in its folder STUDY
    train: Path | None  # where the training segments are now, if they have moved
    with_traces: bool
    watch: Watch


def is_bundle(what: str | Path) -> bool:
    """Whether `what` is a bundle's folder rather than a study's name."""
    # A study's name has no separator.
    return "/" in str(what) or (Path(what) / MANIFEST).is_file()


def of_bundle(folder: Path, sources: Sources) -> Contents:
    """Return what there is to say about a bundle and, if the storage has it, its study.

    Raises:
        ModelError: the folder holds no bundle, or its metrics cannot be read.
    """
    bundle, figures = _read(folder)
    stored = _study_of(bundle, sources)
    model = _with_scores(bundle, figures, stored, sources)
    return contents(study_part(stored) if stored else None, model)


def of_study(name: str, sources: Sources) -> Contents:
    """Return what there is to say about a study and its bundles.

    Raises:
        UnknownStudy: the storage has no such study.
    """
    assert sources.storage is not None  # noqa: S101
    stored = load(sources.storage, name)
    check_trials(stored)
    found = _bundles(stored, sources)
    if not found:
        return contents(study_part(stored), None)
    chosen = _recommended(found)
    # Keyed by bundle, since several may be of one trial.
    models = {
        bundle.folder: _with_scores(bundle, figures, stored if bundle is chosen else None, sources)
        for bundle, figures in found
    }
    ordered = tuple(sorted(models.values(), key=lambda model: model.counted_bytes or model.onnx_bytes))
    return contents(study_part(stored), models[chosen.folder], ordered)


def _read(folder: Path) -> tuple[Bundle, Mapping[str, Any]]:
    bundle, path = load_bundle(folder), folder / METRICS
    try:
        figures: Mapping[str, Any] = json.loads(read_file(path))
    except OSError as error:
        raise ModelError(f"{path}: {why_unreadable(error)}") from None
    except DAMAGE as error:
        raise ModelError(f"{path} is not the metrics of a bundle: {error}") from None
    _model(bundle, figures)
    return bundle, figures


def _model(
    bundle: Bundle, figures: Mapping[str, Any], scored: Scored | None = None, *, with_traces: bool = False
) -> ModelPart:
    try:
        part = model_part(
            bundle.manifest,
            figures,
            name=bundle.folder.resolve().name,
            segment_length=bundle.classifier.segment_length,
            scored=scored,
            with_traces=with_traces,
        )
        render(contents(None, part))  # here already, so that the error names a bundle that lacks something
    except (*DAMAGE, UndefinedError) as error:
        raise ModelError(
            f"{bundle.folder}: {MANIFEST} or {METRICS} was written by another version of ATML or changed "
            f"({error!r}); `atml verify` tells what was changed, `atml finalize` writes them again"
        ) from None
    return part


def _bundles(stored: StoredStudy, sources: Sources) -> list[tuple[Bundle, Mapping[str, Any]]]:
    found = []
    for path in sorted((sources.results / stored.study.study_name).glob(f"[!.]*/{MANIFEST}")):
        try:
            bundle, figures = _read(path.parent)
        except ModelError as error:
            sources.watch.say(f"left out {path.parent}: {error}")
            continue
        if _is_of(bundle, stored):
            found.append((bundle, figures))
    return found


def _is_of(bundle: Bundle, stored: StoredStudy) -> bool:
    """Whether a bundle is of this study, and not of another one of the same name."""
    facts, trials = bundle.manifest, stored.study.get_trials(deepcopy=False)
    number = int(facts["trial"])
    if bundle.study != stored.study.study_name or number >= len(trials):
        return False
    same = facts.get("training_data", {}).get("fingerprint") == stored.data.fingerprint
    return bool(same and records.architecture(trials[number]) == facts["architecture"])


def _recommended(found: list[tuple[Bundle, Mapping[str, Any]]]) -> Bundle:
    """Return the newest bundle that met the targets best when it was made."""
    bundles = [bundle for bundle, _ in found]
    marked = [one for one in bundles if one.manifest.get("recommended")]
    return max(marked or bundles, key=lambda one: str(one.manifest["created"]))


def _study_of(bundle: Bundle, sources: Sources) -> StoredStudy | None:
    if sources.storage is None or bundle.study not in get_all_study_names(sources.storage):
        return None
    try:
        stored = load(sources.storage, bundle.study)
        check_trials(stored)
    except (StorageUnreachable, CannotWrite):
        raise
    except AtmlError as error:
        sources.watch.say(f"without the study: {error}")
        return None
    if _is_of(bundle, stored):
        return stored
    sources.watch.say(f"study {bundle.study!r} in the storage is not the one that this bundle comes from")
    return None


def _with_scores(
    bundle: Bundle, figures: Mapping[str, Any], stored: StoredStudy | None, sources: Sources
) -> ModelPart:
    scored = None
    if stored is not None and sources.with_traces:
        scored = _scored(int(bundle.manifest["trial"]), stored, sources)
    return _model(bundle, figures, scored, with_traces=sources.with_traces)


def _scored(trial: int, stored: StoredStudy, sources: Sources) -> Scored | None:
    """Return the held-out scores of a trial's network; None, and a message, if they are not at hand."""
    data, train = stored.phase.data, sources.train
    spec = data.model_copy(update={"train": str(train.resolve())}) if train else data
    try:
        dataset = load_training_data(spec, sources.watch)
        check_data(stored, StudyData.of(dataset))
    except AtmlError as error:
        if train is not None:
            raise
        sources.watch.say(f"without examples: {error}\n(--train names the folder if it has moved)")
        return None
    scored = stored_scores(stored, trial, dataset, sources.artifacts)
    if scored is None:
        sources.watch.say(
            f"without examples: {sources.artifacts} lacks the scores of trial {trial}; "
            "--artifacts names the folder that `atml finalize` used"
        )
    return scored
