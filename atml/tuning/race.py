"""Racing: a candidate continues to the next fold immediately only if it may be the best of its size.

The leader of those tried always continues: on a large grid no candidate is likely to be the best of all
points, and a study must have finished models at every size, whenever it is stopped.

Maron and Moore, Hoeffding Races, 1993, with a model's probability in place of a bound, since folds differ
far more than candidates do. The sampler may choose a candidate again that has left the race.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atml.tuning.standings import Standings

DRAWS = 400


@dataclass(frozen=True, kw_only=True)
class Race:
    """Decides which candidates continue.

    Args:
        sizes: Requested bytes: a candidate competes with all candidates within the smallest size it fits.
        chance: Lowest probability of being the best of them with which a candidate continues.
        seed: Seed of the draws that estimate probabilities.
    """

    sizes: Sequence[int]
    chance: float
    seed: int

    def limit_for(self, onnx_bytes: int) -> int:
        """Return the smallest requested size that a file fits into; its own size if there is none."""
        return min((size for size in self.sizes if size >= onnx_bytes), default=onnx_bytes)

    def leads(self, standings: Standings, at: int) -> bool:
        """Whether point `at` is expected to be the best of those tried within its size limit."""
        return standings.leader(self.limit_for(int(standings.grid.onnx_bytes[at]))) == at

    def chance_of(self, standings: Standings, at: int) -> float:
        """Return the probability that point `at` is the best within its size limit.

        Its rivals are all points that can still be shipped, tried or not: while an untried point is likely to
        be better, time is better spent there.
        """
        possible = standings.finished | ~standings.closed
        possible[at] = True
        limit = self.limit_for(int(standings.grid.onnx_bytes[at]))
        rivals = np.flatnonzero(standings.within(limit) & possible)
        draws = standings.posterior.draw_of(rivals, np.random.default_rng([self.seed, at]), DRAWS)
        return float((rivals[draws.argmax(axis=1)] == at).mean())
