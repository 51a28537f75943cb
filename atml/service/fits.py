"""Running the fits of finalize in parallel; each finished one is kept, so a second run resumes."""

import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atml.files import prepare_folder, write_whole
from atml.models import get_architecture
from atml.search.fit import Fit, fit_all, fit_fold
from atml.search.phases import parse_spec
from atml.search.proposal import Proposal
from atml.service.data import load_training_data
from atml.service.studies import StoredStudy
from atml.training import choose_device


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """One fit, described by plain values so that another process can do it."""

    spec: dict[str, Any]
    fingerprint: str  # of the data
    architecture: str
    config: dict[str, Any]
    learning_rate: float
    fold: int | None  # None: train on all subjects
    seed: int

    @property
    def key(self) -> str:
        """Name under which the result is kept: the same job has the same key."""
        document = asdict(self)
        # What ends a search has no bearing on a fit.
        document["spec"] = {k: v for k, v in self.spec.items() if k not in ("budget", "targets", "name")}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:24]


def job(stored: StoredStudy, proposal: Proposal, *, fold: int | None, seed: int) -> FitJob:
    """Describe a fit of `proposal` under a study's spec."""
    return FitJob(
        spec=stored.phase.stored(),
        fingerprint=stored.data.fingerprint,
        architecture=proposal.architecture.name,
        config=proposal.architecture.config_to_dict(proposal.config),
        learning_rate=proposal.learning_rate,
        fold=fold,
        seed=seed,
    )


def run_fits(
    jobs: Sequence[FitJob],
    folder: Path,
    *,
    workers: int,
    device: str,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> list[Fit]:
    """Run every job that has no kept result yet, `workers` at a time, and return all results.

    Args:
        jobs: What to fit.
        folder: Where results are kept.
        workers: Processes to use.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        on_done: Called with (finished, all) after each fit.

    Raises:
        CannotWrite: a result cannot be kept; those before it are.
    """
    missing = [one for one in jobs if not _path(folder, one).exists()]
    on_done(len(jobs) - len(missing), len(jobs))
    if missing:
        prepare_folder(folder)
        threads = max(1, (os.cpu_count() or 1) // workers)
        # Spawned, not forked: a forked PyTorch may wait for ever on threads that did not come along.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,)
        )
        try:
            pending = [pool.submit(_fit_and_keep, one, str(folder), device) for one in missing]
            for count, future in enumerate(as_completed(pending), start=len(jobs) - len(missing) + 1):
                future.result()
                on_done(count, len(jobs))
        except BaseException:
            for process in list(pool._processes.values()):  # an unfinished fit keeps nothing
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return [_load(_path(folder, one)) for one in jobs]


def _fit_and_keep(one: FitJob, folder: str, device_name: str) -> None:
    phase = parse_spec(one.spec, source="finalize")
    dataset = load_training_data(phase.data)
    architecture = get_architecture(one.architecture)
    proposal = Proposal(
        architecture=architecture,
        config=architecture.config_from_dict(one.config),
        learning_rate=one.learning_rate,
    )
    device = choose_device(device_name)
    if one.fold is None:
        fit = fit_all(phase, proposal, dataset, one.seed, device)
    else:
        fit = fit_fold(phase, proposal, dataset, one.fold, device)
    _save(_path(Path(folder), one), fit)


def _path(folder: Path, one: FitJob) -> Path:
    return folder / f"{one.key}.pt"


def _save(path: Path, fit: Fit) -> None:
    content = {
        "state_dict": fit.state_dict,
        "valid_rows": torch.from_numpy(fit.valid_rows),
        "valid_scores": torch.from_numpy(fit.valid_scores),
        "train_loss": fit.train_loss,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def _load(path: Path) -> Fit:
    content = torch.load(path, weights_only=True)
    return Fit(
        state_dict=content["state_dict"],
        valid_rows=content["valid_rows"].numpy().astype(np.int64),
        valid_scores=content["valid_scores"].numpy(),
        train_loss=content["train_loss"],
    )
