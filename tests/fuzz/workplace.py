"""Good input of every kind: segments, recordings, a finished study and its bundle."""

import tomllib
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from atml.ecg import load_dataset, simulate
from atml.reports import fits
from atml.reports.finalize import finalize
from atml.service.launcher import WorkerPlan
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning.fit import Trainer
from atml.tuning.objective import Objective
from atml.tuning.phases import parse_spec
from tests.databases import close
from tests.integration.conftest import InThisProcess
from tests.recordings import sine, write_edf, write_wfdb

LENGTH = 250
SPEC = """
phase = "joint"
name = "heart"
beta = 2.0
seed = 0
[data]
folds = 2
seed = 0
skip_bad = false
exclude_subjects = ["S99"]
[search]
architectures = ["linear"]
sizes = [12_000]
shapes = [1.0]
learning_rate = { low = 1e-2, high = 1e-1, steps = 2 }
[training]
epochs = 1
batch_size = 32
segments_per_epoch = 64
weight_decay = 0.01
[pruning]
startup_trials = 8
warmup_epochs = 2
keep = 0.7
race_chance = 0.0
neighbourhood = { threshold = 0.0, radius = 2, metric = "worst" }
[targets]
fbeta = 0.99
onnx_bytes = 4_000
size_of = "onnx"
stop = true
[budget]
trials = 1
minutes = 10.0
[finalize]
sizes = [12_000]
candidates = 1
seeds = 1
"""


def make_workplace(folder: Path) -> None:
    """Fill an empty folder."""
    simulate(folder / "train", subjects=8, segments_per_subject=8, seed=1, segment_length=LENGTH)
    simulate(
        folder / "test", subjects=3, segments_per_subject=6, seed=2, segment_length=LENGTH, first_subject=20
    )
    (folder / "spec.toml").write_text(SPEC)
    _write_recordings(folder / "recordings")
    _write_bundle(folder)


def _write_recordings(folder: Path) -> None:
    folder.mkdir()
    signal = sine(250, 30.5)
    write_wfdb(folder / "wfdb", "data_1", signal=signal)
    write_edf(
        folder / "one.edf",
        signals={"ECG II": sine(200, 30) * 1000},
        annotations=[(0.0, -1, "N"), (15.0, -1, "AFIB")],
    )
    rhythms = ["N"] * 3000 + ["AFIB"] * (len(signal) - 3000)
    table = pa.table({"ecg": signal, "rhythm": rhythms})
    pa.csv.write_csv(table, folder / "one.csv")
    pa.parquet.write_table(table, folder / "one.parquet")
    np.savez(folder / "one.npz", ecg=signal, rhythm=np.array(rhythms))


def _write_bundle(folder: Path) -> None:
    """Search and finalize within this process; the bundle is in `folder/bundle`."""
    document = tomllib.loads(SPEC)
    document["data"]["train"] = str(folder / "train")
    phase = parse_spec(document, source="spec")
    dataset = load_dataset(folder / "train", workers=1)
    storage = open_storage(f"sqlite:///{folder / 'atml.db'}")
    stored = create_or_resume(storage, phase, dataset)
    stored.study.sampler = stored.phase.sampler(0, stored.grid)
    trainer = Trainer(stored.phase, dataset, torch.device("cpu"))
    objective = Objective(phase=stored.phase, study=stored.study, grid=stored.grid, trainer=trainer)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(fits, "ProcessPoolExecutor", InThisProcess)
        stored.study.optimize(objective, n_trials=1)
        final = finalize(
            stored,
            WorkerPlan(storage="", artifacts=folder / "artifacts", workers=1, device="cpu"),
            test=load_dataset(folder / "test", workers=1),
            out=folder / "results",
        )
    final.recommended.bundle.rename(folder / "bundle")
    close(storage)
