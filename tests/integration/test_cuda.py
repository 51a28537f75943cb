"""What runs on a GPU, where there is one: training and export of every architecture, and a whole run."""

import numpy as np
import pytest
import torch

from atml import load_bundle, run
from atml.ecg import load_dataset, simulate
from atml.models import ARCHITECTURES, get_architecture
from atml.service.watch import Watch
from atml.training import TrainingSettings, WithoutValidation, predict, train
from atml.tuning.fit import Trainer
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import onnx_metadata

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.timeout(300),
    # PyTorch warns when it makes its CUDA context, and about a harmless wait between two streams.
    pytest.mark.filterwarnings("default::UserWarning", "default::DeprecationWarning"),
]
CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
SETTINGS = TrainingSettings(learning_rate=0.01, epochs=3, batch_size=64, segments_per_epoch=512)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cuda")
    simulate(directory, subjects=8, segments_per_subject=40, seed=1)
    return load_dataset(directory, workers=1)


def proposal_of(name):
    architecture = get_architecture(name)
    return Proposal(architecture=architecture, config=architecture.default(), learning_rate=0.01)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_trained_on_a_gpu_gives_the_same_scores_there_and_as_onnx(
    name, make_phase1, segments
):
    phase = make_phase1(search={"architectures": [name]})
    fit = Trainer(phase, segments, CUDA).fold(proposal_of(name), 0)
    points = [epoch.point for epoch in fit.epochs()]
    on_gpu = fit.scores()
    fit.onnx(onnx_metadata(proposal_of(name)))  # raises an error if the file computes anything else
    on_cpu = predict(fit.network, fit.split.valid, device=CPU)
    assert all(np.isfinite([point.train_loss, point.valid_loss]).all() for point in points)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=2e-3)


def test_a_training_continues_from_its_state(segments):
    def start(resume=None):
        network = proposal_of("simple_resnet").build(segments.segment_length, seed=0)
        return train(network, WithoutValidation(train=segments), SETTINGS, device=CUDA, resume=resume)

    epochs = start()
    next(epochs)
    state = next(epochs).state()
    whole = next(epochs).train_loss
    (resumed,) = start(state)
    assert resumed.index == 2
    assert resumed.train_loss == pytest.approx(whole, rel=0.05)  # sums on a GPU are not bit-exact


def test_the_global_random_states_are_not_touched(segments):
    torch.cuda.manual_seed(3)
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    network = proposal_of("simple_cnn").build(segments.segment_length, seed=0)
    for _ in train(network, WithoutValidation(train=segments), SETTINGS, device=CUDA):
        pass
    assert torch.equal(before[0], torch.get_rng_state())
    assert torch.equal(before[1], torch.cuda.get_rng_state())


def test_a_run_uses_the_gpu_by_itself_and_ends_with_bundles(
    phase1_document, simulated, simulated_test, tmp_path
):
    said = []
    watch = Watch()
    watch.say = said.append
    done = run(
        simulated,
        simulated_test,
        specs=({**phase1_document, "phase": "joint"},),
        storage=f"sqlite:///{tmp_path / 'atml.db'}",
        artifacts=str(tmp_path / "artifacts"),
        out=tmp_path / "bundles",
        workers=2,
        watch=watch,
    )
    assert any("on cuda:0 " in text for text in said), said
    assert load_bundle(done.final.recommended.bundle).classifier is not None
