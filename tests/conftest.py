"""What the tests share: simulated segments, made once, and specs that train in a moment."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from atml.ecg import Dataset, load_dataset, simulate
from atml.evaluation import Estimate
from atml.service.storage import Storage, open_storage
from atml.tuning import records
from atml.tuning.phases import Phase, parse_spec
from atml.tuning.times import run_in_utc
from tests.databases import close
from tests.pgbouncer import PgBouncer, is_installed
from tests.postgres import PostgresServer

# A busy machine may take seconds over what takes milliseconds on a quiet one.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).parents[1]
ARCHITECTURES = ("linear", "optimized_afnet", "conv_gru")
LOW, HIGH = 1e-5, 1.0  # every learning rate of the tests lies between


# Those that start many processes, servers or compilers; `make test` leaves them out.
SLOW = (
    "acceptance/",
    "integration/test_chaos.py",
    "integration/test_databases.py",
    "integration/test_outage.py",
    "integration/test_pgbouncer.py",
    "integration/test_telemetry.py",
    "integration/test_verify.py",
    "integration/test_workers.py",
    "unit/export/c/test_c_code.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of `SLOW`."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache and settings out of the tests, and the tests out of the cache."""
    run_in_utc()  # as workers do; some run within the tests
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATML_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in ("ATML_STORAGE", "ATML_ARTIFACTS", "ATML_DASHBOARD_AUTH"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve subjects with segments short enough to train on in a blink."""
    directory = tmp_path_factory.mktemp("simulated") / "train"
    simulate(directory, subjects=12, segments_per_subject=20, seed=1, segment_length=250)
    return directory


@pytest.fixture(scope="session")
def simulated_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four other subjects."""
    directory = tmp_path_factory.mktemp("simulated") / "test"
    simulate(directory, subjects=4, segments_per_subject=12, seed=2, segment_length=250, first_subject=12)
    return directory


@pytest.fixture(scope="session")
def dataset(simulated: Path) -> Dataset:
    return load_dataset(simulated, workers=1)


@pytest.fixture
def phase1_document(simulated: Path) -> dict[str, Any]:
    return {
        "phase": "architecture",
        "name": "first",
        "data": {"train": str(simulated), "folds": 2},
        "search": {
            "architectures": ["linear", "optimized_afnet"],
            "sizes": [12_000],
            "learning_rate": {"low": 1e-3, "high": 1e-1, "steps": 5},
        },
        "training": {"epochs": 2, "ema_decay": None, "batch_size": 64, "segments_per_epoch": 128},
        "pruning": {"neighbourhood": {"threshold": 0.0}, "race_chance": 0.0},
        "budget": {"trials": 4},
        "finalize": {"candidates": 1, "seeds": 1},
    }


@pytest.fixture
def phase2_document(phase1_document: dict[str, Any]) -> dict[str, Any]:
    return {
        **phase1_document,
        "phase": "width",
        "name": "second",
        "base": {"architectures": ["optimized_afnet"]},
        "search": {
            "sizes": [3_000, 6_000, 12_000],
            "shapes": [1.0],
            "learning_rate": {"low": 1e-2, "high": 1e-1, "steps": 2},
        },
    }


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a spec with some fields changed, `pruning={"radius": 1}` deep within tables too."""
    result = dict(document)
    for name, value in changes.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[name] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


@pytest.fixture
def make_phase1(phase1_document: dict[str, Any]) -> Callable[..., Phase]:
    """Make a phase 1; keyword arguments change single fields of its tables."""
    return lambda **changes: parse_spec(merged(phase1_document, changes), source="test")


@pytest.fixture
def make_phase2(phase2_document: dict[str, Any]) -> Callable[..., Phase]:
    """Make a phase 2; keyword arguments change single fields of its tables."""
    return lambda **changes: parse_spec(merged(phase2_document, changes), source="test")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server, the same for all tests."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with tables, which take longer to create than most tests do."""
    path = tmp_path_factory.mktemp("empty") / "atml.db"
    close(open_storage(f"sqlite:///{path}"))
    return path


@pytest.fixture
def storage_url(request: pytest.FixtureRequest, tmp_path: Path, _empty_database: Path) -> str:
    """An empty database: SQLite, unless a test is marked to run on others; see `tests.databases`."""
    kind = getattr(request, "param", "sqlite")
    if kind != "sqlite":
        return str(request.getfixturevalue(f"{kind}_url"))
    return f"sqlite:///{shutil.copy(_empty_database, tmp_path / 'atml.db')}"


@pytest.fixture(scope="session")
def pgbouncer(postgres: PostgresServer) -> Iterator[PgBouncer]:
    """A running PgBouncer before the PostgreSQL server, the same for all tests."""
    if not is_installed():
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    with PgBouncer(postgres) as pgbouncer:
        yield pgbouncer


@pytest.fixture
def pgbouncer_url(pgbouncer: PgBouncer, postgres_url: str) -> str:
    """An empty PostgreSQL database behind PgBouncer."""
    return pgbouncer.url(postgres_url)


@pytest.fixture
def storage(storage_url: str) -> Iterator[Storage]:
    opened = open_storage(storage_url)
    yield opened
    close(opened)


def default_signals() -> None:
    """Undo what background jobs and `nohup` ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `atml` in processes of their own, which end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "atml", *map(str, arguments)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default_signals,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def make_trial() -> Callable[..., FrozenTrial]:
    """Make a trial as a study would hold it: what ATML records is given by name."""
    return recorded_trial


def recorded_trial(
    *,
    architecture: str = "linear",
    learning_rate: float = 0.01,
    state: TrialState = TrialState.COMPLETE,
    metrics: dict[str, float] | None = None,
    curve: tuple[float, ...] = (),
    by_fold: tuple[float, ...] | None = None,
    standard_error: float | None = None,
    onnx_bytes: int = 1000,
    directions: int = 1,
    **attributes: Any,
) -> FrozenTrial:
    """Make a trial; unless told by fold, a curve that is complete ends in the only fold's F-beta."""
    points = [
        records.CurvePoint(fold=0, train_loss=0.5, valid_loss=0.5, fbeta=fbeta, seconds=30.0)
        for fbeta in curve
    ]
    if by_fold is None and state == TrialState.COMPLETE:
        by_fold = curve[-1:] or (0.0,)
    known = by_fold and Estimate(
        fbeta=sum(by_fold) / len(by_fold), standard_error=standard_error, threshold=0.2, by_fold=by_fold
    )
    result = known and {**records.result_record(known), "metrics": metrics or {}}
    recorded: dict[str, Any] = {
        records.NETWORK: {"config": {}, "parameters": onnx_bytes // 4},
        records.CURVE: [point.to_list() for point in points],
        **({records.RESULT: result} if result else {}),
        **attributes,
    }
    values = [known.fbeta if known else 0.0, float(onnx_bytes)][:directions]
    return create_trial(
        state=state,
        params={
            records.ARCHITECTURE: architecture,
            records.ONNX_BYTES: onnx_bytes,
            records.LEARNING_RATE: learning_rate,
        },
        distributions={
            records.ARCHITECTURE: CategoricalDistribution(ARCHITECTURES),
            records.ONNX_BYTES: IntDistribution(1, 10**7, log=True),
            records.LEARNING_RATE: FloatDistribution(LOW, HIGH, log=True),
        },
        user_attrs=recorded,
        values=values if state == TrialState.COMPLETE else None,
    )
