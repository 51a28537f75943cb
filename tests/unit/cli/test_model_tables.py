import numpy as np

from atml.cli.model_tables import print_robustness
from atml.evaluation import robustness


def test_robustness_shows_every_disturbance_the_worst_and_the_flat_line(capsys):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(60, 250)).astype(np.float32)
    labels = np.arange(60) % 2
    samples[labels == 1] += 0.3

    def predict(ecg):
        # The last extreme, beats of 2**63, is one too many for it.
        mean = ecg.mean(axis=1)
        return np.where(np.abs(mean) > 1e15, np.nan, 0.5 + np.tanh(mean) / 2)

    found = robustness(predict, samples, labels, np.repeat(["S1", "S2"], 30), threshold=0.6)
    print_robustness(found)
    shown = capsys.readouterr().out
    assert "robustness: 60 segments of 2 subjects" in shown
    for one in found.disturbed:
        assert one.disturbance in shown
    assert "white_noise_0db (severe)" in shown
    assert f"by {found.worst.disturbance}" in shown
    assert f"the smallest F2 is {found.robust_fbeta:.4f}" in shown
    assert "a flat line is called not AFIB (0.5000)" in shown
    assert "not finite for huge_beats" in shown
