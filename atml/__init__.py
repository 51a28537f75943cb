"""ATML finds the smallest and most accurate network that detects atrial fibrillation in an ECG.

    import atml

    if __name__ == "__main__":  # worker processes import this script and must not run it again
        atml.simulate("train", subjects=24, segments_per_subject=30, seed=1)
        done = atml.run("train", name="first")
        print(done.final.recommended.bundle)

Names are imported on first use, so `import atml` alone is fast.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from atml.version import __version__ as __version__

if TYPE_CHECKING:
    from atml.api import Run, evaluate, finalize, predict, report, run, search, verify
    from atml.ecg import Dataset, load_dataset, simulate
    from atml.ecg.importing import Import, import_recordings
    from atml.ecg.provenance import read_index
    from atml.ecg.sources.physionet import fetch_recordings
    from atml.errors import AtmlError
    from atml.evaluation import Metrics
    from atml.export import OnnxClassifier
    from atml.pruners import NeighbourhoodPruner, SizeAwarePruner
    from atml.reports.assessment import Evaluation
    from atml.reports.audit import LabelAudit, audit_labels
    from atml.reports.bundle import Bundle, load_bundle
    from atml.reports.finalize import Final
    from atml.reports.predicting import RecordingPrediction
    from atml.reports.ship import Model
    from atml.reports.verify import Check
    from atml.service.watch import Watch
    from atml.tuning.outcome import Outcome
    from atml.tuning.phases import Phase, load_spec

__all__ = [
    "AtmlError",
    "Bundle",
    "Check",
    "Dataset",
    "Evaluation",
    "Final",
    "Import",
    "LabelAudit",
    "Metrics",
    "Model",
    "NeighbourhoodPruner",
    "OnnxClassifier",
    "Outcome",
    "Phase",
    "RecordingPrediction",
    "Run",
    "SizeAwarePruner",
    "Watch",
    "audit_labels",
    "evaluate",
    "fetch_recordings",
    "finalize",
    "import_recordings",
    "load_bundle",
    "load_dataset",
    "load_spec",
    "predict",
    "read_index",
    "report",
    "run",
    "search",
    "simulate",
    "verify",
]

_NAMES = {
    "api": ("Run", "evaluate", "finalize", "predict", "report", "run", "search", "verify"),
    "ecg": ("Dataset", "load_dataset", "simulate"),
    "ecg.importing": ("Import", "import_recordings"),
    "ecg.provenance": ("read_index",),
    "ecg.sources.physionet": ("fetch_recordings",),
    "errors": ("AtmlError",),
    "evaluation": ("Metrics",),
    "export": ("OnnxClassifier",),
    "pruners": ("NeighbourhoodPruner", "SizeAwarePruner"),
    "reports.assessment": ("Evaluation",),
    "reports.audit": ("LabelAudit", "audit_labels"),
    "reports.bundle": ("Bundle", "load_bundle"),
    "reports.finalize": ("Final",),
    "reports.predicting": ("RecordingPrediction",),
    "reports.ship": ("Model",),
    "reports.verify": ("Check",),
    "service.watch": ("Watch",),
    "tuning.outcome": ("Outcome",),
    "tuning.phases": ("Phase", "load_spec"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

# ONNX Runtime reads this when it is imported. Otherwise it stores a device id in the user's cache and
# reports to Microsoft. It is assigned unconditionally: "0" in the environment would enable the reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def __getattr__(name: str) -> Any:
    """Import a public name on first access."""
    if name not in _MODULES:
        raise AttributeError(f"module 'atml' has no attribute {name!r}")
    value = getattr(import_module(f"atml.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
