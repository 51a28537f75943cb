"""Trials a second when trials train nothing, and the time of a suggestion, beside plain Optuna.

    python -m tests.benchmarks.storage_throughput [--trials 400] [--rounds 1] [--stored 500]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from rich.console import Console
from rich.progress import track
from rich.table import Table

from atml.ecg import simulate
from atml.evaluation import Estimate
from atml.models import ARCHITECTURES
from atml.service.alive import HEARTBEAT_SECONDS, LOST_SECONDS
from atml.service.data import load_training_data
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.phases import parse_spec
from tests.crowd import record_epoch, work
from tests.postgres import PostgresServer

PROCESSES = {"PostgreSQL": (1, 2, 4, 8, 16), "SQLite": (1, 2, 4, 8)}
LOW, HIGH, STEPS = 1e-4, 1e-1, 80  # with all architectures, about 1,000 points
SIZE = 16_000
ASKS = 20
FOLDS = 2


def main():
    arguments = parse_arguments()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    with (
        tempfile.TemporaryDirectory(prefix="atml-bench-") as folder,
        PostgresServer(durable=True) as server,  # as a real one: a commit is on disk
    ):
        os.environ["ATML_CACHE"] = f"{folder}/cache"
        place = Databases(Path(folder), server)
        simulate(place.segments, subjects=6, segments_per_subject=8, segment_length=250)
        print_rates(measure_rates(place, arguments.trials, arguments.rounds), arguments.trials)
        print_suggestions(measure_suggestions(place, arguments.stored), arguments.stored)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=400, help="of all processes together (default: 400)")
    parser.add_argument("--rounds", type=int, default=1, help="of each contender (default: 1)")
    parser.add_argument("--stored", type=int, default=500, help="trials to suggest after (default: 500)")
    return parser.parse_args()


class Databases:
    """Fresh databases of both kinds, and the segments that a study needs to exist."""

    def __init__(self, folder, server):
        self.segments = folder / "segments"
        self._folder = folder
        self._server = server
        self._made = 0

    @contextlib.contextmanager
    def new(self, kind):
        self._made += 1
        if kind == "SQLite":
            yield f"sqlite:///{self._folder}/{self._made}.db"
        else:
            with self._server.database() as url:
                yield url

    def phase(self, trials):
        document = {
            "phase": "architecture",
            "name": "bench",
            "data": {"train": str(self.segments), "folds": FOLDS},
            "search": {
                "architectures": list(ARCHITECTURES),
                "sizes": [SIZE],
                "learning_rate": {"low": LOW, "high": HIGH, "steps": STEPS},
            },
            "pruning": {"neighbourhood": {"threshold": 0.0}, "race_chance": 0.0},
            "budget": {"trials": trials},
        }
        return parse_spec(document, source="bench")

    def study(self, url, trials):
        """Create ATML's study, and return its storage with it."""
        storage = open_storage(url)
        phase = self.phase(trials)
        return storage, create_or_resume(storage, phase, load_training_data(phase.data))


def measure_rates(place, trials, rounds):
    """Return {(database, processes): {contender: [trials a second]}}."""
    contenders = {"ATML": atml_rate, "Optuna": optuna_rate, "bare Optuna": bare_rate}
    cases = [(kind, count) for kind, counts in PROCESSES.items() for count in counts]
    rates = {case: {name: [] for name in contenders} for case in cases}
    turns = [(case, name) for _ in range(rounds) for case in cases for name in contenders]
    for case, name in track(turns, description="throughput", transient=True):
        with place.new(case[0]) as url:
            rates[case][name].append(contenders[name](place, url, case[1], trials))
    return rates


def atml_rate(place, url, processes, trials):
    """Real workers, whose trials do all that trials do with a study, but train nothing."""
    storage, stored = place.study(url, trials)
    storage.engine.dispose()  # a connection must not be shared with a forked process
    seconds = timed(processes, lambda index, ready: work(url, "bench", index, ready=ready))
    done = len(records.trained(stored.study.trials))
    storage.engine.dispose()
    assert done == trials
    return done / seconds


def optuna_rate(place, url, processes, trials):
    """Optuna with heartbeats and its TPE; the trial records the same attributes."""

    def objective(trial):
        trial.set_user_attr(records.WORKER, {"host": "bench", "pid": os.getpid()})
        rate = suggest(trial)
        trial.set_user_attr(records.NETWORK, {"config": {"channels": [2, 4]}, "parameters": 250})
        return record_epoch(trial, rate, 0.0, folds=FOLDS)

    beat = {"heartbeat_interval": int(HEARTBEAT_SECONDS), "grace_period": int(LOST_SECONDS)}
    return plain_rate(url, processes, trials, objective, multivariate=True, **beat)


def bare_rate(place, url, processes, trials):
    """Optuna as it comes: no heartbeats, no attributes."""

    def objective(trial):
        return suggest(trial)

    return plain_rate(url, processes, trials, objective)


def suggest(trial):
    """Ask for as many parameters as ATML's trials have, and return the learning rate."""
    trial.suggest_categorical(records.ARCHITECTURE, list(ARCHITECTURES))
    trial.suggest_int(records.ONNX_BYTES, 1000, SIZE, log=True)
    return trial.suggest_float(records.LEARNING_RATE, LOW, HIGH, log=True)


def plain_rate(url, processes, trials, objective, *, multivariate=False, **options):
    url = url.replace("postgresql://", "postgresql+psycopg://")
    storage = RDBStorage(url)
    optuna.create_study(storage=storage, study_name="bench", direction="maximize")
    storage.engine.dispose()

    def run(index, ready):
        sampler = optuna.samplers.TPESampler(seed=index, multivariate=multivariate)
        study = optuna.load_study(study_name="bench", storage=RDBStorage(url, **options), sampler=sampler)
        share = trials // processes + (index < trials % processes)
        ready()
        study.optimize(objective, n_trials=share)

    return trials / timed(processes, run)


def timed(processes, target):
    """Return the seconds from the moment that all processes are ready until the last has ended."""
    context = multiprocessing.get_context("fork")  # after the slow imports
    start = context.Barrier(processes + 1)
    crowd = [context.Process(target=target, args=(index, start.wait)) for index in range(processes)]
    for process in crowd:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in crowd:
        process.join()
    seconds = time.perf_counter() - began
    assert not any(process.exitcode for process in crowd)
    return seconds


def measure_suggestions(place, stored_trials):
    """Return {database: {sampler: [seconds of a suggestion]}} in a study of many finished trials."""
    found = {}
    for kind in PROCESSES:
        with place.new(kind) as url:
            storage, stored = place.study(url, stored_trials + 10 * ASKS)
            fill(stored, stored_trials)
            samplers = {
                "ATML": stored.phase.sampler(0, stored.grid),
                "Optuna": optuna.samplers.TPESampler(seed=0, multivariate=True),
            }
            found[kind] = {name: [] for name in samplers}
            for name in track(list(samplers) * ASKS, description=f"suggestions, {kind}", transient=True):
                stored.study.sampler = samplers[name]
                found[kind][name].append(suggestion_seconds(stored))
            storage.engine.dispose()
    return found


def fill(stored, count):
    """Add finished trials at different points."""
    points = stored.grid.points
    for number in track(range(count), description="filling", transient=True):
        point = points[(number * 7) % len(points)]
        fbeta = 1 / (1 + abs(point.learning_rate - 0.01))
        known = Estimate(fbeta=fbeta, standard_error=0.0, threshold=0.2, by_fold=(fbeta,) * FOLDS)
        stored.study.add_trial(
            create_trial(
                params=point.params,
                distributions=stored.grid.space(),
                value=fbeta,
                user_attrs={
                    records.CURVE: [[fold, 0.5, 0.5, fbeta, 1.0] for fold in range(FOLDS)],
                    records.RESULT: records.result_record(known),
                },
            )
        )


def suggestion_seconds(stored):
    """Return how long it takes to draw all parameters of a trial."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ExperimentalWarning, UserWarning))
        trial = stored.study.ask()
    for name, distribution in stored.grid.space().items():
        trial._suggest(name, distribution)
    seconds = time.perf_counter() - start
    stored.study.tell(trial, state=TrialState.FAIL)
    return seconds


def print_rates(rates, trials):
    table = Table(title=f"trials a second, {trials} trials that train nothing")
    contenders = list(next(iter(rates.values())))
    for heading in ("database", "processes", *contenders, "ATML ÷ Optuna", "ATML ÷ bare"):
        table.add_column(heading, justify="left" if heading == "database" else "right")
    for (kind, processes), found in rates.items():
        middle = {name: statistics.median(values) for name, values in found.items()}
        ratios = (middle["ATML"] / middle[name] for name in ("Optuna", "bare Optuna"))
        figures = [*(f"{value:.1f}" for value in middle.values()), *(f"{ratio:.2f}" for ratio in ratios)]
        table.add_row(kind, str(processes), *figures)
    Console().print(table)


def print_suggestions(suggestions, stored):
    table = Table(title=f"a suggestion after {stored:,} trials")
    for heading in ("database", "sampler", "median ms", "slowest ms"):
        table.add_column(heading, justify="left" if heading in ("database", "sampler") else "right")
    for kind, found in suggestions.items():
        for name, seconds in found.items():
            middle, slowest = statistics.median(seconds) * 1e3, max(seconds) * 1e3
            table.add_row(kind, name, f"{middle:.0f}", f"{slowest:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
