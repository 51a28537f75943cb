"""The score by which the IESD-2024 contest ranked its entries."""


def contest_score(fbeta: float, g: float, latency_ms: float, memory_kib: float) -> float:
    """Return the measured part of the IESD-2024 contest's score: 80 of its 100 points.

    25·(Fβ − .5)/.5 + 15·(G − .5)/.5 + 35·(1 − (L − .5)/49.5) + 5·(1 − (M − 50)/950)

    `fbeta` is the mean over subjects of F-beta (β = 2) and `g` the share of subjects above .9;
    `latency_ms` is one inference on the board and `memory_kib` its flash use. The other 20 points
    were given by the contest's jury. Nothing is clipped: a share below .5 costs points, and a
    model faster than .5 ms earns a little more than 35.
    """
    return (
        25 * (fbeta - 0.5) / 0.5
        + 15 * (g - 0.5) / 0.5
        + 35 * (1 - (latency_ms - 0.5) / 49.5)
        + 5 * (1 - (memory_kib - 50) / 950)
    )
