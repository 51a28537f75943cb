"""Workers that are killed all the time, on a database that goes away, and what must be true in the end.

    python -m tests.chaos {postgres,pgbouncer,sqlite} [--trials 60] [--epochs 12] [--train DIR]
        [--workers 4] [--kill-every 5] [--restart-at 300 700]

Workers are `atml worker STUDY` processes, started again when they die, as a container engine would.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx
from optuna.trial import TrialState

from atml.ecg import simulate
from atml.service.data import load_training_data
from atml.service.storage import WORKER_RETRY_SECONDS, open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records, stop
from atml.tuning.phases import parse_spec
from atml.tuning.retry import MOST_DEATHS, got_further
from tests.pgbouncer import PgBouncer
from tests.postgres import PostgresServer

NAME = "chaos"
FOLDS = 2
LOOK_SECONDS = 0.2
DOWN_SECONDS = 3.0
OUTAGES = (signal.SIGINT, signal.SIGQUIT)  # stopped in an orderly way, and crashed


@dataclass(kw_only=True)
class Chaos:
    """What is done to a study, and how often it was done.

    Args:
        folder: Logs, artifacts and, for SQLite, the database.
        url: The database.
        workers: Worker processes at any time.
        kill_every: Mean seconds between two kills.
        server: PostgreSQL, to be stopped and started.
        restart_at: Seconds after which it is.
        most_kills: After so many the workers are left in peace.
        give_up_after: Seconds after which a study that has not ended is a failure.
    """

    folder: Path
    url: str
    workers: int = 4
    kill_every: float = 5.0
    server: PostgresServer | None = None
    restart_at: tuple[float, ...] = ()
    most_kills: int = 1_000_000
    give_up_after: float = 3600.0
    kills: int = 0
    kills_in_training: int = 0
    restarts: int = 0
    seconds: float = 0.0
    _processes: list[subprocess.Popen] = field(default_factory=list)

    def run(self, study) -> None:
        """Start the workers and make their lives hard until every one of them has left by itself."""
        rng, began = random.Random(0), time.monotonic()
        outages = list(zip(self.restart_at, OUTAGES * len(self.restart_at), strict=False))
        next_kill, in_training = began + self.kill_every, True
        self._processes = [self._start(index) for index in range(self.workers)]
        try:
            while any(process.poll() != 0 for process in self._processes):
                assert time.monotonic() - began < self.give_up_after, self._logs()
                self._replace_the_dead()
                due = time.monotonic() > next_kill and self.kills < self.most_kills
                if due and self._kill_one(rng, study, in_training=in_training):
                    next_kill = time.monotonic() + self.kill_every * rng.uniform(0.5, 1.5)
                    # Mostly one that trains: a process that is about to start has nothing to lose.
                    in_training = rng.random() < 0.8
                if outages and time.monotonic() - began > outages[0][0]:
                    self._restart_server(outages.pop(0)[1])
                time.sleep(LOOK_SECONDS)
        finally:
            for process in self._processes:
                process.kill()
                process.wait()
            self.seconds = time.monotonic() - began

    def _start(self, index: int) -> subprocess.Popen:
        command = [sys.executable, "-m", "atml", "worker", NAME, "--index", str(index), "--device", "cpu"]
        environment = {
            **os.environ,
            "ATML_STORAGE": self.url,
            "ATML_ARTIFACTS": str(self.folder / "artifacts"),
            "OMP_NUM_THREADS": "1",
        }
        with (self.folder / f"worker-{index}.log").open("a") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def _replace_the_dead(self) -> None:
        for index, process in enumerate(self._processes):
            if process.poll() not in (None, 0):
                assert process.returncode == -signal.SIGKILL, self._logs()  # no other reason to die
                self._processes[index] = self._start(index)

    def _kill_one(self, rng: random.Random, study, *, in_training: bool) -> bool:
        """Kill a worker, or one that trains; return False if there is none yet."""
        alive = [process for process in self._processes if process.poll() is None]
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        pids = {trial.user_attrs.get(records.WORKER, {}).get("pid") for trial in running}
        training = [process for process in alive if process.pid in pids]
        victims = training if in_training else alive
        if not victims:
            return False
        victim = rng.choice(victims)
        self.kills_in_training += victim in training
        victim.kill()
        self.kills += 1
        return True

    def _restart_server(self, how: signal.Signals) -> None:
        self.server.stop(how)
        time.sleep(DOWN_SECONDS)
        self.server.start()
        self.restarts += 1

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("worker-*.log")))


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where every trial of a study went."""

    trials: int
    states: dict[str, int]
    trained: int
    cut_short: int  # tries whose worker was killed
    unborn: int  # of them, those killed before they had a point
    most_tries: int  # of one trial
    given_up: int  # points whose workers died too often in a row without a new epoch
    left_over: int  # queued again when the budget was spent already


def account(study, budget: int, epochs: int, artifacts: Path) -> Account:
    """Check that nothing was lost, repeated or left half done, and return the figures."""
    trials = study.get_trials(deepcopy=False)
    trained = records.trained(trials)
    sign = stop.read(study)
    assert len(trained) == budget, f"{len(trained)} trained; {sign}"
    assert sign.by is stop.StoppedBy.BUDGET
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    points = Counter(tuple(sorted(trial.params.items())) for trial in trained)
    assert max(points.values()) == 1, points
    assert max(Counter(map(records.first_number, trained)).values()) == 1
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    unborn = [trial for trial in failed if not trial.params]
    ends = {records.first_number(trial) for trial in trials if trial.state != TrialState.FAIL}
    # The last try of each point that was never trained.
    last = {records.first_number(t): t for t in failed if t.params and records.first_number(t) not in ends}
    lost = [trial.number for trial in last.values() if not _is_given_up(trial)]
    assert not lost, f"trials {lost} were cut short and never tried again"
    for trial in records.completed(trials):
        assert records.estimate(trial).folds == FOLDS, trial
        # A fold that was finished before its worker was killed is not trained again.
        assert set(Counter(epoch.fold for epoch in records.curve(trial)).values()) == {epochs}, trial
        assert _model_bytes(trial, artifacts) == records.onnx_bytes(trial)
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    tries = Counter(map(records.first_number, trials))
    return Account(
        trials=len(trials),
        states=dict(Counter(trial.state.name for trial in trials)),
        trained=len(trained),
        cut_short=len(failed),
        unborn=len(unborn),
        most_tries=max(tries.values()),
        given_up=len(last),
        left_over=len(waiting),
    )


def _is_given_up(trial) -> bool:
    """Whether its workers died so often in a row without a new epoch that it is not tried again."""
    return not got_further(trial) and trial.user_attrs.get(records.DEATHS, 0) >= MOST_DEATHS


def _model_bytes(trial, artifacts: Path) -> int:
    """Size of the model that a trial left, which must be one."""
    kept = [json.loads(value) for key, value in trial.system_attrs.items() if key.startswith("artifacts:")]
    (path,) = [artifacts / one["artifact_id"] for one in kept if one["filename"] == "model.onnx"]
    onnx.checker.check_model(onnx.load(path))
    return path.stat().st_size


def make_phase(
    train: Path, *, trials: int, epochs: int, architectures: list[str], segments: int | None = None
):
    """Return a spec whose every trial is trained to the end, so that each must be there in the end."""
    document = {
        "phase": "architecture",
        "name": NAME,
        "data": {"train": str(train), "folds": FOLDS},
        "search": {
            "architectures": architectures,
            "sizes": [16_000],
            # Enough of them that there is a point for each trial.
            "learning_rate": {"low": 1e-3, "high": 1e-1, "steps": max(40, trials // len(architectures) + 1)},
        },
        "training": {"epochs": epochs, "segments_per_epoch": segments, "batch_size": 64},
        "pruning": {
            "neighbourhood": {"threshold": 0.0},
            "race_chance": 0.0,
            "startup_trials": 10 * trials,
        },
        "budget": {"trials": trials},
    }
    return parse_spec(document, source="chaos")


def main() -> None:
    """Do it at length, and print what came of it as JSON."""
    given = parse_arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atml-chaos-")))
        server = stack.enter_context(PostgresServer(durable=True)) if given.database != "sqlite" else None
        url = stack.enter_context(server.database()) if server else f"sqlite:///{folder}/atml.db"
        if given.database == "pgbouncer":
            url = stack.enter_context(PgBouncer(server)).url(url)
        train = given.train or folder / "segments"
        if given.train is None:
            simulate(train, subjects=12, segments_per_subject=100, seed=1)
        names = ["optimized_afnet", "conv_gru", "dscnn", "simple_cnn"]
        phase = make_phase(
            train, trials=given.trials, epochs=given.epochs, architectures=names, segments=given.segments
        )
        storage = open_storage(url, retry_seconds=WORKER_RETRY_SECONDS)
        study = create_or_resume(storage, phase, load_training_data(phase.data)).study
        chaos = Chaos(
            folder=folder,
            url=url,
            workers=given.workers,
            kill_every=given.kill_every,
            server=server,
            restart_at=tuple(given.restart_at) if server else (),
        )
        chaos.run(study)
        result = asdict(account(study, given.trials, given.epochs, folder / "artifacts"))
        done = {name: getattr(chaos, name) for name in ("kills", "kills_in_training", "restarts", "seconds")}
        print(json.dumps({**done, **result}, indent=2))
        storage.engine.dispose()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", choices=["postgres", "pgbouncer", "sqlite"])
    parser.add_argument("--train", type=Path, help="segments; simulated ones if not given")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--segments", type=int, help="an epoch")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill-every", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--restart-at", type=float, nargs="*", default=[300, 700], metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    main()
