import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from atml.errors import SpecChanged
from atml.models import get_architecture
from atml.reports import fits
from atml.reports.fits import FitJob, run_fits, stored_fits
from atml.tuning.proposal import Proposal


def proposal(name="linear", learning_rate=0.01):
    architecture = get_architecture(name)
    return Proposal(architecture=architecture, config=architecture.default(), learning_rate=learning_rate)


@pytest.fixture
def key(make_phase1):
    """Return the name under which a fit is kept; keyword arguments change what is fitted."""

    def key(*, fingerprint="f" * 64, fold=0, seed=1, name="linear", learning_rate=0.01, **changes):
        what = proposal(name, learning_rate)
        return FitJob(make_phase1(**changes), fingerprint, what, fold=fold, seed=seed).key

    return key


def test_the_same_fit_has_the_same_key(key):
    assert key() == key()


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "0" * 64},
        {"fold": 1},
        {"fold": None},
        {"seed": 2},
        {"name": "conv_gru"},
        {"learning_rate": 0.02},
        {"training": {"epochs": 9}},
        {"data": {"folds": 3}},
        {"data": {"seed": 5}},
        {"data": {"exclude_subjects": ["S3"]}},
    ],
)
def test_another_fit_has_another_key(key, change):
    assert key(**change) != key()


def test_another_version_has_another_key(key, monkeypatch):
    before = key()
    monkeypatch.setattr(fits, "__version__", "999")
    assert key() != before


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"train": "/elsewhere"}},
        {"budget": {"trials": 99}},
        {"targets": {"fbeta": 0.9}},
    ],
)
def test_neither_the_directory_nor_what_ends_a_search_changes_the_key(key, change):
    assert key(**change) == key()


def test_a_plug_in_s_lambda_can_be_sent_to_another_process(make_phase1):
    linear = get_architecture("linear")
    custom = replace(linear, network=lambda config, length: linear.network(config, length))
    what = Proposal(architecture=custom, config=custom.default(), learning_rate=0.01)
    sent = pickle.loads(pickle.dumps(FitJob(make_phase1(), "f", what, fold=0, seed=1)))
    assert sent.proposal == proposal()  # its name is looked up there
    assert sent.phase == make_phase1()


def test_the_name_of_the_study_is_no_part_of_the_key(make_phase1):
    keys = {FitJob(make_phase1(name=name), "f", proposal(), fold=0, seed=1).key for name in ("a", "b")}
    assert len(keys) == 1


def test_a_fit_that_is_kept_is_not_done_again(make_phase1, dataset, tmp_path):
    phase = make_phase1(training={"epochs": 1, "segments_per_epoch": 64})
    jobs = [FitJob(phase, dataset.fingerprint, proposal(), fold=fold, seed=1) for fold in (0, None)]
    told = []
    first = run_fits(
        jobs, tmp_path, workers=1, device="cpu", on_done=lambda done, total: told.append((done, total))
    )
    assert told == [(0, 2), (1, 2), (2, 2)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_fits(
        jobs, tmp_path, workers=1, device="cpu", on_done=lambda done, total: told.append((done, total))
    )
    assert told[3:] == [(2, 2)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.valid_scores, other.valid_scores)
    # Without a fold nothing is held out.
    assert (len(first[0].valid_rows), len(first[1].valid_rows)) == (len(first[0].valid_scores), 0)
    assert 0 < len(first[0].valid_rows) < len(dataset)


def test_shipped_models_are_trained_as_finalize_says(make_phase1):
    phase = make_phase1(training={"epochs": 3, "simulated": 0.1})
    assert (phase.final_training.epochs, phase.final_training.simulated) == (3, 0.1)
    other = make_phase1(training={"epochs": 3, "simulated": 0.1}, finalize={"epochs": 7, "simulated": 0.0})
    one = FitJob(other, "", proposal("linear"), fold=0, seed=1)
    assert (one.spec.training.epochs, one.spec.training.simulated) == (7, 0.0)
    assert one.key != FitJob(phase, "", proposal("linear"), fold=0, seed=1).key


def test_a_fit_that_diverges_is_none_and_not_tried_again(make_phase1, dataset, tmp_path):
    phase = make_phase1(training={"epochs": 1, "segments_per_epoch": 64})
    one = FitJob(phase, dataset.fingerprint, proposal("optimized_afnet", learning_rate=1e30), fold=0, seed=1)
    assert run_fits([one], tmp_path, workers=1, device="cpu") == [None]
    (path,) = tmp_path.glob("*.pt")
    before = path.stat().st_mtime_ns
    assert run_fits([one], tmp_path, workers=1, device="cpu") == [None]
    assert path.stat().st_mtime_ns == before
    assert stored_fits([one], tmp_path) is None


ENDLESS = """
import sys
from pathlib import Path
from atml.ecg import load_dataset
from atml.errors import AtmlError
from atml.models import get_architecture
from atml.tuning.phases import parse_spec
from atml.tuning.proposal import Proposal
from atml.reports.fits import FitJob, run_fits

training = {"epochs": 1_000_000, "segments_per_epoch": 64}
document = {"phase": "joint", "name": "a", "data": {"train": sys.argv[1], "folds": 2}, "training": training}
linear = get_architecture("linear")
what = Proposal(architecture=linear, config=linear.default(), learning_rate=0.01)
try:
    fingerprint = load_dataset(Path(sys.argv[1])).fingerprint
    one = FitJob(parse_spec(document, source="test"), fingerprint, what, fold=0, seed=1)
    run_fits([one], Path(sys.argv[2]), workers=1, device="cpu")
except KeyboardInterrupt:
    sys.exit("interrupted")
except AtmlError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def endless(simulated, tmp_path):
    """A process that fits for ever, and its children that do so."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(simulated), str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    parent, fitting = psutil.Process(process.pid), []
    while not fitting:
        assert process.poll() is None
        time.sleep(0.01)
        fitting = [one for one in parent.children() if "spawn_main" in " ".join(one.cmdline())]
    yield process, fitting
    process.kill()


def test_a_damaged_result_is_made_again(make_phase1, dataset, tmp_path):
    phase = make_phase1(training={"epochs": 1, "segments_per_epoch": 64})
    one = FitJob(phase, dataset.fingerprint, proposal("linear"), fold=0, seed=1)
    (before,) = run_fits([one], tmp_path, workers=1, device="cpu")
    path = tmp_path / f"{one.key}.pt"
    for damaged in (b"", b"garbage", path.read_bytes()[:900]):
        path.write_bytes(damaged)
        assert stored_fits([one], tmp_path) is None
    (after,) = run_fits([one], tmp_path, workers=1, device="cpu")
    assert np.array_equal(after.valid_scores, before.valid_scores)


def test_data_that_changed_meanwhile_is_named_and_nothing_is_kept(make_phase1, tmp_path):
    one = FitJob(make_phase1(), "0" * 64, proposal("linear"), fold=0, seed=1)
    with pytest.raises(SpecChanged, match="was changed during the training"):
        run_fits([one], tmp_path, workers=1, device="cpu")
    assert list(tmp_path.glob("*.pt")) == []


def test_a_process_that_the_system_kills_is_told_in_a_sentence(endless):
    process, fitting = endless
    fitting[0].kill()
    _, said = process.communicate()
    assert said.startswith("a training process was killed, probably because memory ran out, or could not")


def test_a_script_without_a_main_guard_is_told_so(simulated, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ENDLESS)
    arguments = [sys.executable, script, str(simulated), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith(
        "a training process was killed, probably because memory ran out, or could not start"
    )
    assert told.endswith('to call ATML below the line: if __name__ == "__main__":')


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_its_processes_end_with_it_and_on_ctrl_c_say_nothing(endless, ending):
    process, fitting = endless
    if ending == signal.SIGINT:  # as the terminal sends it, and as early as it can come
        os.killpg(process.pid, ending)
    else:
        process.kill()
    _, said = process.communicate()
    assert ending == signal.SIGKILL or said == "interrupted\n"
    psutil.wait_procs(fitting, timeout=250)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in fitting)
