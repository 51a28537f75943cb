"""Which labels are doubtful: those that networks contradict confidently, without having seen the subject.

After Northcutt et al., Confident Learning (2021), with folds by subject. Labels are never changed.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml import defaults
from atml.ecg import CLASSES, Dataset, grouped_folds
from atml.ecg.segment import subject_order
from atml.errors import DataError
from atml.evaluation import best_threshold
from atml.evaluation.evaluate import roc_auc
from atml.files import prepare_folder, write_text
from atml.reports.fits import FitJob, all_of, run_fits
from atml.reports.scored import Scored
from atml.reports.segments_page import Example, page
from atml.service.data import load_segments
from atml.service.watch import Watch
from atml.tuning.candidates import Candidate, fitting_architectures, sized_candidates
from atml.tuning.phases import parse_spec

# Small networks of three kinds, which make different mistakes, at a learning rate that suits them all.
NETWORKS = ("simple_resnet", "conv_gru", "dscnn")
ONNX_BYTES, LEARNING_RATE = 8_000, 0.045
QUICK = {"epochs": 3}
CONFIDENCE = 0.95
MOST_PAGES = 6
MOST_TRACES = 12  # on a page

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AuditNetwork:
    """One network of the ensemble, and how well it separates the classes of unseen subjects."""

    architecture: str  #: Name of the architecture.
    onnx_bytes: int  #: Size of its model file in bytes.
    threshold: float  #: The best threshold for these labels.
    roc_auc: float  #: Area under the ROC curve on unseen subjects.


@dataclass(frozen=True, kw_only=True)
class SuspiciousSegment:
    """A segment whose label the ensemble contradicts."""

    file: str  #: Name of the file.
    subject: str  #: Its subject.
    rhythm: str  #: Its rhythm.
    label: str  #: Its label, AFIB or Normal.
    scores: tuple[float, ...]  #: P(AFIB) by each network.
    mean: float  #: Mean of the scores.


@dataclass(frozen=True, kw_only=True)
class SubjectAudit:
    """How many labels of one subject are suspicious."""

    subject: str  #: Name of the subject.
    segments: int  #: Number of segments.
    suspicious_afib: int  #: Suspicious segments labelled AFIB.
    suspicious_normal: int  #: Suspicious segments labelled Normal.

    @property
    def suspicious(self) -> int:
        """Suspicious labels of both classes."""
        return self.suspicious_afib + self.suspicious_normal


@dataclass(frozen=True, kw_only=True)
class LabelAudit:
    """Labels that are probably wrong, and where they are listed and drawn."""

    directory: str  #: The directory.
    segments: int  #: Number of segments.
    confidence: float  #: Lowest probability of the other class that makes a label suspicious.
    networks: tuple[AuditNetwork, ...]  #: The networks.
    suspicious: tuple[SuspiciousSegment, ...]  #: The most suspicious segments first.
    subjects: tuple[SubjectAudit, ...]  #: All subjects, those with the most suspicious labels first.
    csv: Path  #: File with the list.
    pages: tuple[Path, ...]  #: Pages of ECGs of the worst subjects.


def audit_labels(
    directory: str | Path,
    *,
    out: str | Path = defaults.AUDIT,
    confidence: float = CONFIDENCE,
    folds: int = 4,
    quick: bool = False,
    workers: int | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    watch: Watch | None = None,
) -> LabelAudit:
    """Find the labels that small networks contradict confidently, without having seen the subject.

    Each network is trained without the subjects of one fold and scores them. A label is suspicious if the
    mean score contradicts it and every network is on that side of its own threshold. The list
    (`audit.csv`) and a page of ECGs for each of the worst subjects are written to `out`. Finished
    trainings are kept there, so a second call continues an interrupted one. No label is changed.

    Args:
        directory: Directory of segments.
        out: Folder for the result.
        confidence: Lowest probability of the other class that makes a label suspicious, .5 to 1.
        folds: Parts that the subjects are split into.
        quick: Train only one network, and briefly.
        workers: Parallel trainings; by default one per core, at most eight.
        device: `auto` (CUDA if available), `cpu`, `cuda` or `cuda:N`.
        skip_bad: Leave broken segment files out.
        watch: Receives reports.

    Raises:
        DataError: the segments cannot be used, have one class only, or belong to too few subjects; or
            `confidence` is out of range.
        CannotWrite: the folder cannot be written to.
    """
    if not 0.5 <= confidence <= 1:
        raise DataError(f"confidence must be from .5 to 1, but got {confidence}.")
    watch, out = watch or Watch(), Path(out)
    dataset = load_segments(Path(directory), watch, skip_bad=skip_bad)
    _refuse_unusable(dataset, folds)
    prepare_folder(out)
    names = fitting_architectures(NETWORKS[: 1 if quick else None], dataset.segment_length)
    candidates = sized_candidates(names, (ONNX_BYTES,), dataset.segment_length)
    data = {"train": str(Path(directory).resolve()), "folds": folds, "skip_bad": skip_bad}
    document = {"phase": "joint", "name": "audit", "data": data, "training": QUICK if quick else {}}
    phase = parse_spec(document, source="audit")
    jobs = [
        FitJob(phase, dataset.fingerprint, one.proposal(LEARNING_RATE), fold=fold, seed=0)
        for one in candidates
        for fold in range(folds)
    ]
    workers = workers or defaults.default_workers()
    with watch.progress(f"Auditing {directory}", "fits") as update:
        fits = run_fits(jobs, out / "fits", workers=workers, device=device, on_done=update)
    scores, used = [], []
    for number, one in enumerate(candidates):
        own = all_of(fits[number * folds : (number + 1) * folds])
        if own is None:
            watch.say(f"Left out {one.architecture}: its training diverges")
        else:
            scores.append(Scored.of(own, dataset).scores)
            used.append(one)
    if not used:
        raise DataError(f"the training of every network diverges on {dataset.source}; check its segments")
    return _report(dataset, used, np.stack(scores, axis=1), confidence, out)


def suspicious_rows(
    labels: NDArray[np.int64], scores: Floats, thresholds: Sequence[float], confidence: float
) -> NDArray[np.int64]:
    """Return the indices of suspicious labels, the most suspicious first.

    `labels` [n] are 0 or 1 (= AFIB), `scores` [n, networks] are P(AFIB), `thresholds` [networks].
    """
    afib, mean = labels == 1, scores.mean(axis=1)
    doubt = np.where(afib, 1 - mean, mean)  # the probability of the other class
    called = scores >= np.array(thresholds)
    contradicted = np.where(afib, ~called.any(axis=1), called.all(axis=1))
    rows: NDArray[np.int64] = np.flatnonzero(contradicted & (doubt >= confidence))
    return rows[np.argsort(-doubt[rows], kind="stable")]


def _refuse_unusable(dataset: Dataset, folds: int) -> None:
    """Raise DataError, before anything is trained, for one class only or too few subjects."""
    present = np.unique(dataset.labels)
    if len(present) < len(CLASSES):
        raise DataError(
            f"every segment in {dataset.source} is labelled {CLASSES[present[0]]}; an audit needs segments "
            "of both classes, from several subjects."
        )
    grouped_folds(dataset, folds=folds)


def _report(
    dataset: Dataset, candidates: Sequence[Candidate], scores: Floats, confidence: float, out: Path
) -> LabelAudit:
    """Choose from the out-of-fold `scores` [n, networks], and write the list and the pages."""
    networks = tuple(
        AuditNetwork(
            architecture=one.architecture,
            onnx_bytes=one.onnx_bytes,
            threshold=best_threshold(dataset.labels, of_one, dataset.subjects),
            roc_auc=roc_auc(dataset.labels == 1, of_one) or 0.0,
        )
        for one, of_one in zip(candidates, scores.T, strict=True)
    )
    rows = suspicious_rows(dataset.labels, scores, [one.threshold for one in networks], confidence)
    chosen = dataset.select(rows)
    found = tuple(
        SuspiciousSegment(
            file=file,
            subject=str(chosen.subjects[i]),
            rhythm=str(chosen.rhythms[i]),
            label=CLASSES[chosen.labels[i]],
            scores=tuple(scores[rows[i]].tolist()),
            mean=float(scores[rows[i]].mean()),
        )
        for i, file in enumerate(chosen.files)
    )
    subjects = _by_subject(dataset, found)
    write_text(out / "audit.csv", _as_csv(found, networks))
    return LabelAudit(
        directory=dataset.source,
        segments=len(dataset),
        confidence=confidence,
        networks=networks,
        suspicious=found,
        subjects=subjects,
        csv=out / "audit.csv",
        pages=_write_pages(chosen, found, subjects, out),
    )


def _by_subject(dataset: Dataset, found: Sequence[SuspiciousSegment]) -> tuple[SubjectAudit, ...]:
    counts = Counter((one.subject, one.label) for one in found)
    audits = [
        SubjectAudit(
            subject=subject,
            segments=segments,
            suspicious_afib=counts[subject, "AFIB"],
            suspicious_normal=counts[subject, "Normal"],
        )
        for subject, segments in Counter(dataset.subjects.tolist()).items()
    ]
    return tuple(sorted(audits, key=lambda one: (-one.suspicious, subject_order(one.subject))))


def _as_csv(found: Sequence[SuspiciousSegment], networks: Sequence[AuditNetwork]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "subject", "rhythm", "label", *(one.architecture for one in networks), "mean"])
    for one in found:
        figures = [f"{score:.4f}" for score in (*one.scores, one.mean)]
        writer.writerow([one.file, one.subject, one.rhythm, one.label, *figures])
    return text.getvalue()


def _write_pages(
    chosen: Dataset, found: Sequence[SuspiciousSegment], subjects: Sequence[SubjectAudit], out: Path
) -> tuple[Path, ...]:
    """Draw the worst subjects' most suspicious segments, and remove the pages of an earlier audit."""
    worst = [one for one in subjects if one.suspicious][:MOST_PAGES]
    paths = tuple(out / f"page-{place}-{one.subject}.html" for place, one in enumerate(worst, start=1))
    for path, one in zip(paths, worst, strict=True):
        rows = np.flatnonzero(chosen.subjects == one.subject)[:MOST_TRACES]
        drawn = [
            Example(
                group="The most suspicious first",
                caption=f"{found[i].file}, label {found[i].label}, P(AFIB) {found[i].mean:.3f}",
                samples=samples,
            )
            for i, samples in zip(rows, chosen.samples(rows), strict=True)
        ]
        title = f"{one.subject}: {len(rows)} of {one.suspicious} suspicious labels"
        write_text(path, page(title, drawn))
    for older in set(out.glob("page-*-S*.html")) - set(paths):
        older.unlink(missing_ok=True)
    return paths
