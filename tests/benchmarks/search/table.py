"""The results of training every candidate of a grid on every fold, on which searches are compared."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from atml.evaluation import FoldCounts, estimate
from atml.models import get_architecture
from atml.tuning.candidates import Candidate, count_activations
from atml.tuning.grid import Grid
from atml.tuning.ladder import LearningRateLadder
from atml.tuning.proposal import Proposal

LENGTH = 1250
TABLE = Path(__file__).parent / "table.npz"


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFit:
    """One candidate, learning rate and fold."""

    seconds: np.ndarray  # [epochs + 1] of CPU; the last is the evaluation
    losses: np.ndarray  # [epochs, 2] training and validation
    fbeta: np.ndarray  # [epochs] on every fourth segment, at the best threshold
    counts: FoldCounts | None  # None: the training diverged
    error: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All results. `fits` is indexed by (position of the grid's point, fold)."""

    grid: Grid
    folds: int
    fits: dict

    @cached_property
    def truth(self):
        """[points] F-beta as the mean over all folds, at one threshold a point; 0 where one diverged."""
        return np.array([self._truth(point) for point in range(len(self.grid.points))])

    def _truth(self, point):
        counts = [self.fits[point, fold].counts for fold in range(self.folds)]
        return 0.0 if None in counts else estimate(counts).fbeta

    def best(self, limit):
        """Return the best mean over the folds of all points of at most `limit` bytes."""
        return self.truth[self.grid.onnx_bytes <= limit].max()


def candidate_of(name, config, onnx_bytes, parameters):
    architecture = get_architecture(name)
    proposal = Proposal(
        architecture=architecture, config=architecture.config_from_dict(config), learning_rate=1.0
    )
    return Candidate(
        architecture=name,
        config=proposal.config,
        onnx_bytes=onnx_bytes,
        parameters=parameters,
        activations=count_activations(proposal, LENGTH),
    )


def load(path=TABLE, most_folds=None):
    """Read a packed table; candidates that were not trained at every learning rate and fold are left out."""
    with np.load(path, allow_pickle=False) as packed:
        content = {name: packed[name] for name in packed.files}
    candidates = tuple(
        candidate_of(str(name), json.loads(str(config)), int(size), int(parameters))
        for name, config, size, parameters in zip(
            content["architectures"],
            content["configs"],
            content["onnx_bytes"],
            content["parameters"],
            strict=True,
        )
    )
    rungs, complete, folds = _complete(content, most_folds)
    rates = content["learning_rates"][rungs]
    ladder = LearningRateLadder(low=float(rates[0]), high=float(rates[-1]), steps=len(rates))
    assert np.allclose(ladder.values, rates, rtol=1e-3)
    grid = Grid(tuple(one for one, ready in zip(candidates, complete, strict=True) if ready), ladder)
    fits = {}
    starts = np.concatenate([[0], np.cumsum(content["subject_counts"])])
    wanted = complete[content["candidate"]] & np.isin(content["rung"], rungs) & (content["fold"] < folds)
    for row in np.flatnonzero(wanted):
        candidate, rung = candidates[content["candidate"][row]], rungs.index(content["rung"][row])
        fold = int(content["fold"][row])
        key = (candidate.architecture, candidate.onnx_bytes, ladder.values[rung])
        hits, alarms = np.moveaxis(content["counts"][row].astype(np.int64), -1, 0)
        subjects = slice(starts[fold], starts[fold + 1])
        width = starts[fold + 1] - starts[fold]
        counts = FoldCounts(
            subjects=tuple(content["subjects"][subjects].tolist()),
            afib=content["afib"][subjects].astype(np.int64),
            other=content["other"][subjects].astype(np.int64),
            hits=hits[:width],
            false_alarms=alarms[:width],
        )
        diverged = bool(content["errors"][row])
        fits[grid.index[key], fold] = TableFit(
            seconds=content["seconds"][content["candidate"][row]],
            losses=content["losses"][row],
            fbeta=content["fbeta"][row],
            counts=None if diverged else counts,
            error=str(content["errors"][row]),
        )
    return Table(grid=grid, folds=folds, fits=fits)


def _complete(content, most_folds):
    """Return the largest part of the grid that was trained whole: (rungs, which candidates, folds)."""
    shape = (len(content["architectures"]), len(content["learning_rates"]), int(content["fold"].max()) + 1)
    trained = np.zeros(shape, bool)
    trained[content["candidate"], content["rung"], content["fold"]] = True
    parts = [_complete_to(trained, folds) for folds in range(1, (most_folds or shape[2]) + 1)]
    return max(parts, key=lambda part: len(part[0]) * part[1].sum() * part[2])


def _complete_to(trained, folds):
    """Return the part that was trained on the first `folds` folds, at the rungs that most candidates have."""
    done = trained[:, :, :folds].all(axis=2)
    most = done.sum(axis=0).max()
    rungs = [rung for rung in range(done.shape[1]) if 2 * done[:, rung].sum() >= max(1, most)]
    return rungs, done[:, rungs].all(axis=1), folds
