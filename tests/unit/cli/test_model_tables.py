import numpy as np

from atml.cli.model_tables import print_metrics, print_robustness
from atml.evaluation import Robustness, abstain, evaluate, robustness
from atml.evaluation.robustness import answers_to_extremes


def test_robustness_shows_the_worst_disturbance_and_the_flat_line(capsys):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(60, 250)).astype(np.float32)
    labels = np.arange(60) % 2
    samples[labels == 1] += 0.3

    def predict(ecg):
        # The last extreme, beats of 2**63, is one too many for it.
        mean = ecg.mean(axis=1)
        return np.where(np.abs(mean) > 1e15, np.nan, 0.5 + np.tanh(mean) / 2)

    found = robustness(predict, samples, labels, np.repeat(["S1", "S2"], 30), threshold=0.6)
    print_robustness(Robustness.of(found, answers_to_extremes(predict, length=250), threshold=0.6))
    shown = capsys.readouterr().out
    assert "robustness: 60 segments of 2 subjects" in shown
    assert f"by {found.worst}" in shown
    assert f"the smallest F2 is {found.robust_fbeta:.4f}" in shown
    assert "a flat line is called not AFIB (0.5000)" in shown
    assert "not finite for huge_beats" in shown


def test_figures_of_all_segments_have_those_of_the_answered_ones_beside_them(capsys):
    given = ([1, 1, 0, 0], [0.9, 0.45, 0.1, 0.55], ["S1", "S1", "S2", "S2"], ["AFIB", "AFIB", "N", "N"])
    metrics = evaluate(*given, threshold=0.5, bootstrap=0)
    print_metrics(metrics, abstain(*given, threshold=0.5, least_confidence=0.8), title="a model")
    shown = capsys.readouterr().out
    assert "answered alone" in shown
    (row,) = (line.split() for line in shown.splitlines() if "F1" in line)
    assert (row[3], row[-2]) == ("0.5000", "1.0000")
    assert "all segments count, with those that get no answer: 50.0% get one" in shown
    print_metrics(metrics, title="a model")
    assert "answer" not in capsys.readouterr().out


def test_figures_of_no_answer_at_all_are_dashes(capsys):
    given = ([1, 0], [0.5, 0.5], ["S1", "S2"], ["AFIB", "N"])
    metrics = evaluate(*given, threshold=0.5, bootstrap=0)
    print_metrics(metrics, abstain(*given, threshold=0.5, least_confidence=0.9), title="a model")
    assert "0.0% get one" in capsys.readouterr().out


def test_without_afib_calling_all_afib_has_no_fbeta(capsys):
    given = ([0, 0], [0.9, 0.1], ["S1", "S2"], ["N", "N"])
    print_metrics(evaluate(*given, threshold=0.5, bootstrap=0), title="a model")
    rows = [
        line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "calling all" in line
    ]
    assert rows == ["–"]
