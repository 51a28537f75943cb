import optuna
import pytest
from optuna.trial import TrialState, create_trial

from atml.tuning import records, stop
from atml.tuning.outcome import outcome
from atml.tuning.snapshot import Snapshot

PRUNED = TrialState.PRUNED


@pytest.fixture
def result(make_trial):
    """What comes of trials given as (F-beta, ONNX bytes), or as whole trials."""

    def work_out(phase, *trials):
        study = optuna.create_study(directions=list(phase.directions))
        for one in trials:
            if isinstance(one, tuple):
                fbeta, size = one
                one = make_trial(curve=(fbeta,), onnx_bytes=size, directions=len(phase.directions))
            study.add_trial(one)
        return outcome(Snapshot.of(study, phase, 0.5))

    return work_out


def numbers(trials):
    return [trial.number for trial in trials]


def test_without_targets_the_best_comes_first(make_phase1, result):
    assert numbers(result(make_phase1(), (0.8, 1000), (0.95, 8000), (0.943, 4000)).ranking) == [1, 2, 0]


def test_of_two_that_their_folds_do_not_tell_apart_the_smaller_is_best(make_phase1, result, make_trial):
    large = make_trial(by_fold=(0.80, 0.95, 0.854), onnx_bytes=8000)
    small = make_trial(by_fold=(0.80, 0.95, 0.850), onnx_bytes=2000)
    assert result(make_phase1(), large, small).best.number == 1


def test_before_a_trial_has_finished_the_race_those_that_came_furthest_are_ranked(
    make_phase1, result, make_trial
):
    def left(by_fold, architecture):
        return make_trial(state=PRUNED, by_fold=by_fold, architecture=architecture, pruned_by="race")

    done = result(make_phase1(), left((0.9,), "linear"), left((0.7, 0.7), "conv_gru"))
    assert numbers(done.ranking) == [1]
    assert done.unfinished == ("linear",)
    assert done.pruned == {"race": 2}


def test_phase_2_ranks_by_what_is_short_of_the_targets_then_by_size(make_phase2, result):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 1000})
    trials = (
        (0.99, 1500),  # half too large
        (0.91, 990),  # meets both
        (0.95, 980),  # meets both and is smaller
        (0.81, 500),  # a tenth short
        (0.855, 1050),  # a twentieth short in both: a tenth
    )
    done = result(phase, *trials)
    assert numbers(done.ranking) == [2, 1, 3, 4, 0]
    assert done.targets_met
    assert done.failed_targets == ()
    assert done.advice == ()


def test_without_targets_none_are_met_and_nothing_is_advised(make_phase1, result):
    done = result(make_phase1(), (0.9, 100))
    assert (done.targets_met, done.failed_targets, done.advice) == (False, (), ())


@pytest.mark.parametrize(
    ("trials", "advice"),
    [
        (
            [(0.81239, 900), (0.95, 1500)],
            [
                "the search's best F-beta within the size target is 0.8124: lower targets.fbeta to 0.812",
                "or raise targets.onnx_bytes to 1500, where F-beta is reached",
            ],
        ),
        (
            [(0.5, 900)],
            ["the search's best F-beta within the size target is 0.5000: lower targets.fbeta to 0.5"],
        ),
        ([(0.95, 1200)], ["raise targets.onnx_bytes to 1200, or add smaller search.sizes"]),
    ],
)
def test_missed_targets_come_with_what_to_relax(make_phase2, result, trials, advice):
    done = result(make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 1000}), *trials)
    assert not done.targets_met
    assert all(line.startswith(start) for line, start in zip(done.advice, advice, strict=False))
    assert len(done.advice) == len(advice) + 1
    assert "raise budget.trials or budget.minutes" in done.advice[-1]


def test_a_trial_that_atml_did_not_train_is_passed_over(make_phase2, result, make_trial):
    phase = make_phase2(targets={"fbeta": 0.95, "onnx_bytes": 1000})
    foreign = create_trial(values=[0.99, 10.0])
    assert result(phase, foreign).best is None
    assert numbers(result(phase, foreign, make_trial(curve=(0.9,), directions=2)).ranking) == [1]
    assert records.trained([foreign]) == []


def test_following_the_advice_meets_the_targets(make_phase2, result):
    trials = [(0.81239, 900), (0.95, 1500)]
    for relaxed in ({"fbeta": 0.812, "onnx_bytes": 1000}, {"fbeta": 0.9, "onnx_bytes": 1500}):
        assert result(make_phase2(targets=relaxed), *trials).targets_met


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ("neighbourhood", "lower pruning.neighbourhood.threshold"),
        ("diverged", "lower the learning rates"),
        ("stopped", "raise budget.minutes"),
        ("pruner", "widen the search"),
    ],
)
def test_a_study_without_a_model_says_which_rule_to_loosen(make_phase1, result, make_trial, rule, remedy):
    trials = [make_trial(state=PRUNED, pruned_by=rule) for _ in range(3)]
    trials.append(make_trial(state=PRUNED, pruned_by="duplicate"))
    done = result(make_phase1(), *trials)
    assert done.best is None
    (advice,) = done.advice
    assert f"3 trials pruned by {rule}: {remedy}" in advice
    assert done.pruned == {rule: 3, "duplicate": 1}


def test_a_study_whose_trials_ended_with_errors_says_with_which(make_phase1, result, make_trial):
    def failed(text, **fields):
        return make_trial(state=PRUNED, pruned_by="error", pruned_because=text, **fields)

    done = result(make_phase1(), failed("ParityError: by 3"), failed("ValueError: b", curve=(0.5,)))
    assert numbers(done.errors) == [0, 1]
    assert done.pruned == {"error": 2}
    (advice,) = done.advice
    assert advice == "no trial ran to its end; 2 trials ended with an error, the first with ParityError: by 3"
    assert (done.spent.trained, done.spent.untrained) == (1, 1)


def test_a_phase_2_starts_from_the_best_architectures_that_have_widths(
    make_phase1, make_phase2, result, make_trial
):
    names = ("linear", "conv_gru", "conv_gru", "optimized_afnet")
    trials = [
        make_trial(architecture=name, curve=(0.9 - place / 10,), onnx_bytes=1000 + place)
        for place, name in enumerate(names)
    ]
    ranking = result(make_phase1(), *trials).ranking
    for count, chosen in ((1, ("conv_gru",)), (3, ("conv_gru", "optimized_afnet"))):
        phase = make_phase2(base={"architectures": None, "study": "first", "candidates": count})
        assert phase.chosen_from(ranking) == chosen
    assert phase.chosen_from(ranking[:1]) == ()


def test_a_study_stopped_before_any_trial_finished_the_race_has_an_outcome_too(
    make_phase1, result, make_trial
):
    trial = make_trial(state=PRUNED, pruned_by="stopped", by_fold=(0.8,))
    done = result(make_phase1(targets={"fbeta": 0.9}), trial)
    assert numbers(done.ranking) == [0]
    more = "give the study more time: raise budget.trials or budget.minutes, and add --extend"
    assert done.advice == (more,)


def test_an_empty_study_has_an_outcome_too(make_phase2, result):
    done = result(make_phase2())
    assert (done.best, done.ranking, done.front) == (None, (), ())
    assert done.advice == ("no trial has finished yet",)


def test_saved_time_is_what_the_rest_of_a_fold_or_the_further_folds_would_have_taken(
    make_phase1, result, make_trial
):
    def ended(by, epochs, by_fold=None, rate=0.01):  # of 30 s each
        curve = (0.5,) * epochs
        return make_trial(state=PRUNED, pruned_by=by, curve=curve, by_fold=by_fold, learning_rate=rate)

    done = result(
        make_phase1(data={"folds": 4}, training={"epochs": 6}),
        ended("pruner", 2, rate=0.1),  # 4 epochs left
        ended("pruner", 5, rate=0.2),  # 1
        ended("race", 6, (0.5,)),  # 3 folds, of which the next trial has trained one
        ended("race", 6, (0.5, 0.5)),  # 2 folds
        ended("race", 0, (0.5, 0.5)),  # took up the folds of another, and trained none
        ended("race", 6, (0.5,), rate=0.3),  # 3 folds
        ended("race", 6, (0.5,), rate=0.4),  # all of which were trained later
        make_trial(by_fold=(0.5,) * 4, curve=(0.5,) * 18, learning_rate=0.4),
        ended("neighbourhood", 0),
        make_trial(state=TrialState.FAIL),
    )
    saved = {saving.by: (saving.trials, saving.minutes) for saving in done.savings}
    assert saved == {"pruner": (2, 2.5), "race": (5, 15.0)}
    assert done.failed == 1


def test_targets_are_met_only_by_a_trial_that_finished_the_race(make_phase1, result, make_trial):
    phase = make_phase1(targets={"fbeta": 0.9})
    ahead = make_trial(state=PRUNED, pruned_by="race", by_fold=(0.95,))
    assert not result(phase, ahead).targets_met
    assert result(phase, ahead, make_trial(by_fold=(0.95, 0.95))).targets_met


def test_more_time_is_not_advised_where_every_point_was_tried(make_phase1, make_trial):
    study = optuna.create_study(directions=["maximize"])
    study.add_trial(make_trial(by_fold=(0.5, 0.5)))
    stop.request_stop(study, stop.Stop(by=stop.StoppedBy.SPACE, because="every point was tried"))
    found = outcome(Snapshot.of(study, make_phase1(targets={"fbeta": 0.9}), 0.5))
    assert "learning rates or architectures, in a new study" in found.advice[-1]


def test_a_size_whose_first_model_came_late_has_gained_nothing_known(make_phase1, result, make_trial):
    phase = make_phase1(search={"sizes": [2_000, 12_000]})
    trials = [make_trial(by_fold=(0.5, 0.5), onnx_bytes=size, learning_rate=0.01) for size in (9000, 1000)]
    small, large = result(phase, *trials).by_size
    assert (small.gained, large.gained) == (None, 0.0)


def test_a_lucky_fold_of_the_first_half_does_not_hide_what_was_gained(make_phase1, result, make_trial):
    def gained(*by_fold):
        trials = [
            make_trial(state=TrialState.COMPLETE if len(one) == 2 else PRUNED, curve=(0.9,), by_fold=one)
            for one in by_fold
        ]
        (size,) = result(make_phase1(), *trials).by_size
        return size.gained

    assert gained((0.96,), (0.95,), (0.96, 0.93), (0.97, 0.9)) is None
    assert gained((0.96,), (0.97, 0.9), (0.95,), (0.96, 0.93)) == pytest.approx(0.01)
    assert gained((0.96, 0.93), (0.95,), (0.97, 0.9), (0.96,)) == 0.0
