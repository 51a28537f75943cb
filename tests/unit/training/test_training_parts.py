"""Settings, schedules, batches, the running average and devices."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from atml.errors import AtmlError
from atml.training import (
    AugmentationSettings,
    TrainingSettings,
    choose_device,
    describe_device,
    predict,
    spread_over_devices,
)
from atml.training.averaging import WeightAverage
from atml.training.batches import TrainingBatches
from atml.training.schedule import make_schedule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("epochs", 0),
        ("batch_size", 1),
        ("segments_per_epoch", 1),
        ("epochs", 10**400),
        ("weight_decay", -1.0),
        ("weight_decay", math.inf),
        ("schedule", "cosine"),
        ("class_weights", "some"),
        ("label_smoothing", 0.6),
        ("ema_decay", 1.0),
        ("gradient_clip", 0.0),
        ("gradient_clip", math.inf),
        ("patience", 0),
        ("gap", -0.1),
        ("gap", math.inf),
        ("seed", -1),
    ],
)
def test_a_setting_without_meaning_is_refused_by_name_and_value(field, value):
    with pytest.raises(ValueError, match=rf"(?s){field}\n.*input_value='?{str(value)[:20]}"):
        TrainingSettings(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probability", 1.1),
        ("noise", math.nan),
        ("noise", math.inf),
        ("time_stretch", 0.6),
        ("shift", 0.6),
    ],
)
def test_an_augmentation_without_meaning_is_refused_by_name_and_value(field, value):
    with pytest.raises(ValueError, match=rf"(?s){field}\n.*input_value={value}"):
        AugmentationSettings(**{field: value})


def an_optimiser():
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)


@given(st.integers(1, 40), st.integers(1, 30))
def test_one_cycle_rises_to_the_rate_and_falls_to_almost_nothing(epochs, steps):
    optimiser = an_optimiser()
    schedule = make_schedule(optimiser, TrainingSettings(learning_rate=0.1, epochs=epochs), steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert min(rates) > 0
    assert max(rates) <= 0.1 + 1e-12
    if epochs * steps >= 10:
        peak = int(np.argmax(rates))
        assert max(rates) > 0.09
        assert rates[:peak] == sorted(rates[:peak])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)
        assert rates[-1] == pytest.approx(0.1 / 1000)


def test_a_plateau_halves_the_rate():
    optimiser = an_optimiser()
    schedule = make_schedule(optimiser, TrainingSettings(learning_rate=0.1, schedule="plateau"), 5)
    rates = []
    for loss in [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3]:
        schedule.step(loss)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025])


def batches_of(segments, **changes):
    options = {"batch_size": 8, "segments_per_epoch": None, "seed": 0, "device": torch.device("cpu")}
    return TrainingBatches(segments, **(options | changes))


def test_all_segments_are_seen_equally_often(make_segments):
    segments = make_segments(20)
    batches = batches_of(segments, segments_per_epoch=10)
    seen = torch.cat([ecg for index in range(20) for ecg, _ in batches.epoch(index)])  # 160 = 8 · 20
    _, counts = torch.unique(seen[:, 0], dim=0, return_counts=True)
    assert batches.steps == 1
    assert counts.tolist() == [8] * 20


def test_a_whole_epoch_repeats_no_segment(make_segments):
    batches = batches_of(make_segments(24))
    ecg = torch.cat([ecg for ecg, _ in batches.epoch(3)])
    assert len(torch.unique(ecg[:, 0], dim=0)) == 24


def test_labels_go_with_their_segments(make_segments):
    segments = make_segments(24, noise=0.01)
    for ecg, labels in batches_of(segments).epoch(0):
        assert torch.equal((ecg[:, 0].std(dim=1) > 0.3).long(), labels)


def test_epochs_differ_and_repeat(make_segments):
    batches = batches_of(make_segments(24))
    first, second, again = (torch.cat([ecg for ecg, _ in batches.epoch(i)]) for i in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_changing_a_batch_does_not_change_the_data(make_segments):
    segments = make_segments(24)
    before = segments.samples(np.arange(24))
    for ecg, _ in batches_of(segments).epoch(0):
        ecg.zero_()
    np.testing.assert_array_equal(before, segments.samples(np.arange(24)))


def test_a_share_of_each_batch_is_simulated(make_segments):
    real, simulated = make_segments(24, noise=0), make_segments(10, noise=0, offset=5)
    batches = batches_of(real, segments_per_epoch=32, simulated=simulated, share=0.25)
    found = [batch for index in range(5) for batch in batches.epoch(index)]
    for ecg, labels in found:
        added = ecg[:, 0].mean(dim=1) > 4
        assert added.tolist() == [False] * 6 + [True] * 2
        assert torch.equal((ecg[:, 0].std(dim=1) > 0.3).long(), labels)
    seen = torch.cat([ecg[6:, 0] for ecg, _ in found])
    assert torch.unique(seen, dim=0, return_counts=True)[1].tolist() == [20, 20]  # two different segments
    again = torch.cat([ecg for ecg, _ in batches.epoch(3)])
    assert torch.equal(again, torch.cat([ecg for ecg, _ in found[12:16]]))


def test_simulated_segments_keep_their_labels_beside_soft_ones(make_segments):
    soft = np.full(24, 0.25, np.float32)
    batches = batches_of(make_segments(24), simulated=make_segments(10), share=0.25, soft_labels=soft)
    for _, labels in batches.epoch(0):
        assert labels[:6].tolist() == [0.25] * 6
        assert set(labels[6:].tolist()) <= {0.0, 1.0}


def test_the_average_forgets_the_first_weights_and_follows_the_last():
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = WeightAverage(model, 0.999)
    with torch.no_grad():
        for _ in range(60):
            model[0].weight.fill_(3.0)
            model[1].running_mean.fill_(2.0)
            model[1].num_batches_tracked += 1
            average.update()
    assert average.module[0].weight.item() == pytest.approx(3.0, abs=1e-3)
    assert average.module[1].running_mean.item() == pytest.approx(2.0, abs=1e-3)
    assert average.module[1].num_batches_tracked == 60


def test_the_average_of_many_steps_decays_as_asked():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.6)
    with torch.no_grad():
        for value in (0.0,) * 30 + (1.0, 1.0):
            model.weight.fill_(value)
            average.update()
    assert average.module.weight.item() == pytest.approx(1 - 0.6**2)


def test_the_decay_of_the_average_rises():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.999)
    means = []
    with torch.no_grad():
        for value in (1.0, 0.0, 0.0):
            model.weight.fill_(value)
            average.update()
            means.append(average.module.weight.item())
    assert means[1:] == pytest.approx([means[0] * 2 / 11, means[0] * 2 / 11 * 3 / 12])


def test_infinite_constants_are_not_averaged():
    model = nn.Linear(1, 1)
    model.register_buffer("mask", torch.tensor(float("-inf")))
    model.register_parameter("frozen", nn.Parameter(torch.tensor(float("inf")), requires_grad=False))
    average = WeightAverage(model, 0.5)
    average.update()
    assert average.module.mask == float("-inf")
    assert average.module.frozen == float("inf")


def test_predict_does_not_depend_on_the_batch_and_puts_the_mode_back(make_segments, make_network, cpu):
    segments, network = make_segments(21), make_network().train()
    whole = predict(network, segments, device=cpu)
    np.testing.assert_allclose(predict(network, segments, device=cpu, batch_size=4), whole, rtol=1e-5)
    assert network.training
    assert predict(network, make_segments(0), device=cpu).shape == (0,)


def test_predict_returns_the_probability_of_afib(make_segments, cpu):
    class Constant(nn.Module):
        def forward(self, ecg):
            return torch.tensor([0.0, math.log(3)]).expand(len(ecg), 2)

    np.testing.assert_allclose(predict(Constant(), make_segments(3), device=cpu), 0.75)


def test_a_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert describe_device(torch.device("cpu")) == "cpu"


@pytest.mark.parametrize("requested", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "mps"])
def test_an_unknown_device_is_refused(requested):
    with pytest.raises(AtmlError, match="device must be auto, cpu, cuda"):
        choose_device(requested)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(AtmlError, match=r"'cuda:99' was requested, but PyTorch sees \d+ CUDA devices"):
        choose_device("cuda:99")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device() == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_auto_is_the_gpu_where_there_is_one():
    assert choose_device("auto") == torch.device("cuda:0")
    assert describe_device(choose_device("cuda")).startswith("cuda:0 ")


class TestSeveralWorkers:
    def test_without_gpus_all_share_the_cpu(self):
        assert spread_over_devices("cpu", 3) == ["cpu"] * 3

    @pytest.mark.parametrize("requested", ["auto", "cuda"])
    def test_gpus_are_dealt_out_in_turns(self, monkeypatch, requested):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert spread_over_devices(requested, 3) == ["cuda:0", "cuda:1", "cuda:0"]
        assert spread_over_devices("cuda:1", 2) == ["cuda:1"] * 2
        assert spread_over_devices("cpu", 2) == ["cpu"] * 2


def test_settings_can_be_changed_and_compared():
    assert replace(TrainingSettings(), seed=1) != TrainingSettings()
    assert hash(TrainingSettings()) == hash(TrainingSettings())
