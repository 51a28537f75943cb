import json

import numpy as np
import pytest
from sklearn.metrics import fbeta_score, roc_auc_score

from atml.evaluation import DISTURBANCES, Robustness, even_sample, robustness
from atml.evaluation.robustness import answers_to_extremes, extreme_segments

LENGTH = 250


def recordings(segments=240, seed=0, subjects=6):
    """Return samples [n, L], labels and subjects: AFIB has more and lower peaks, all upright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, segments)
    names = np.array([f"S{index}" for index in rng.integers(0, subjects, segments)])
    samples = rng.normal(0, 0.02, (segments, LENGTH))
    for row, afib in zip(samples, labels, strict=True):
        row[rng.integers(0, LENGTH, 12 if afib else 4)] += rng.uniform(0.8, 1.2)
    return samples.astype(np.float32), labels, names


def normalised(samples):
    centred = samples - samples.mean(axis=1, keepdims=True)
    return centred / (samples.std(axis=1, keepdims=True) + 1e-20)


def by_shape(samples):
    """Answer by how peaked a segment is, whatever its height and sign."""
    return 1 / (1 + np.exp(np.log1p((normalised(samples) ** 4).mean(axis=1)) - 3.6))


def by_sign(samples):
    """Answer by how peaked a segment is upwards."""
    return 1 / (1 + np.exp((normalised(samples) ** 3).mean(axis=1) - 6))


def by_height(samples):
    """Answer by the sum of a segment's samples."""
    return 1 / (1 + np.exp(-(samples.sum(axis=1) - 7)))


def rows(found):
    return {one.disturbance: one for one in found.disturbed}


def test_an_invariant_model_loses_nothing_under_gain_and_sign():
    found = robustness(by_shape, *recordings(), threshold=0.5)
    assert found.undisturbed.roc_auc > 0.9
    for name in ("gain_x0.25", "gain_x0.5", "gain_x2", "gain_x4", "reversed_electrode"):
        one = rows(found)[name]
        assert one.roc_auc_loss == pytest.approx(0, abs=1e-9)
        assert one.fbeta == pytest.approx(found.undisturbed.fbeta)
        assert one.f1 == pytest.approx(found.undisturbed.f1)


def test_a_model_that_looks_at_the_sign_fails_under_the_sign():
    found = robustness(by_sign, *recordings(), threshold=0.5)
    assert found.undisturbed.roc_auc > 0.9
    assert rows(found)["reversed_electrode"].roc_auc < 0.2
    assert rows(found)["gain_x4"].roc_auc_loss == pytest.approx(0, abs=1e-9)
    assert found.worst == "reversed_electrode"


def test_a_model_that_looks_at_the_height_keeps_its_order_but_not_its_threshold_under_gain():
    found = robustness(by_height, *recordings(), threshold=0.5)
    weak, strong = rows(found)["gain_x0.25"], rows(found)["gain_x4"]
    assert weak.roc_auc_loss == strong.roc_auc_loss == pytest.approx(0, abs=1e-9)
    assert weak.fbeta < found.undisturbed.fbeta / 2
    # Calling everything AFIB keeps F-beta, but not the specificity.
    assert strong.fbeta > 0.7
    assert strong.specificity < found.undisturbed.specificity / 2


def test_figures_are_scikit_learns_with_equal_weight_for_each_subject():
    samples, labels, names = recordings(subjects=3)
    keep = (names != "S0") | (np.arange(len(names)) % 5 == 0)
    samples, labels, names = samples[keep], labels[keep], names[keep]
    found = robustness(by_shape, samples, labels, names, threshold=0.4, beta=2.0)
    _, subject, sizes = np.unique(names, return_inverse=True, return_counts=True)
    scores = by_shape(-samples)
    one = rows(found)["reversed_electrode"]
    called, weight = (scores >= 0.4).astype(int), 1 / sizes[subject]
    assert one.fbeta == pytest.approx(fbeta_score(labels, called, beta=2, sample_weight=weight))
    assert one.f1 == pytest.approx(fbeta_score(labels, called, beta=1, sample_weight=weight))
    assert one.specificity == pytest.approx(np.average(1 - called, weights=weight * (labels == 0)))
    assert one.roc_auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight))
    assert found.undisturbed.roc_auc_loss == 0


def test_robust_fbeta_is_the_smallest_but_for_severe_disturbances():
    found = robustness(by_shape, *recordings(), threshold=0.5)
    counted = [one.fbeta for one in found.disturbed if not one.severe]
    assert len(counted) == 16
    assert found.robust_fbeta == min(counted)
    assert rows(found)[found.worst].roc_auc_loss == max(one.roc_auc_loss for one in found.disturbed)


def test_noise_is_always_the_same():
    given = recordings()
    assert robustness(by_shape, *given, threshold=0.5) == robustness(by_shape, *given, threshold=0.5)


def test_every_figure_survives_json():
    disturbed, answers = robustness(by_shape, *recordings(), threshold=0.5), answers_to_extremes(by_shape)
    measured = Robustness.of(disturbed, answers, threshold=0.5)
    found = measured.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    # Earlier bundles have the seed, too.
    assert Robustness.from_dict({**found, "seed": 0}) == measured
    assert [one["disturbance"] for one in found["disturbed"]] == [one.name for one in DISTURBANCES]
    assert set(found["disturbed"][0]) > {"roc_auc", "roc_auc_loss", "f1", "fbeta", "severe"}
    assert found["worst"] in {one.name for one in DISTURBANCES}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_area(label):
    samples, labels, names = recordings()
    found = robustness(by_shape, samples, np.full_like(labels, label), names, threshold=0.5)
    assert found.undisturbed.roc_auc is None
    assert {one.roc_auc_loss for one in found.disturbed} == {None}
    assert found.worst is None
    assert (found.undisturbed.specificity is None) == (label == 1)
    assert 0 <= found.robust_fbeta <= 1
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_answer_that_is_not_finite_calls_nothing_and_is_counted():
    def picky(samples):
        return np.where(np.abs(samples).max(axis=1) > 3, np.nan, by_shape(samples))

    samples, labels, names = recordings()
    found = robustness(picky, samples, labels, names, threshold=0.0)
    strong = rows(found)["gain_x4"]
    assert found.undisturbed.not_finite == 0
    assert strong.not_finite == len(labels)
    assert (strong.fbeta, strong.specificity, strong.roc_auc) == (0, 1, 0.5)
    assert not Robustness.of(found, answers_to_extremes(picky), threshold=0.0).finite_on_extremes


def test_each_disturbance_is_asked_about_once_and_extreme_segments_are_not():
    asked = []

    def counting(samples):
        asked.append(len(samples))
        return by_shape(samples)

    found = robustness(counting, *recordings(60), threshold=0.5)
    assert (found.segments, found.subjects, asked) == (60, 6, [60] * 19)


def test_lengths_that_differ_are_refused():
    samples, labels, names = recordings()
    with pytest.raises(ValueError, match="subjects \\[n\\], but got shapes"):
        robustness(by_shape, samples, labels[1:], names, threshold=0.5)
    with pytest.raises(ValueError, match="got 0 segments"):
        robustness(by_shape, samples[:0], labels[:0], names[:0], threshold=0.5)


def test_a_sample_is_even_by_subject_and_along_each_recording():
    names = np.array(["a"] * 1000 + ["b"] * 20 + ["c"] * 500)
    chosen = even_sample(names, 300)
    assert np.array_equal(chosen, np.unique(chosen))
    assert {name: int((names[chosen] == name).sum()) for name in "abc"} == {"a": 140, "b": 20, "c": 140}
    own = chosen[names[chosen] == "a"]
    assert (own[0], own[-1]) == (0, 992)
    assert set(np.diff(own)) == {7, 8}


def test_a_sample_of_few_is_all_and_every_subject_is_in():
    names = np.array(list("abcabc"))
    assert even_sample(names, 100).tolist() == list(range(6))
    assert even_sample(names, 2).tolist() == [0, 1, 2]


def test_a_sample_of_a_sample_is_all_of_it():
    names = recordings(900)[2]
    chosen = even_sample(names, 100)
    assert len(even_sample(names[chosen], 100)) == len(chosen)


def test_extreme_segments_are_finite_and_as_named():
    segments = extreme_segments(1250, amplitude=2.0)
    assert all(one.dtype == np.float32 and np.isfinite(one).all() for one in segments.values())
    assert np.ptp(segments["flat_line"]) == np.ptp(segments["line_at_large_constant"]) == 0
    assert set(np.abs(segments["saturated_by_turns"])) == {20.0}
    assert segments["beats_x1e6"].max() == pytest.approx(2e6, rel=0.01)
    assert segments["beats_x1e-6"].max() == pytest.approx(2e-6, rel=0.01)
    assert np.square(segments["huge_beats"].max()) < np.finfo(np.float32).max


def test_a_model_that_divides_by_the_deviation_is_caught_by_the_flat_line():
    def careless(samples):
        centred = samples - samples.mean(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            return by_sign(centred / samples.std(axis=1, keepdims=True))

    assert answers_to_extremes(careless, length=LENGTH)["flat_line"] is None
    assert None in answers_to_extremes(careless, length=LENGTH).values()


def test_a_bounded_model_is_finite_and_says_what_a_flat_line_is():
    def bounded(samples):
        return 1 / (1 + np.exp(-np.tanh(samples).sum(axis=1) / LENGTH))

    assert None not in answers_to_extremes(bounded).values()
    assert answers_to_extremes(bounded)["flat_line"] == 0.5
    found, answers = robustness(bounded, *recordings(), threshold=0.5), answers_to_extremes(bounded)
    for threshold, is_afib in ((0.5, True), (0.6, False)):
        measured = Robustness.of(found, answers, threshold=threshold)
        assert (measured.flat_line_is_afib, measured.disturbed) == (is_afib, found.disturbed)
