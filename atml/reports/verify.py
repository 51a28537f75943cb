"""Checking a bundle: whether its files are those that were shipped, and its models still answer the same.

That includes the C code, which is built and run on this machine and on an emulated Cortex-M4F.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.errors import AtmlError, CannotWrite, ModelError, ParityError
from atml.export import OnnxClassifier, OnnxMetadata, check_parity
from atml.export.c import CSources, check_on_host, check_on_target, to_c, tools
from atml.export.onnx_model import TOLERANCE
from atml.files import read_file
from atml.reports.assessment import answered_of, metrics_of, scores
from atml.reports.bundle import DAMAGE, MODEL, checksum, read_manifest
from atml.reports.c_files import c_model
from atml.reports.int8 import MODEL_INT8
from atml.reports.vectors import VECTORS, load_vectors
from atml.tuning.proposal import Proposal
from atml.version import __version__

SAME = 1e-6  # of metrics


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a bundle and its result."""

    name: str  #: What was checked.
    result: Literal["passed", "failed", "skipped"]  #: The result.
    detail: str  #: What was found, or why the check was skipped.


class _Skipped(Exception):
    """A check cannot be made; the message says why."""


def verify(folder: str | Path, *, data: Dataset | None = None, build: bool = True) -> list[Check]:
    """Check a bundle: files, models, test vectors, subjects, and with `data` its test metrics.

    Args:
        folder: The bundle's folder.
        data: The test segments, on which the test metrics are computed again.
        build: Build the C code and run its self-test, which takes several seconds.

    Returns:
        Every check. If the manifest cannot be read, there are no others.
    """
    bundle = _Bundle(Path(folder), data, build=build)
    checks: dict[str, Callable[[], str]] = {
        "manifest": bundle.check_manifest,
        "files": bundle.check_files,
        "subjects": bundle.check_subjects,
        "ONNX": bundle.check_onnx,
        "description": bundle.check_description,
        "float32 logits": lambda: bundle.check_logits(MODEL),
        "INT8 logits": lambda: bundle.check_logits(MODEL_INT8),
        "PyTorch": bundle.check_checkpoint,
        "metrics": bundle.check_metrics,
        "C code": bundle.check_c_code,
        "C on this machine": bundle.check_c_here,
        "C on a Cortex-M4F": bundle.check_c_on_target,
    }
    found: list[Check] = []
    for name, check in checks.items():
        found.append(_made(name, check))
        if name == "manifest" and found[0].result == "failed":
            break
    return found


def _made(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, result="passed", detail=check())
    except (_Skipped, CannotWrite) as reason:  # a full disk of temporary files is no fault of the bundle
        return Check(name=name, result="skipped", detail=str(reason))
    except AtmlError as error:
        return Check(name=name, result="failed", detail=str(error))
    except DAMAGE as error:
        detail = f"manifest.json or metrics.json lacks what ATML writes ({type(error).__name__}: {error})"
        return Check(name=name, result="failed", detail=detail)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ModelError(message)


class _Bundle:
    """A bundle that may be damaged; what several checks need is read once."""

    def __init__(self, folder: Path, data: Dataset | None, *, build: bool) -> None:
        self.folder = folder
        self.data = data
        self.build = build

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return read_manifest(self.folder)

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        try:
            return dict(json.loads(self.content("metrics.json")))
        except DAMAGE as error:
            raise ModelError(f"metrics.json is not JSON: {error}") from None

    @cached_property
    def vectors(self) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        return load_vectors(self.folder / VECTORS)

    @cached_property
    def checkpoint(self) -> Mapping[str, Any]:
        file = io.BytesIO(self.content("model.pt"))
        try:
            # An earlier version did not write the architecture here.
            saved = {"architecture": self.manifest["architecture"], **torch.load(file, weights_only=True)}
            return {name: saved[name] for name in ("architecture", "config", "segment_length", "state_dict")}
        except Exception as error:  # damaged bytes raise whatever its unpickler meets first
            raise ModelError(f"model.pt is not what ATML writes ({type(error).__name__})") from error

    @property
    def models(self) -> list[str]:
        """File names of the models that were shipped."""
        listed = {file["name"] for file in self.manifest["files"]}
        return [name for name in (MODEL, MODEL_INT8) if name in listed]

    def content(self, name: str) -> bytes:
        try:
            return read_file(self.folder / name)
        except OSError as error:
            raise ModelError(f"{name} cannot be read: {error.strerror}") from None

    def check_manifest(self) -> str:
        stored = self.manifest.get("checksum")
        _require(stored == checksum(self.manifest), "manifest.json was changed after the bundle was written")
        return f"of study {self.manifest['study']}, trial {self.manifest['trial']}"

    def check_files(self) -> str:
        wrong = []
        for file in self.manifest["files"]:
            path = self.folder / file["name"]
            if not path.is_file():
                wrong.append(f"{file['name']} is missing")
            elif path.stat().st_size != file["bytes"]:
                wrong.append(f"{file['name']} has {path.stat().st_size:,} bytes, not {file['bytes']:,}")
            elif hashlib.sha256(self.content(file["name"])).hexdigest() != file["sha256"]:
                wrong.append(f"{file['name']} has another checksum")
        _require(not wrong, "; ".join(wrong))
        return f"{len(self.manifest['files'])} files have their size and checksum"

    def check_subjects(self) -> str:
        train, test = (set(self.manifest["subjects"][part]) for part in ("train", "test"))
        shared = len(train & test)
        _require(shared == 0, f"{shared} subjects are in training and test both")
        if not test:
            raise _Skipped("the models were not tested")
        return f"none of {len(test)} test subjects is among the {len(train)} of training"

    def check_onnx(self) -> str:
        for name in self.models:
            try:
                onnx.checker.check_model(onnx.load_from_string(self.content(name)), full_check=True)
            except Exception as error:  # noqa: BLE001  # it has no common base: protobuf, shape inference, checker
                raise ModelError(f"{name}: {str(error).splitlines()[0]}") from None
        return f"{' and '.join(self.models)}: valid"

    def check_description(self) -> str:
        for name in self.models:
            _compare(name, OnnxClassifier(self.folder / name).metadata, self.manifest)
            counted, stated = len(self.content(name)), self._figures_of(name)["onnx_bytes"]
            _require(
                stated == counted, f"metrics.json states {stated:,} bytes for {name}, which has {counted:,}"
            )
        for name in ("architecture", "config"):
            same = self.checkpoint[name] == self.manifest[name]
            _require(same, f"model.pt has another {name} than the manifest")
        _require(
            self.metrics["threshold"] == self.manifest["threshold"],
            "metrics.json has another threshold than the manifest",
        )
        return f"{self.manifest['architecture']} at threshold {self.manifest['threshold']:.4f}, in every file"

    def check_logits(self, name: str) -> str:
        if name not in self.models:
            raise _Skipped(f"the bundle has no {name}")
        segments, logits = self.vectors
        found = OnnxClassifier(self.folder / name).logits(segments)
        stored = logits.get(name)
        if stored is None or stored.shape != found.shape:
            raise ModelError(f"{VECTORS} has no logits of {name} for its {len(found)} segments")
        largest = float(np.abs(found - stored).max())
        limit = TOLERANCE * max(1.0, float(np.abs(stored).max()))
        _require(largest <= limit, f"logits differ by {largest:.2g} from those in {VECTORS}")
        return f"{len(found)} segments, largest difference {largest:.1g}"

    def check_checkpoint(self) -> str:
        saved = self.checkpoint
        proposal = Proposal.of(saved["architecture"], saved["config"], learning_rate=1.0)
        network = proposal.build(saved["segment_length"], seed=0)
        try:
            network.load_state_dict(saved["state_dict"])
        except RuntimeError as error:
            raise ModelError(f"model.pt: {str(error).splitlines()[0]}") from None
        segments, _ = self.vectors
        length = segments.shape[-1]
        _require(
            length == saved["segment_length"],
            f"{VECTORS} holds segments of {length} samples, model.pt takes {saved['segment_length']}",
        )
        try:
            difference = check_parity(network, self.content(MODEL), segments)
        except ParityError:
            if (version := self.manifest.get("atml")) != __version__:
                raise _Skipped(f"model.pt: written by ATML {version}, whose networks may differ") from None
            raise
        return f"{len(segments)} segments, largest difference from {MODEL} {difference:.1g}"

    @cached_property
    def c_sources(self) -> CSources:
        if "ecm.c" not in {file["name"] for file in self.manifest["files"]}:
            raise _Skipped(f"the bundle has no C code: {self.metrics['c'].get('refused') or ''}")
        return to_c(
            self.content(c_model(self.models)),
            least_confidence=self.manifest.get("least_confidence"),
        )

    def check_c_code(self) -> str:
        files = self.c_sources.files
        changed = [name for name, text in files.items() if self.content(name) != text.encode()]
        if changed and (version := self.manifest.get("atml")) != __version__:
            named = ", ".join(changed)
            raise _Skipped(f"{named}: written by ATML {version}; {__version__} writes other code")
        _require(not changed, f"{', '.join(changed)} is not the code that is generated of the model")
        return f"{', '.join(files)} are what is generated of the model"

    def _buildable(self, missing: list[str]) -> CSources:
        if not self.build:
            raise _Skipped("the C code is not built")
        sources = self.c_sources
        if missing:
            raise _Skipped(tools.advice(missing))
        return sources

    def check_c_here(self) -> str:
        difference = check_on_host(self._buildable(tools.missing_for_host()))
        return f"self-test with sanitizers, largest difference {difference:.1g}"

    def check_c_on_target(self) -> str:
        target = check_on_target(self._buildable(tools.missing_for_target()))
        return (
            f"emulated: {target.flash_bytes:,} bytes of flash, {target.ram_bytes:,} of RAM, "
            f"{target.instructions:,} instructions, largest difference {target.difference:.1g}"
        )

    def check_metrics(self) -> str:
        if self.data is None:
            raise _Skipped("give the test segments to compute those of the test again")
        test = self.manifest["test_data"]
        if test is None:
            raise _Skipped("the model was shipped without a test")
        if test["fingerprint"] != self.data.fingerprint:
            raise ModelError(f"{self.data.source} does not hold the segments that the model was tested on")
        same = [self._check_test(name, self.data) for name in self.models]
        return f"{len(self.data):,} segments: the same test metrics, {', '.join(same)}"

    def _check_test(self, name: str, data: Dataset) -> str:
        stored, model = self._figures_of(name)["test"], OnnxClassifier(self.folder / name)
        scored, threshold, beta = scores(model, data), model.metadata.threshold, stored["beta"]
        found = metrics_of(data, scored, threshold=threshold, beta=beta).to_dict()
        _require_same(stored, found, f"for {name}")
        withheld = self.metrics.get("abstention")
        if name == MODEL and withheld:
            least = self.manifest["least_confidence"]
            answered = answered_of(data, scored, threshold=threshold, least_confidence=least, beta=beta)
            _require_same(withheld["test"], answered.to_dict(), "for the test segments that get an answer")
        return f"{name} F-beta {found['fbeta']:.4f}"

    def _figures_of(self, name: str) -> Mapping[str, Any]:
        """Return what metrics.json says of a model that was shipped."""
        return dict(self.metrics["int8"] if name == MODEL_INT8 else self.metrics)


def _compare(name: str, metadata: OnnxMetadata, manifest: Mapping[str, Any]) -> None:
    architecture, threshold = manifest["architecture"], manifest["threshold"]
    _require(
        metadata.architecture == architecture,
        f"{name} is a {metadata.architecture} but the manifest describes a {architecture}",
    )
    # An ONNX file stores four decimals.
    _require(
        abs(metadata.threshold - threshold) <= 0.5e-4 + 1e-9,
        f"{name} has threshold {metadata.threshold:.4f} but the manifest {threshold:.4f}",
    )


def _require_same(stored: Mapping[str, Any], found: Mapping[str, Any], of: str) -> None:
    wrong = [key for key, value in found.items() if not _is_same(stored.get(key), value)]
    _require(not wrong, f"metrics.json has other values of {', '.join(wrong)} {of}")


def _is_same(stored: Any, found: Any) -> bool:
    if isinstance(found, Mapping):
        return isinstance(stored, Mapping) and all(_is_same(stored.get(key), found[key]) for key in found)
    if isinstance(found, list | tuple):
        return isinstance(stored, list) and all(map(_is_same, stored, found)) and len(stored) == len(found)
    if isinstance(found, float) and isinstance(stored, int | float):
        return abs(stored - found) <= SAME
    return bool(stored == found)
