"""Collects what a report needs from the storage, bundles, artifacts and segments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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


class _Shipped(NamedTuple):
    """A bundle and what a report says about it."""

    bundle: Bundle
    figures: Mapping[str, Any]
    part: ModelPart  # without held-out scores


def is_bundle(what: str | Path) -> bool:
    """Whether `what` is a bundle's folder rather than a study's name."""
    # A study's name has no separator.
    return "/" in str(what) or (Path(what) / MANIFEST).is_file()


def of_bundle(folder: Path, sources: Sources) -> Contents:
    """Return what there is to say about a bundle and, if the storage has it, its study.

    Raises:
        ModelError: the folder holds no bundle, or its metrics cannot be read.
    """
    shipped = _read(folder)
    stored = _study_of(shipped.bundle, sources)
    if stored is None:
        return contents(None, shipped.part)
    return contents(study_part(stored), _with_scores(shipped, stored, sources))


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
    shown = _with_scores(chosen, stored, sources)
    models = [shown if one is chosen else one.part for one in found]
    ordered = tuple(sorted(models, key=lambda model: model.counted_bytes or model.onnx_bytes))
    return contents(study_part(stored), shown, ordered)


def _read(folder: Path) -> _Shipped:
    bundle, path = load_bundle(folder), folder / METRICS
    try:
        figures: Mapping[str, Any] = json.loads(read_file(path))
    except OSError as error:
        raise ModelError(f"{path}: {why_unreadable(error)}") from None
    except DAMAGE as error:
        raise ModelError(f"{path} is not the metrics of a bundle: {error}") from None
    return _Shipped(bundle, figures, _part(bundle, figures))


def _part(bundle: Bundle, figures: Mapping[str, Any], scored: Scored | None = None) -> ModelPart:
    try:
        part = model_part(
            bundle.manifest,
            figures,
            name=bundle.folder.resolve().name,
            segment_length=bundle.classifier.segment_length,
            scored=scored,
            with_traces=True,
        )
        render(contents(None, part))  # here already, so that the error names a bundle that lacks something
    except (*DAMAGE, UndefinedError) as error:
        raise ModelError(
            f"{bundle.folder}: {MANIFEST} or {METRICS} was written by another version of ATML or changed "
            f"({error!r}); `atml verify` tells what was changed, `atml finalize` writes them again"
        ) from None
    return part


def _bundles(stored: StoredStudy, sources: Sources) -> list[_Shipped]:
    found = []
    for path in sorted((sources.results / stored.study.study_name).glob(f"[!.]*/{MANIFEST}")):
        try:
            shipped = _read(path.parent)
        except ModelError as error:
            sources.watch.say(f"left out {path.parent}: {error}")
            continue
        if _is_of(shipped.bundle, stored):
            found.append(shipped)
    return found


def _is_of(bundle: Bundle, stored: StoredStudy) -> bool:
    """Whether a bundle is of this study, and not of another one of the same name."""
    facts, trials = bundle.manifest, stored.study.get_trials(deepcopy=False)
    number = int(facts["trial"])
    if bundle.study != stored.study.study_name or number >= len(trials):
        return False
    same = facts.get("training_data", {}).get("fingerprint") == stored.data.fingerprint
    return bool(same and records.architecture(trials[number]) == facts["architecture"])


def _recommended(found: list[_Shipped]) -> _Shipped:
    """Return the newest bundle that met the targets best when it was made."""
    marked = [one for one in found if one.bundle.manifest.get("recommended")]
    return max(marked or found, key=lambda one: str(one.bundle.manifest["created"]))


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


def _with_scores(shipped: _Shipped, stored: StoredStudy, sources: Sources) -> ModelPart:
    scored = _scored(shipped.part.trial, stored, sources) if sources.with_traces else None
    return _part(shipped.bundle, shipped.figures, scored) if scored else shipped.part


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
