"""Racing: only a candidate that may be the best of its size is trained on a further fold at once.

Maron and Moore, Hoeffding Races, 1993; with a model's probability in place of a bound, since folds differ
far more than candidates do. Whoever leaves the race may be taken up again by the sampler.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atml.tuning.standings import Standings


@dataclass(frozen=True, kw_only=True)
class Race:
    """Decides who goes on.

    Args:
        sizes: Bytes that were asked for: a candidate competes with all that fit where it fits.
        chance: Lowest probability to be the best of them with which a candidate goes on at once.
        seed: Of the draws from which probabilities are counted.
    """

    sizes: Sequence[int]
    chance: float = 0.02
    seed: int = 0

    def limit_for(self, onnx_bytes: int) -> int:
        """Return the smallest size asked for into which a file fits; its own if it fits into none."""
        return min((size for size in self.sizes if size >= onnx_bytes), default=onnx_bytes)

    def chance_of(self, standings: Standings, at: int) -> float:
        """Return the probability that point `at` is the best where it fits."""
        limit = self.limit_for(int(standings.grid.onnx_bytes[at]))
        return standings.chance_to_lead(at, limit, np.random.default_rng([self.seed, at]))
