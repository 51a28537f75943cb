import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import atml.training
from atml.errors import TrainingDiverged
from atml.training import AugmentationSettings, TrainingSettings, WithoutValidation, predict, train
from atml.training.loop import _Loop

SETTINGS = TrainingSettings(epochs=3, batch_size=16, learning_rate=1e-2, segments_per_epoch=None)


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def assert_other_weights(first, second):
    assert not all(torch.equal(first[name], second[name]) for name in first)


def trained(network, split, settings=SETTINGS, **options):
    epochs = list(train(network, split, settings, device=torch.device("cpu"), **options))
    return epochs, weights_of(network)


def test_a_network_learns_what_can_be_learnt(split, make_network):
    network = make_network()
    epochs, _ = trained(network, split, replace(SETTINGS, epochs=8))
    assert epochs[-1].valid_loss < 0.5 * epochs[0].valid_loss
    called = predict(network, split.valid, device=torch.device("cpu")) >= 0.5
    assert (called == split.valid.labels).mean() > 0.9


def test_soft_labels_are_learned_in_place_of_the_labels(split, make_network):
    settings = replace(SETTINGS, epochs=8)
    labels = split.train.labels.astype(np.float32)
    epochs, weights = trained(make_network(), split, settings)
    same, as_soft = trained(make_network(), split, settings, soft_labels=labels)
    assert [one.train_loss for one in same] == pytest.approx([one.train_loss for one in epochs], rel=1e-3)
    assert all(torch.allclose(weights[name], as_soft[name], atol=1e-3) for name in weights)
    network = make_network()
    trained(network, split, settings, soft_labels=1 - labels)
    called = predict(network, split.valid, device=torch.device("cpu")) >= 0.5
    assert (called == split.valid.labels).mean() < 0.1


def test_soft_labels_of_another_length_are_refused(split, make_network):
    with pytest.raises(ValueError, match=r"soft_labels must be \[\d+\], but got shape \(3,\)"):
        train(
            make_network(),
            split,
            SETTINGS,
            device=torch.device("cpu"),
            soft_labels=np.zeros(3, np.float32),
        )


def test_epochs_tell_their_index_loss_scores_and_speed(split, make_network):
    epochs, _ = trained(make_network(), split)
    assert [epoch.index for epoch in epochs] == [0, 1, 2]
    for epoch in epochs:
        assert epoch.valid_scores.shape == (40,)
        assert epoch.valid_scores.dtype == np.float32
        assert ((epoch.valid_scores >= 0) & (epoch.valid_scores <= 1)).all()
        assert epoch.seconds > 0


def test_training_is_bit_equal_for_a_seed(split, make_network):
    first, weights = trained(make_network(), split)
    torch.rand(7)  # what ran before must not matter to dropout
    np.random.default_rng().random(7)
    second, same = trained(make_network(), split)
    assert_same_weights(weights, same)
    assert [e.train_loss for e in first] == [e.train_loss for e in second]
    assert all(np.array_equal(a.valid_scores, b.valid_scores) for a, b in zip(first, second, strict=True))


def test_another_seed_trains_otherwise(split, make_network):
    _, weights = trained(make_network(), split)
    _, other = trained(make_network(), split, replace(SETTINGS, seed=1))
    assert_other_weights(weights, other)


def test_the_global_random_state_is_left_as_it_was(split, make_network):
    before = torch.get_rng_state()
    trained(make_network(), split)
    assert torch.equal(before, torch.get_rng_state())


def test_denormal_numbers_are_back_after_each_epoch(split, make_network, cpu):
    for _ in train(make_network(), split, SETTINGS, device=cpu):
        assert np.float32(1e-40) * np.float32(0.5) > 0


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_the_weights_of_the_last_epoch_are_kept_however_good_an_earlier_one_was(
    split, make_network, cpu, ema_decay
):
    network = make_network()
    # The more it learns, the worse it is on other segments, whose labels are wrong.
    split.valid.labels[:] = 1 - split.valid.labels
    epochs, _ = trained(network, split, replace(SETTINGS, ema_decay=ema_decay))
    losses = [epoch.valid_loss for epoch in epochs]
    assert min(losses) < losses[-1]
    assert not network.training
    np.testing.assert_array_equal(predict(network, split.valid, device=cpu), epochs[-1].valid_scores)


def test_the_weights_of_the_last_finished_epoch_are_kept_when_the_caller_breaks_off(split, make_network, cpu):
    network = make_network()
    epochs = train(network, split, SETTINGS, device=cpu)
    next(epochs)
    second = next(epochs)
    epochs.close()
    np.testing.assert_array_equal(predict(network, split.valid, device=cpu), second.valid_scores)


def test_the_average_is_validated_not_the_last_weights(split, make_network, cpu):
    network = make_network()
    epochs = train(network, split, SETTINGS, device=cpu)
    scores = next(epochs).valid_scores
    raw = predict(network, split.valid, device=cpu)
    assert not np.array_equal(scores, raw)
    epochs.close()
    assert np.array_equal(scores, predict(network, split.valid, device=cpu))


def test_an_overfitting_network_stops_early(make_split, make_network):
    # Noise only: training gets better and validation cannot.
    split = make_split(32)
    split.train.labels[:] = np.random.default_rng(0).integers(0, 2, 32)
    split.valid.labels[:] = np.random.default_rng(1).integers(0, 2, 40)
    settings = replace(
        SETTINGS, epochs=60, patience=2, schedule="constant", augmentation=AugmentationSettings(probability=0)
    )
    epochs, _ = trained(make_network(dropout=0.0), split, settings)
    assert len(epochs) < 60
    assert epochs[-1].train_loss < epochs[-1].valid_loss - settings.gap
    assert len(trained(make_network(dropout=0.0), split, replace(settings, patience=None))[0]) == 60


@pytest.fixture
def epochs_with(split, make_network, monkeypatch, cpu):
    """Return a function that trains with given losses, (training, validation), until it stops."""

    def epochs_with(losses, resume=None, **settings):
        training, validation = map(iter, zip(*losses, strict=True))
        monkeypatch.setattr(_Loop, "train_epoch", lambda self, index: next(training))
        monkeypatch.setattr(_Loop, "validate", lambda self, index: (next(validation), np.empty(0)))
        chosen = replace(SETTINGS, epochs=100, **settings)
        return train(make_network(), split, chosen, device=cpu, resume=resume)

    return epochs_with


@pytest.mark.parametrize(
    ("waited", "train_loss", "stops"),
    [
        (2, 0.40, False),  # neither long enough …
        (2, 0.60, False),
        (3, 0.495, False),  # … nor ahead by more than the gap
        (3, 0.60, False),
        (3, 0.48, True),  # both
        (5, 0.48, True),
        (5, 0.60, False),
    ],
)
def test_training_stops_only_when_validation_stays_and_training_is_ahead(
    epochs_with, waited, train_loss, stops
):
    losses = [(0.6, 0.5)] * waited + [(train_loss, 0.5), (0.4, 0.5)]
    epochs = list(itertools.islice(epochs_with(losses, patience=3, gap=0.01), waited + 2))
    assert (len(epochs) == waited + 1) is stops


def test_a_better_validation_loss_starts_the_count_anew(epochs_with):
    losses = [(0.1, loss) for loss in (0.5, 0.6, 0.4, 0.45, 0.45)]
    assert len(list(epochs_with(losses, patience=2, gap=0.01))) == len(losses)


def test_without_patience_or_validation_nothing_stops(epochs_with):
    assert len(list(itertools.islice(epochs_with([(0.1, 0.5)] * 9, patience=None, gap=0.0), 9))) == 9
    assert len(list(itertools.islice(epochs_with([(0.1, None)] * 9, patience=1, gap=0.0), 9))) == 9


def test_a_resumed_training_stops_where_it_would_have(epochs_with):
    losses = [(0.1, loss) for loss in (0.4, 0.5, 0.45, 0.45)]
    settings = {"patience": 3, "gap": 0.01}
    assert len(list(epochs_with(losses, **settings))) == len(losses)
    begun = epochs_with(losses, **settings)
    next(begun)
    state = next(begun).state()
    assert len(list(epochs_with(losses[2:], resume=state, **settings))) == 2


def test_without_validation_the_last_epoch_is_kept(split, make_network, cpu):
    network = make_network()
    epochs, weights = trained(network, WithoutValidation(train=split.train), replace(SETTINGS, patience=1))
    assert len(epochs) == 3
    for epoch in epochs:
        assert epoch.valid_loss is None
        assert epoch.valid_scores.size == 0
    # Validation only watches: the weights come out the same.
    _, watched = trained(make_network(), split, SETTINGS)
    assert_same_weights(weights, watched)


@pytest.mark.parametrize("count", [17, 16, 15, 2, 33])
def test_no_number_of_segments_makes_a_batch_of_one(make_split, make_network, count):
    epochs, _ = trained(make_network(), make_split(count), replace(SETTINGS, epochs=2))
    assert len(epochs) == 2


def test_a_single_training_segment_is_refused(make_split, make_network):
    with pytest.raises(ValueError, match="at least 2 segments, but got 1"):
        train(make_network(), make_split(1), SETTINGS, device=torch.device("cpu"))


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_divergence_names_epoch_batch_and_learning_rate(split, make_network, ema_decay):
    settings = replace(
        SETTINGS, learning_rate=1e30, gradient_clip=None, ema_decay=ema_decay, schedule="constant"
    )
    with pytest.raises(TrainingDiverged, match=r"epoch 0, batch \d+, at peak learning rate 1e\+30"):
        trained(make_network(), split, settings)


def test_a_validation_loss_that_is_no_number_is_divergence_too(make_split, make_network, cpu):
    split = make_split(32)
    network = make_network()
    epochs = train(network, split, replace(SETTINGS, ema_decay=None), device=cpu)
    next(epochs)
    split.valid._samples = np.full_like(split.valid._samples, np.nan)
    with pytest.raises(TrainingDiverged, match="validation loss became nan after epoch 1"):
        next(epochs)
    assert not network.training


@pytest.mark.parametrize("schedule", ["one-cycle", "plateau", "constant"])
@pytest.mark.parametrize("option", [{}, {"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_every_option_trains(split, make_network, schedule, option):
    settings = replace(SETTINGS, epochs=4, schedule=schedule, gradient_clip=None, **option)
    epochs, _ = trained(make_network(), split, settings)
    assert min(epoch.valid_loss for epoch in epochs) < 0.6  # chance is .69


def test_balanced_weights_make_a_rare_class_count(make_split, make_network):
    split = make_split(200)
    split.train.labels[np.flatnonzero(split.train.labels)[5:]] = 0
    settings = replace(SETTINGS, epochs=2)
    plain, _ = trained(make_network(), split, settings)
    balanced, _ = trained(make_network(), split, replace(settings, class_weights="balanced"))
    assert balanced[-1].valid_scores.mean() > plain[-1].valid_scores.mean()


def test_frozen_weights_stay(split, make_network):
    network = make_network()
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    trained(network, split)
    assert torch.equal(network[0].weight, before)


@pytest.mark.parametrize("schedule", ["one-cycle", "plateau"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_resumed_training_goes_on_bit_for_bit(split, make_network, cpu, schedule, ema_decay):
    settings = replace(SETTINGS, epochs=5, schedule=schedule, ema_decay=ema_decay)
    straight, weights = trained(make_network(), split, settings)
    for epoch in train(make_network(), split, settings, device=cpu):
        if epoch.index == 1:
            state = epoch.state()
            break
    assert state.epochs == 2
    resumed, same = trained(make_network(seed=9), split, settings, resume=state)
    assert [epoch.index for epoch in resumed] == [2, 3, 4]
    assert [e.train_loss for e in resumed] == [e.train_loss for e in straight[2:]]
    assert_same_weights(weights, same)


@pytest.fixture
def simulated(make_segments, monkeypatch):
    """Simulated segments of the length that networks have here."""
    monkeypatch.setattr("atml.training.loop.simulated_segments", lambda _length: make_segments(50, seed=5))


@pytest.mark.usefixtures("simulated")
def test_a_training_with_simulated_segments_goes_on_bit_for_bit(split, make_network, cpu):
    split.train.positive = ("AFIB",)
    settings = replace(SETTINGS, epochs=4, simulated=0.25)
    straight, weights = trained(make_network(), split, settings)
    without, _ = trained(make_network(), split, replace(settings, simulated=0.0))
    assert [e.train_loss for e in straight] != [e.train_loss for e in without]
    for epoch in train(make_network(), split, settings, device=cpu):
        if epoch.index == 1:
            state = epoch.state()
            break
    resumed, same = trained(make_network(seed=9), split, settings, resume=state)
    assert [e.train_loss for e in resumed] == [e.train_loss for e in straight[2:]]
    assert_same_weights(weights, same)


@pytest.mark.usefixtures("simulated")
def test_without_afib_among_the_rhythms_to_find_nothing_is_simulated(split, make_network):
    split.train.positive = ("AFL",)
    _, weights = trained(make_network(), split, replace(SETTINGS, simulated=0.25))
    _, same = trained(make_network(), split, SETTINGS)
    assert_same_weights(weights, same)


def test_a_finished_training_resumes_to_its_last_weights(split, make_network, cpu):
    epochs = train(make_network(), split, SETTINGS, device=cpu)
    *_, state = (epoch.state() for epoch in epochs)
    network = make_network(seed=9)
    assert list(train(network, split, SETTINGS, device=cpu, resume=state)) == []
    _, weights = trained(make_network(), split)
    assert_same_weights(weights_of(network), weights)


def test_a_state_is_asked_for_before_the_next_epoch(split, make_network, cpu):
    epochs = train(make_network(), split, SETTINGS, device=cpu)
    first = next(epochs)
    next(epochs)
    with pytest.raises(RuntimeError, match="the state of epoch 0 is gone"):
        first.state()


def test_recurrent_networks_train_too(split, cpu):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 4, batch_first=True, bidirectional=True)
            self.out = nn.Linear(8, 2)

        def forward(self, ecg):
            return self.out(self.gru(ecg.transpose(1, 2))[0].mean(1))

    assert len(list(train(Recurrent(), split, replace(SETTINGS, epochs=2), device=cpu))) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_training_on_a_gpu_learns_too(split, make_network):
    cuda = torch.device("cuda:0")
    network = make_network()
    epochs = list(train(network, split, replace(SETTINGS, epochs=8), device=cuda))
    assert epochs[-1].valid_loss < 0.7 * epochs[0].valid_loss
    assert next(network.parameters()).device == cuda


def test_all_is_complete():
    assert sorted(atml.training.__all__) == atml.training.__all__
    assert all(hasattr(atml.training, name) for name in atml.training.__all__)
