import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, brier_score_loss, roc_auc_score

from atml.evaluation import ScoreCurves, score_curves


def scored(segments=5000, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(segments) < 0.4).astype(int)
    return labels, np.clip(0.3 + 0.35 * labels + 0.2 * rng.normal(size=segments), 0, 1)


def test_the_kept_points_have_the_area_of_the_whole_roc_curve():
    labels, scores = scored()
    curves = score_curves(labels, scores)
    assert len(curves.roc) <= 200
    assert curves.roc[0] == (0, 0)
    assert curves.roc[-1] == (1, 1)
    area = auc(*zip(*curves.roc, strict=True))
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=1e-3)


def test_calibration_is_scikit_learns():
    labels, scores = scored()
    curves = score_curves(labels, scores)
    share, mean = calibration_curve(labels, scores, n_bins=10)
    assert [one.afib_share for one in curves.reliability] == pytest.approx(share)
    assert [one.mean_score for one in curves.reliability] == pytest.approx(mean)
    assert curves.brier == pytest.approx(brier_score_loss(labels, scores))
    assert sum(one.segments for one in curves.reliability) == curves.segments == len(labels)


def test_scores_that_are_probabilities_have_a_small_calibration_error_and_others_a_large_one():
    rng = np.random.default_rng(0)
    chance = rng.random(20_000)
    labels = (rng.random(20_000) < chance).astype(int)
    assert score_curves(labels, chance).calibration_error < 0.02
    # By hand: always .9 where half is AFIB.
    assert score_curves([0, 1], [0.9, 0.9]).calibration_error == pytest.approx(0.4)


def test_one_class_has_no_roc_curve():
    assert score_curves([1, 1], [0.2, 1.0]).roc == ()


def test_curves_survive_json():
    curves = score_curves(*scored(300))
    assert ScoreCurves.from_dict(json.loads(json.dumps(curves.to_dict()))) == curves
