from pathlib import Path

import pytest

from atml.cli.session import open_study
from atml.ecg import load_dataset, simulate
from atml.errors import SpecError
from atml.service.studies import study_names


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Segments of 40 samples."""
    directory: Path = tmp_path_factory.mktemp("short") / "train"
    simulate(directory, subjects=6, segments_per_subject=4, seed=1, segment_length=40)
    return load_dataset(directory, workers=1)


def test_architectures_for_which_the_segments_are_too_short_are_named_once_and_never_tried(
    storage, short, make_phase1, capsys
):
    phase = make_phase1(search={"architectures": ["linear", "afnet", "simple_cnn", "optimized_afnet"]})
    stored = open_study(storage, phase, short, extend=False)
    said = "first: left out afnet, simple_cnn: segments of 40 samples are too short"
    assert capsys.readouterr().err.splitlines() == [said]
    assert stored.phase.search.architectures == ("linear", "optimized_afnet")
    queued = [trial.system_attrs["fixed_params"] for trial in stored.study.trials]
    assert [point["architecture"] for point in queued] == ["linear", "optimized_afnet"]
    # The same spec takes the study up again.
    assert open_study(storage, phase, short, extend=False).phase == stored.phase


def test_nothing_is_said_where_all_fit(storage, short, make_phase1, capsys):
    open_study(storage, make_phase1(), short, extend=False)
    assert capsys.readouterr().err == ""


def test_a_study_without_a_fitting_architecture_is_not_created(storage, short, make_phase1, make_phase2):
    base = {"architecture": "afnet", "learning_rate": 0.01}
    for phase in (make_phase1(search={"architectures": ["afnet"]}), make_phase2(base=base)):
        with pytest.raises(SpecError, match="at least 98 samples"):
            open_study(storage, phase, short, extend=False)
    assert study_names(storage) == []
