"""What each pruning rule would have saved, and what it would have lost, on searches that ran without it.

    python -m tests.benchmarks.search.replay [--seeds 20]

A search on the table runs with every rule off: all its trials are trained on every fold. Then each rule is
asked about every trial, as it would have been: with the trials that had ended when the trial began. Saved is
the training time behind the moment at which the rule ends a trial; lost are points of the final front (in
F-beta over all folds) that it ends.

A point that leaves the race may be taken up again, so the race is also followed through searches that run
with it: lost are the best of a size asked for, of all that were tried, that have not finished it at the end.
"""

import argparse
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.grid import key_of
from tests.benchmarks.search.searchers import atml_study, joint_phase
from tests.benchmarks.search.table import TABLE, load

OFF = {"race_chance": 0.0, "keep": 1.0, "neighbourhood": {"threshold": 0.0}}


class History:
    """A finished search, asked as it was at the start of one of its trials."""

    def __init__(self, study):
        self.directions = study.directions
        self.done = sorted(
            (trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)),
            key=lambda trial: trial.datetime_complete,
        )
        self._before = []

    def before(self, trial):
        """Return the trials that had ended when `trial` began."""
        self._before = [one for one in self.done if one.datetime_complete < trial.datetime_start]
        return self._before

    def get_trials(self, deepcopy=True, states=None):
        """Return what `before` did, as a study would."""
        return [trial for trial in self._before if states is None or trial.state in states]


def at_epoch(trial, epochs):
    """Return `trial` as it was after so many epochs of its first fold."""
    early = deepcopy(trial)
    early.state = TrialState.RUNNING
    early.user_attrs[records.CURVE] = early.user_attrs[records.CURVE][:epochs]
    early.user_attrs.pop(records.RESULT, None)
    return early


def seconds_from(table, trial, epochs, folds):
    """Return a trial's training time, and what of it lies behind so many epochs and whole folds."""
    at = table.grid.index[key_of(trial.params)]
    each = [float(table.fits[at, fold].seconds.sum()) for fold in range(table.folds)]
    spent = sum(each[:folds]) + float(table.fits[at, min(folds, table.folds - 1)].seconds[:epochs].sum())
    return sum(each), max(0.0, sum(each) - spent)


def replay(table, seed, minutes, workers):
    """Return for each rule (seconds saved, seconds in all, points of the front lost, points of the front)."""
    phase = joint_phase(table, seed, **OFF)
    study, _ = atml_study(table, seed, workers, minutes * 60, phase)
    history = History(study)
    points = [table.grid.index[key_of(trial.params)] for trial in history.done]
    front = {
        points[i]
        for i in front_of([int(table.grid.onnx_bytes[p]) for p in points], [table.truth[p] for p in points])
    }
    default = joint_phase(table, seed)
    rules = {
        "neighbourhood": lambda trial: neighbourhood(default, history, trial),
        "size-aware": lambda trial: size_aware(default, history, trial),
        "race": lambda trial: race(default, table, history, trial),
    }
    found = {}
    for name, rule in rules.items():
        saved = total = lost = 0
        for trial, point in zip(history.done, points, strict=True):
            ended = rule(trial)
            whole, left = seconds_from(table, trial, *(ended or (0, table.folds)))
            total += whole
            if ended is not None:
                saved += left
                lost += point in front
        found[name] = (saved, total, lost, len(front))
    found["race, with what is taken up again"] = followed(table, seed, minutes, workers)
    return found


def followed(table, seed, minutes, workers):
    """Return the same figures of the race in a search of its own, of the best of each size asked for."""
    phase = joint_phase(table, seed)
    study, _ = atml_study(table, seed, workers, minutes * 60, phase)
    now = phase.standings(table.grid, study.get_trials(deepcopy=False))
    tried = np.flatnonzero(now.observed)
    folds = range(table.folds)
    seconds = np.array([[float(table.fits[at, fold].seconds.sum()) for fold in folds] for at in tried])
    best = {
        max(tried[now.within(size)[tried]], key=lambda at: table.truth[at]) for size in phase.search.sizes
    }
    lost = sum(not now.finished[at] for at in best)
    return float(seconds[np.isnan(now.by_fold[tried])].sum()), float(seconds.sum()), lost, len(best)


def neighbourhood(phase, history, trial):
    """Return (0, 0) if the rule would have kept `trial` from training."""
    bad = phase.pruner().bad_neighbour(history.before(trial), trial)
    return None if bad is None else (0, 0)


def size_aware(phase, history, trial):
    """Return (epochs, 0) if the rule would have ended `trial` after so many epochs."""
    history.before(trial)
    pruner = phase.pruner()
    for epochs in range(1, phase.training.epochs):
        if pruner.prune(history, at_epoch(trial, epochs)):
            return epochs, 0
    return None


def race(phase, table, history, trial):
    """Return (0, folds) if `trial` would have fallen behind after so many folds."""
    before = history.before(trial)
    at = table.grid.index[key_of(trial.params)]
    judge = phase.race()
    known = records.estimate(trial)
    for folds in range(1, known.folds if known else 0):
        partly = deepcopy(trial)
        partly.state = TrialState.RUNNING
        partly.user_attrs[records.RESULT]["by_fold"] = list(known.by_fold[:folds])
        if judge.chance_of(phase.standings(table.grid, [*before, partly]), at) < judge.chance:
            return 0, folds
    return None


def front_of(sizes, values):
    """Return the positions that no other beats in size and value both, smallest first."""
    front = []
    for position in sorted(range(len(sizes)), key=lambda i: (sizes[i], -values[i])):
        if not front or values[position] > values[front[-1]]:
            front.append(position)
    return front


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=16)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table = load(arguments.table)
    runs = [replay(table, seed, arguments.minutes, arguments.workers) for seed in range(arguments.seeds)]
    print("| rule | training time saved | front members lost |\n|:--|--:|--:|")
    for name in runs[0]:
        saved, total, lost, members = np.sum([run[name] for run in runs], axis=0)
        print(f"| {name} | {saved / total:.1%} | {lost / members:.1%} |")


if __name__ == "__main__":
    main()
