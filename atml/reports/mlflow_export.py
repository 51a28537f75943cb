"""Logging a study to MLflow: one run for the study, and within it one for each trial."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from atml.errors import StorageError
from atml.reports.bundle import read_manifest
from atml.service.stored import StoredStudy
from atml.service.watch import Update
from atml.tuning import records
from atml.tuning.outcome import outcome

# Names of tags. Together they find the runs of an earlier export again.
STUDY, DATA, TRIAL, STATE = "atml.study", "atml.data", "atml.trial", "atml.state"
PARENT = "mlflow.parentRunId"
STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
    TrialState.RUNNING: "RUNNING",
}
MOST_METRICS = 1000  # in one request
EXPERIMENT = "atml"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export to MLflow wrote."""

    experiment: str  #: Name of the experiment.
    study_run: str  #: Id of the study's run.
    created: int  #: Runs of trials that were not there before.
    updated: int  #: Runs of trials that have changed since the last export.
    unchanged: int  #: Runs of trials that were complete already.


def export_mlflow(
    stored: StoredStudy,
    *,
    tracking_uri: str,
    experiment: str = EXPERIMENT,
    bundle: Path | None = None,
    progress: Update = lambda done, total: None,
) -> Exported:
    """Log a study to MLflow, or bring up to date what an earlier call has logged.

    A trial's run has its parameters, metrics, F-beta and losses of each epoch, and how it ended as tags.

    Args:
        stored: The study.
        tracking_uri: MLflow's server or database, such as http://HOST:5000 or sqlite:///mlflow.db.
        experiment: Name of the experiment, created if necessary.
        bundle: A bundle of this study; its files become artifacts of the study's run.
        progress: Called with (trials done, trials in all).

    Raises:
        StorageError: MLflow is not installed, or refuses; gives the reason.
        ModelError: the bundle cannot be read.
    """
    facts = read_manifest(bundle) if bundle is not None else None
    if facts is not None and facts["study"] != stored.study.study_name:
        raise StorageError(f"{bundle} is of study {facts['study']!r}, not of {stored.study.study_name!r}")
    with _errors_in_one_sentence(tracking_uri):
        client = _client(tracking_uri)
        found = client.get_experiment_by_name(experiment)
        at = found.experiment_id if found else client.create_experiment(experiment)
        export = _Export(client, at, stored)
        parent = export.study(bundle)
        trials = [one for one in stored.study.get_trials(deepcopy=False) if one.state in STATUS]
        done = []
        for count, trial in enumerate(trials, 1):
            done.append(export.trial(trial, parent))
            progress(count, len(trials))
    counts = {name: done.count(name) for name in ("created", "updated", "unchanged")}
    return Exported(experiment=experiment, study_run=parent, **counts)


def _client(tracking_uri: str) -> Any:
    # Set unconditionally, like ONNX Runtime's: studies are about patients' data.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # instead of minutes
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise StorageError(f"MLflow is not installed ({error.name}): pip install 'atml[mlflow]'") from None
    return MlflowClient(tracking_uri=tracking_uri)


@contextmanager
def _errors_in_one_sentence(tracking_uri: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # MLflow uses what SQLAlchemy 2.1 deprecates, which is nothing to users.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except StorageError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow.", "sqlalchemy.")):
            raise
        place = f"{tracking_uri.partition('://')[0]}://…"  # the rest may hold a password
        said = str(error).replace(tracking_uri, place).splitlines()[0][:300]
        raise StorageError(f"MLflow at {place} refuses: {said}") from None


class _Export:
    """The runs of one study in one experiment."""

    def __init__(self, client: Any, experiment: str, stored: StoredStudy) -> None:
        self._client, self._experiment, self._stored = client, experiment, stored
        self._identity = {STUDY: stored.study.study_name, DATA: stored.data.fingerprint}
        self._runs = {run.data.tags.get(TRIAL): run for run in self._earlier()}

    def _earlier(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=1000, page_token=token)
            yield from (run for run in page if self._identity.items() <= run.data.tags.items())
            token = page.token
            if not token:
                return

    def study(self, bundle: Path | None) -> str:
        """Log the study itself; return its run's id."""
        result = outcome(self._stored.snapshot())
        run = self._runs.get(None)
        run_id = run.info.run_id if run else self._create(self._stored.study.study_name, {}, None)
        ended = max((t.datetime_complete for t in result.ranking if t.datetime_complete), default=None)
        figures = {"trained": result.spent.trained, "seconds": result.spent.seconds}
        if result.best is not None:
            figures |= {"fbeta": records.fbeta(result.best), "onnx_bytes": records.onnx_bytes(result.best)}
        self._log(
            run_id,
            {name: [(result.spent.trained, value)] for name, value in figures.items()},
            _milliseconds(ended),
        )
        self._client.log_dict(run_id, self._stored.phase.stored(), "spec.json")
        self._client.log_dict(run_id, asdict(self._stored.data), "data.json")
        if bundle is not None:
            self._client.log_artifacts(run_id, str(bundle), f"bundles/{bundle.resolve().name}")
        self._client.set_terminated(run_id, "FINISHED" if result.stop else "RUNNING")
        return str(run_id)

    def trial(self, trial: FrozenTrial, parent: str) -> str:
        """Log a trial; return whether its run was created, updated or unchanged."""
        run, state = self._runs.get(str(trial.number)), trial.state.name.lower()
        if run is not None and run.data.tags.get(STATE) == state and trial.state.is_finished():
            return "unchanged"
        name = f"trial {trial.number} {records.architecture(trial)}"
        tags = {TRIAL: str(trial.number), PARENT: parent}
        run_id = run.info.run_id if run else self._create(name, tags, trial.datetime_start)
        points = list(enumerate(records.curve(trial)))
        series: dict[str, list[tuple[int, float]]] = {
            f"epoch_{name}": [(step, getattr(point, name)) for step, point in points]
            for name in ("fbeta", "train_loss", "valid_loss")
        }
        known = {**records.metrics(trial), "seconds": records.training_seconds(trial)}
        known |= {"fbeta": records.fbeta(trial)} if points else {}
        # MLflow shows the value of the last step.
        series |= {name: [(len(points), value)] for name, value in known.items() if value is not None}
        self._log(run_id, series, _milliseconds(trial.datetime_start))
        params = {**trial.params, **(records.config(trial) or {})}
        entities = _entities()
        self._client.log_batch(run_id, params=[entities.Param(k, str(v)) for k, v in params.items()])
        for key in {records.PRUNED_BY, records.PRUNED_BECAUSE} & trial.user_attrs.keys():
            self._client.set_tag(run_id, f"atml.{key}", trial.user_attrs[key])
        # The state comes last: an interrupted export is completed by the next.
        self._client.set_terminated(run_id, STATUS[trial.state], _milliseconds(trial.datetime_complete))
        self._client.set_tag(run_id, STATE, state)
        return "updated" if run else "created"

    def _create(self, name: str, tags: dict[str, str], started: datetime | None) -> str:
        run = self._client.create_run(
            self._experiment,
            run_name=name,
            tags={**self._identity, **tags},
            start_time=_milliseconds(started) if started else None,
        )
        return str(run.info.run_id)

    def _log(self, run_id: str, series: dict[str, list[tuple[int, float]]], at: int) -> None:
        """Log metrics; with the same time as before, the same values are not logged twice."""
        entities = _entities()
        metrics = [
            entities.Metric(name, float(value), at, step)
            for name, points in series.items()
            for step, value in points
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])


def _entities() -> Any:
    from mlflow import entities

    return entities


def _milliseconds(when: datetime | None) -> int:
    return int(when.timestamp() * 1000) if when else 0
