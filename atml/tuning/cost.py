"""How long the points of a study take to train, as far as that is known."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from atml.tuning import records
from atml.tuning.grid import Grid, key_of

# Networks take longer with more activations, but not in proportion: each layer costs something by itself.
EXPONENT = 0.5


def expected_seconds(grid: Grid, trials: Iterable[FrozenTrial]) -> NDArray[np.float64]:
    """Return how long an epoch of every point is expected to take, [points], in seconds.

    It is taken to follow the square root of the activations, by a factor that the trained trials of the
    architecture tell, or before there are any, those of all architectures.
    """
    scale = np.array([point.candidate.activations for point in grid.points], float) ** EXPONENT
    factors = defaultdict(list)
    for trial in trials:
        curve = records.curve(trial)
        at = grid.index.get(key_of(trial.params) or ("", 0, 0.0))
        if curve and at is not None:
            factors[records.architecture(trial)].append(mean(p.seconds for p in curve) / scale[at])
    overall = mean(mean(known) for known in factors.values()) if factors else 1.0
    by_name = {name: mean(factors[name]) if name in factors else overall for name in grid.architectures}
    seconds: NDArray[np.float64] = scale * np.array(
        [by_name[point.candidate.architecture] for point in grid.points]
    )
    return seconds
