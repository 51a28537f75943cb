import pytest
import torch

from atml.training import TrainingState
from atml.tuning import checkpoints
from atml.tuning.checkpoints import Checkpoint, Checkpoints
from atml.tuning.records import CurvePoint


@pytest.fixture
def kept(tmp_path):
    """A folder in which a checkpoint of trial 3 is kept."""
    state = TrainingState(epochs=1, content={"model": {"w": torch.ones(2)}})
    point = CurvePoint(fold=1, train_loss=0.5, valid_loss=0.4, fbeta=0.9, seconds=1.0)
    folder = Checkpoints(tmp_path)
    folder.save(3, Checkpoint(of="this", fold=1, state=state, curve=[point]))
    return folder


def test_that_of_another_training_is_ignored(kept):
    assert kept.load(3, "other") is None


def rewrite(kept, **changes):
    path = kept.folder / "3.pt"
    torch.save(torch.load(path) | changes, path)


def test_what_is_kept_is_loaded(kept):
    found = kept.load(3, "this")
    assert (found.fold, found.state.epochs, found.curve[0].fbeta) == (1, 1, 0.9)
    assert torch.equal(found.state.content["model"]["w"], torch.ones(2))
    kept.drop(3)
    assert kept.load(3, "this") is None


@pytest.mark.parametrize("versions", [["0.0.1", str(torch.__version__)], [checkpoints.__version__, "1.0"]])
def test_that_of_another_version_is_ignored(kept, versions):
    rewrite(kept, versions=versions)
    assert kept.load(3, "this") is None


class Unknown:
    """A class that a checkpoint may not hold."""


@pytest.mark.parametrize(
    "changes", [{"state": b"no state"}, {"curve": [[1]]}, {"curve": 7}, {"state": None}, {"fold": Unknown()}]
)
def test_a_damaged_one_is_ignored(kept, changes):
    rewrite(kept, **changes)
    assert kept.load(3, "this") is None


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02cos\nsystem\n."])
def test_a_file_that_is_none_is_ignored(kept, content):
    (kept.folder / "3.pt").write_bytes(content)
    assert kept.load(3, "this") is None


def test_one_without_its_versions_is_ignored(kept):
    content = torch.load(kept.folder / "3.pt")
    del content["versions"]
    torch.save(content, kept.folder / "3.pt")
    assert kept.load(3, "this") is None
