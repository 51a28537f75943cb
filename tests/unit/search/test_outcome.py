import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from atml.cli.tables import print_outcome
from atml.search import records
from atml.search.outcome import outcome
from atml.search.phases.width import pareto_front
from atml.search.snapshot import Snapshot

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
        return outcome(Snapshot.of(study, phase))

    return work_out


def numbers(trials):
    return [trial.number for trial in trials]


@pytest.mark.parametrize(
    ("gain", "order"),
    [
        (0.0, [1, 2, 3, 0]),
        (0.005, [1, 2, 3, 0]),
        (0.008, [2, 1, 3, 0]),
        (0.1, [3, 1, 2, 0]),
        (0.2, [0, 1, 2, 3]),
    ],
)
def test_phase_1_prefers_the_best_bargain_of_fbeta_and_size(make_phase1, result, gain, order):
    trials = ((0.8, 1000), (0.95, 8000), (0.943, 4000), (0.93, 2000))
    assert numbers(result(make_phase1(search={"gain_per_doubling": gain}), *trials).ranking) == order


def test_three_bytes_less_do_not_outweigh_a_better_fbeta(make_phase1, result):
    assert numbers(result(make_phase1(), (0.9336, 20_200), (0.9371, 20_203)).ranking) == [1, 0]


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
                "the best F-beta within the size target is 0.8124: lower targets.fbeta to 0.812",
                "or raise targets.onnx_bytes to 1500, where F-beta is reached",
            ],
        ),
        ([(0.5, 900)], ["the best F-beta within the size target is 0.5000: lower targets.fbeta to 0.5"]),
        ([(0.95, 1200)], ["raise targets.onnx_bytes to 1200, or lower search.widths.low"]),
    ],
)
def test_missed_targets_come_with_what_to_relax(make_phase2, result, trials, advice):
    done = result(make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 1000}), *trials)
    assert not done.targets_met
    assert all(line.startswith(start) for line, start in zip(done.advice, advice, strict=False))
    assert len(done.advice) == len(advice) + 1
    assert "raise budget.trials or budget.minutes" in done.advice[-1]


def test_following_the_advice_meets_the_targets(make_phase2, result):
    trials = [(0.81239, 900), (0.95, 1500)]
    for relaxed in ({"fbeta": 0.812, "onnx_bytes": 1000}, {"fbeta": 0.9, "onnx_bytes": 1500}):
        assert result(make_phase2(targets=relaxed), *trials).targets_met


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ("size", "raise pruning.max_onnx_bytes"),
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
    assert f"3 were pruned by {rule}: {remedy}" in advice
    assert done.pruned == {rule: 3, "duplicate": 1}


def test_a_study_whose_trials_ended_with_errors_says_with_which(make_phase1, result, make_trial):
    def failed(text, **fields):
        return make_trial(state=PRUNED, pruned_by="error", pruned_because=text, **fields)

    done = result(make_phase1(), failed("ParityError: by 3"), failed("ValueError: b", curve=(0.5,)))
    assert numbers(done.errors) == [0, 1]
    assert done.pruned == {"error": 2}
    (advice,) = done.advice
    assert advice == "no trial ran to its end; 2 ended with an error, the first with ParityError: by 3"
    assert (done.spent.trained, done.spent.untrained) == (1, 1)


@pytest.mark.parametrize(
    ("architectures", "base"),
    [
        (["linear", "conv_gru", "optimized_afnet"], 1),
        (["linear", "linear", "linear"], None),
        (["conv_gru", "linear", "linear"], 0),
    ],
)
def test_a_phase_2_starts_from_the_best_trial_that_has_widths(
    make_phase1, make_phase2, result, make_trial, capsys, architectures, base
):
    trials = [
        make_trial(architecture=name, curve=(fbeta,), parameters=1)
        for name, fbeta in zip(architectures, (0.9, 0.8, 0.7), strict=True)
    ]
    done = result(make_phase1(), *trials)
    assert done.best.number == 0
    assert (done.base and done.base.number) == base
    print_outcome(done, make_phase1())
    said = "linear has no widths to search: a phase 2"
    expected = {
        0: None,
        1: f"{said} based on this study takes trial 1 (conv_gru)",
        None: f"{said} cannot be based on this study",
    }[base]
    shown = capsys.readouterr().out
    assert expected in shown if expected else said not in shown


def test_an_empty_study_has_an_outcome_too(make_phase2, result):
    done = result(make_phase2())
    assert (done.best, done.ranking, done.front) == (None, (), ())
    assert done.advice == ("no trial has finished yet",)


def test_saved_time_is_what_trials_of_the_same_architecture_took(make_phase1, result, make_trial):
    def made(architecture, epochs=0, **fields):
        return make_trial(architecture=architecture, curve=(0.5,) * epochs, **fields)

    done = result(
        make_phase1(),
        *(made("linear", epochs) for epochs in (1, 2, 30)),  # of 30 s each
        made("conv_gru", 8),
        made("linear", state=PRUNED, pruned_by="neighbourhood"),
        made("conv_gru", state=PRUNED, pruned_by="neighbourhood"),
        made("optimized_afnet", state=PRUNED, pruned_by="size"),  # never trained: all count
        made("linear", state=TrialState.FAIL),
    )
    saved = {saving.by: (saving.trials, saving.minutes) for saving in done.savings}
    assert saved == {"neighbourhood": (2, 1.0 + 4.0), "size": (1, (1.0 + 4.0) / 2)}
    assert done.failed == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12))
def test_the_front_holds_exactly_what_no_other_trial_beats(points):
    from optuna.trial import create_trial

    trials = []
    for number, (fbeta, size) in enumerate(points):
        point = records.CurvePoint(train_loss=0, valid_loss=0, fbeta=fbeta / 5, seconds=1)
        attributes = {records.CURVE: [point.to_list()], records.ONNX_BYTES: size}
        trials.append(create_trial(values=[fbeta / 5, size], user_attrs=attributes))
        trials[-1].number = number
    front = [points[trial.number] for trial in pareto_front(trials)]

    def beaten(point):
        return any(f >= point[0] and s <= point[1] and (f, s) != point for f, s in points)

    assert front == sorted({point for point in points if not beaten(point)}, key=lambda point: point[1])
