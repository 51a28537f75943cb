import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.trial import TrialState, create_trial

from atml.pruners import NeighbourhoodPruner, report, should_prune
from atml.pruners.reports import sign_of

RATES = FloatDistribution(1e-4, 1.0, log=True)
NAMES = CategoricalDistribution(["small", "large"])


class Remembering(BasePruner):
    """Prunes whatever it is asked about, and remembers that it was asked."""

    def __init__(self):
        self.asked = []

    def prune(self, study, trial):
        self.asked.append(trial.number)
        return True


def pruner(**changes):
    return NeighbourhoodPruner(**{"same": ("architecture",), "radius": 0.25, "threshold": 0.6, **changes})


def ended(rate, value=0.1, architecture="small", state=TrialState.COMPLETE):
    return create_trial(
        state=state,
        params={"architecture": architecture, "learning_rate": rate},
        distributions={"architecture": NAMES, "learning_rate": RATES},
        value=value if state == TrialState.COMPLETE else None,
    )


def new(rate, architecture="small", number=1):
    trial = ended(rate, architecture=architecture, state=TrialState.RUNNING)
    trial.number = number
    return trial


def test_one_name_may_be_given_alone_and_a_trial_without_it_has_no_neighbours():
    alone, misspelt = pruner(same="architecture"), pruner(same="Architecture")
    bad, alike, other = ended(0.01), new(0.01), new(0.01, architecture="large")
    assert alone.bad_neighbour([bad], alike) is not None
    assert alone.bad_neighbour([bad], other) is None
    assert misspelt.bad_neighbour([bad], alike) is None


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_neighbours_of_a_bad_learning_rate_are_pruned_before_training(directions):
    study = optuna.create_study(directions=directions, pruner=pruner())
    trained = []

    def objective(trial):
        trial.suggest_categorical("architecture", ["small", "large"])
        rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
        if should_prune(trial):
            raise optuna.TrialPruned
        trained.append(rate)
        report(trial, 0.5, 0)
        assert not should_prune(trial)  # it has begun
        value = 0.9 if rate < 5e-4 else 0.3
        return value if len(directions) == 1 else (value, 1.0)

    for rate in (1e-1, 1e-2, 1.0, 9e-3, 1e-3, 1e-4):
        study.enqueue_trial({"architecture": "small", "learning_rate": rate})
    study.optimize(objective, n_trials=6)
    # .1 is bad and rules its neighbours .01 and 1 out; so does .009, which is just far enough from .1.
    assert trained == [1e-1, 9e-3, 1e-4]


@pytest.mark.parametrize(
    ("rate", "architecture", "near"),
    [
        (1e-2, "small", True),
        (1e-3, "small", True),  # a quarter of the range away, the radius
        (9e-4, "small", False),
        (1e-1, "small", True),
        (1.1e-1, "small", False),
        (1e-2, "large", False),
    ],
)
def test_the_radius_is_a_share_of_the_range_on_its_own_scale(rate, architecture, near):
    assert (pruner().bad_neighbour([ended(1e-2)], new(rate, architecture)) is not None) is near


def test_a_radius_of_nothing_rules_out_the_same_value_alone():
    rule = pruner(radius=0)
    assert rule.bad_neighbour([ended(1e-2)], new(1e-2)) is not None
    assert rule.bad_neighbour([ended(1e-2)], new(1.01e-2)) is None


@pytest.mark.parametrize(
    ("value", "direction", "bad"),
    [
        (0.5, "maximize", True),
        (0.6, "maximize", False),
        (math.nan, "maximize", True),
        (0.7, "minimize", True),
        (0.6, "minimize", False),
        (math.nan, "minimize", True),
    ],
)
def test_a_value_worse_than_the_threshold_is_bad(value, direction, bad):
    study = optuna.create_study(direction=direction)
    trial = ended(1e-2, 0.0)
    trial.value = value  # Optuna itself stores no NaN
    assert bool(pruner().bad_trials([trial], sign=sign_of(study))) is bad


def test_the_direction_is_that_of_the_studys_first_objective():
    study = optuna.create_study(directions=["minimize", "maximize"], pruner=pruner())
    for rate, loss in ((1e-1, 0.7), (1e-3, 0.5)):
        study.add_trial(
            create_trial(
                params={"architecture": "small", "learning_rate": rate},
                distributions={"architecture": NAMES, "learning_rate": RATES},
                values=(loss, 1.0),
            )
        )
    for rate, pruned in ((1e-1, True), (1e-3, False)):
        study.enqueue_trial({"architecture": "small", "learning_rate": rate})
        trial = study.ask({"architecture": NAMES, "learning_rate": RATES})
        assert should_prune(trial) is pruned


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED])
def test_a_trial_without_a_value_is_no_evidence(state):
    assert pruner().bad_trials([ended(1e-2, state=state)]) == []


def test_other_numbers_than_learning_rates():
    depths = {"depth": IntDistribution(11, 21)}
    bad = create_trial(params={"depth": 14}, distributions=depths, value=0.1)
    rule = pruner(param="depth", same=(), radius=0.2)
    near = [depth for depth in range(11, 22) if rule.bad_neighbour([bad], running({"depth": depth}, depths))]
    assert near == [12, 13, 14, 15, 16]


def test_a_range_of_one_value():
    only = {"depth": IntDistribution(3, 3)}
    bad = create_trial(params={"depth": 3}, distributions=only, value=0.1)
    assert pruner(param="depth", same=()).bad_neighbour([bad], running({"depth": 3}, only)) is not None


def test_values_are_compared_only_within_one_range():
    low = {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
    bad = create_trial(params={"learning_rate": 1e-3}, distributions=low, value=0.1)
    rule = pruner(same=())
    high = {"learning_rate": FloatDistribution(1e-2, 1.0, log=True)}
    assert rule.bad_neighbour([bad], running({"learning_rate": 1e-1}, high)) is None  # both in the middle
    assert rule.bad_neighbour([bad], running({"learning_rate": 1e-3}, low)) is not None


def running(params, distributions):
    trial = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
    trial.number = 1
    return trial


def test_a_parameter_without_distances_is_refused():
    with pytest.raises(TypeError, match="must be drawn from floats or ints, but architecture is"):
        pruner(param="architecture").place(new(1e-2))


def test_a_trial_without_the_parameter_has_no_neighbours():
    trial = running({"architecture": "small"}, {"architecture": NAMES})
    assert pruner().bad_neighbour([ended(1e-2)], trial) is None


def test_the_offender_is_named():
    study = optuna.create_study()
    study.add_trial(ended(1e-2, 0.25))
    bad = pruner().bad_neighbour(study.trials, new(1e-2, number=3))
    assert bad is not None
    assert (bad.trial.number, bad.score) == (0, 0.25)


def test_the_wrapped_pruner_is_asked_once_the_trial_has_begun():
    wrapped = Remembering()
    rule = NeighbourhoodPruner(wrapped, threshold=0.6)
    study = optuna.create_study(direction="maximize")
    trial = new(1e-2)
    assert not rule.prune(study, trial)
    assert wrapped.asked == []
    trial.intermediate_values = {0: 0.5}
    assert rule.prune(study, trial)
    assert wrapped.asked == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": -1}, "`radius` must be 0 or more but got -1"),
        ({"radius": math.nan}, "`radius` must be 0 or more but got nan"),
        ({"threshold": math.nan}, "`threshold` must be a number"),
    ],
)
def test_senseless_rules_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pruner(**changes)
