"""Many workers at once, at the price of one: forked after the slow imports, and their trials train nothing.

    python -m tests.crowd URL STUDY PROCESSES [--seconds EACH] [--random]

The storage, the budget and the worker's loop are the real ones, and so is the sampler without --random.
"""

import argparse
import os
import random
import sys
import time
import traceback
from dataclasses import dataclass

import optuna
import optuna_dashboard  # noqa: F401  (else every worker would import it for its note)

from atml.evaluation import Estimate
from atml.service.alive import Registration, Workers
from atml.service.storage import WORKER_RETRY_SECONDS, open_storage
from atml.service.studies import load
from atml.service.worker import take_trials
from atml.tuning import records
from atml.tuning.objective import Objective
from atml.tuning.sampler import FrontSampler
from tests.databases import close


@dataclass(frozen=True, kw_only=True)
class NoTraining(Objective):
    """Everything that a trial does with its study, and no training."""

    seconds: float = 0.0

    def _run(self, trial, point):
        trial.set_user_attr(records.NETWORK, point.network())
        self._refuse_untrained(trial, self.study.get_trials(deepcopy=False), begun=False)
        time.sleep(self.seconds)
        fbeta = record_epoch(trial, point.learning_rate, self.seconds, folds=self.phase.data.folds)
        return self.phase.values(fbeta, point.candidate.onnx_bytes)


class RandomPoint(FrontSampler):
    """Draws a point of a grid, at no cost."""

    def __init__(self, grid, seed):
        super().__init__(grid, [grid.onnx_bytes.max()], standings=None, seed=seed)
        self._points = random.Random(seed)

    def suggest(self, trials):
        return self._points.choice(self._grid.points)


def record_epoch(trial, learning_rate, seconds, *, folds):
    """Record the epochs of a training that likes 0.01, one on each fold, and return its F-beta."""
    fbeta = 1 / (1 + abs(learning_rate - 0.01))
    known = Estimate(fbeta=fbeta, standard_error=0.0, threshold=0.2, by_fold=(fbeta,) * folds)
    trial.set_user_attr(records.CURVE, [[fold, 0.5, 0.5, fbeta, seconds / folds] for fold in range(folds)])
    trial.set_user_attr(records.RESULT, records.result_record(known))
    return fbeta


def work(url, study, index, *, seconds=0.0, at_random=False, ready=lambda: None):
    """Be a worker of a study until it is over."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url, retry_seconds=WORKER_RETRY_SECONDS, wait_for_server=True)
    stored = load(storage, study)
    sampler = RandomPoint(stored.grid, index) if at_random else stored.phase.sampler(index, stored.grid)
    stored.study.sampler = sampler
    objective = NoTraining(
        phase=stored.phase, study=stored.study, grid=stored.grid, trainer=None, seconds=seconds
    )
    with Registration(Workers(storage), number=index, device="cpu", threads=1) as registration:
        ready()
        with registration.at(study):
            take_trials(stored, objective, leave=lambda: False)


def fork(count, target):
    """Run `target(index)` in that many processes; return their exit codes."""
    children = []
    for index in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                target(index)
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("study")
    parser.add_argument("processes", type=int)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--random", action="store_true")
    given = parser.parse_args()

    def target(index):
        work(given.url, given.study, index, seconds=given.seconds, at_random=given.random)

    close(open_storage(given.url))  # imports what Optuna imports late, once for all
    codes = fork(given.processes, target)
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
