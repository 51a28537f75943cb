"""Running the fits of finalize in parallel; finished ones are kept, so a second run resumes."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atml.errors import AtmlError, SpecChanged, TrainingDiverged
from atml.files import prepare_folder, write_whole
from atml.interrupts import interrupted_at_the_end
from atml.service.data import load_training_data
from atml.service.watch import Update
from atml.training import choose_device, spread_over_devices
from atml.training.allocator import allocator_of_children
from atml.tuning.fit import Trainer, training_identity
from atml.tuning.phases import Phase
from atml.tuning.proposal import Proposal
from atml.version import __version__

CUT_AGAIN = 1  # leaders are evaluated again on folds other than those of the race
BROKEN = (
    "a training process was killed, probably because memory ran out, or could not start: run the same "
    "command again, with fewer --workers (finished trainings are kept); a script has to be a file and to "
    'call ATML below the line: if __name__ == "__main__":'
)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One retrained model."""

    state_dict: dict[str, Tensor] = field(repr=False)
    # Indices into the data set; empty if trained on all subjects.
    valid_rows: NDArray[np.int64] = field(repr=False)
    valid_scores: NDArray[np.float32] = field(repr=False)  # P(AFIB) of those rows
    train_loss: float


@dataclass(frozen=True, eq=False)
class FitJob:
    """One fit of a proposal under a study's spec."""

    phase: Phase
    fingerprint: str  # of the data
    proposal: Proposal
    _: KW_ONLY
    fold: int | None  # None: train on all subjects
    seed: int  # of the weights on all subjects, or of the split into folds
    soft_labels: NDArray[np.float32] | None = None  # [segments] learned in place of the labels

    @property
    def spec(self) -> Phase:
        """The study's spec, with the settings of final training for all training."""
        return self.phase.model_copy(update={"training": self.phase.final_training})

    @property
    def key(self) -> str:
        """Name of the stored result; equal jobs have equal keys."""
        document = {
            **training_identity(self.spec.stored(), self.fingerprint, self.proposal),
            "fold": self.fold,
            "seed": self.seed,
            "version": __version__,
        }
        if self.soft_labels is not None:
            document["soft_labels"] = hashlib.sha256(self.soft_labels.tobytes()).hexdigest()
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:24]


def run_fits(
    jobs: Sequence[FitJob],
    folder: Path,
    *,
    workers: int,
    device: str,
    on_done: Update = lambda done, total: None,
) -> list[Fit | None]:
    """Run every job without a stored result, `workers` at a time, and return all results.

    The result of a job whose training diverged is None. It would diverge again, so that is stored too.

    Args:
        jobs: What to fit.
        folder: Where results are stored.
        workers: Processes to use.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` and `cuda` distribute the fits over all GPUs.
        on_done: Called with (finished, total) after each fit.

    Raises:
        CannotWrite: a result cannot be stored; earlier ones are.
        SpecChanged: the segments are not those of the jobs.
        AtmlError: the system killed a process, or none could start.
    """
    kept = [_read(_path(folder, one)) for one in jobs]
    missing = [one for one, known in zip(jobs, kept, strict=True) if known is None]
    on_done(len(jobs) - len(missing), len(jobs))
    if missing:
        prepare_folder(folder)
        threads = max(1, torch.get_num_threads() // workers)  # as many as OMP_NUM_THREADS allows
        devices = spread_over_devices(device, len(missing))
        # Spawned, not forked: a forked PyTorch may wait for ever for threads that do not exist there.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(threads,))
        try:
            with _children_without_ctrl_c(), allocator_of_children():
                pending = [
                    pool.submit(_fit_and_keep, one, str(folder), where)
                    for one, where in zip(missing, devices, strict=True)
                ]
            for count, future in enumerate(as_completed(pending), start=len(jobs) - len(missing) + 1):
                future.result()
                on_done(count, len(jobs))
        except BaseException as error:
            for process in list((pool._processes or {}).values()):  # an unfinished fit stores nothing
                process.kill()
            if isinstance(error, BrokenProcessPool):
                raise AtmlError(BROKEN) from None
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return [known[0] if known else _load(_path(folder, one)) for one, known in zip(jobs, kept, strict=True)]


def stored_fits(jobs: Sequence[FitJob], folder: Path) -> list[Fit] | None:
    """Return the stored results of `jobs`; None if one is missing or diverged."""
    kept = [_read(_path(folder, one)) for one in jobs]
    return all_of([one[0] if one else None for one in kept])


def all_of(fits: Sequence[Fit | None]) -> list[Fit] | None:
    """Return the fits, or None if one of them is missing or diverged."""
    found = [fit for fit in fits if fit is not None]
    return found if len(found) == len(fits) else None


@contextmanager
def _children_without_ctrl_c() -> Iterator[None]:
    """Start children that never receive Ctrl-C; this process handles it.

    A child inherits the blocked signals. PyTorch's threads do not block them, so the handler may still run
    here.
    """
    with interrupted_at_the_end():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is killed; otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fit_and_keep(one: FitJob, folder: str, device_name: str) -> None:
    data = one.phase.data
    dataset = load_training_data(data)
    if dataset.fingerprint != one.fingerprint:
        raise SpecChanged(f"{data.train} was changed during the training; restore it and run this again")
    trainer = Trainer(one.spec, dataset, choose_device(device_name))
    try:
        fit = _fit(trainer, one)
    except TrainingDiverged:
        fit = None
    _save(_path(Path(folder), one), fit)


def _fit(trainer: Trainer, one: FitJob) -> Fit:
    proposal, soft_labels = one.proposal, one.soft_labels
    if one.fold is None:
        state_dict, train_loss = trainer.on_all_subjects(proposal, seed=one.seed, soft_labels=soft_labels)
        return Fit(
            state_dict=state_dict,
            valid_rows=np.empty(0, np.int64),
            valid_scores=np.empty(0, np.float32),
            train_loss=train_loss,
        )
    again = trainer.cut_again(one.seed).fold(proposal, one.fold, soft_labels=soft_labels)
    train_loss = [epoch.point.train_loss for epoch in again.epochs()][-1]
    held_out = np.unique(again.split.valid.subjects)
    return Fit(
        state_dict={name: tensor.detach().cpu() for name, tensor in again.network.state_dict().items()},
        valid_rows=np.flatnonzero(np.isin(trainer.dataset.subjects, held_out)),
        valid_scores=again.scores(),
        train_loss=train_loss,
    )


def _path(folder: Path, one: FitJob) -> Path:
    return folder / f"{one.key}.pt"


def _save(path: Path, fit: Fit | None) -> None:
    content = fit and {
        "state_dict": fit.state_dict,
        "valid_rows": torch.from_numpy(fit.valid_rows),
        "valid_scores": torch.from_numpy(fit.valid_scores),
        "train_loss": fit.train_loss,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def _read(path: Path) -> tuple[Fit | None] | None:
    """Return what `_load` does, in a tuple; None if the file is missing or damaged."""
    try:
        return (_load(path),)
    except Exception:  # noqa: BLE001  (a damaged file makes torch raise anything)
        return None


def _load(path: Path) -> Fit | None:
    """Return a stored result, which is None if the training diverged."""
    content = torch.load(path, weights_only=True)
    return content and Fit(
        state_dict=content["state_dict"],
        valid_rows=content["valid_rows"].numpy().astype(np.int64),
        valid_scores=content["valid_scores"].numpy(),
        train_loss=content["train_loss"],
    )
