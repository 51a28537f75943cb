"""Estimates of how long the points of a study take to train."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from atml.tuning import records
from atml.tuning.grid import Grid, key_of

# Time grows with activations, but less than proportionally, since each layer has a fixed cost.
EXPONENT = 0.5


def expected_seconds(grid: Grid, trials: Iterable[FrozenTrial]) -> NDArray[np.float64]:
    """Return the expected seconds per epoch of every point, [points].

    They are proportional to the square root of the activations. The factor comes from the architecture's
    trained trials or, while it has none, from those of all architectures.
    """
    scale = np.array([point.candidate.activations for point in grid.points], float) ** EXPONENT
    factors = defaultdict(list)
    for trial in trials:
        curve = records.curve(trial)
        at = grid.index.get(key_of(trial.params) or ("", 0, 0.0))
        if curve and at is not None:
            factors[records.architecture(trial)].append(fmean(p.seconds for p in curve) / scale[at])
    overall = fmean(fmean(known) for known in factors.values()) if factors else 1.0
    by_name = {name: fmean(factors[name]) if name in factors else overall for name in grid.architectures}
    seconds: NDArray[np.float64] = scale * np.array(
        [by_name[point.candidate.architecture] for point in grid.points]
    )
    return seconds
