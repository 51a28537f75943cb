"""`atml data import`, `fetch` and `show` as a user types them, on to a bundle."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from atml.ecg.synthesis.heart import draw_heart
from atml.ecg.synthesis.recording import clock, record
from atml.ecg.synthesis.rhythms import RHYTHMS
from tests.conftest import ROOT
from tests.recordings import write_wfdb
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(find_spec("wfdb") is None, reason="pip install 'atml[formats]'")


def write_patients(folder, patients, seconds=40.0):
    """Write two records of each patient: sinus rhythm, then fibrillation, at 200 Hz."""
    import numpy as np
    from scipy.signal import resample_poly

    for patient in range(patients):
        rng = np.random.default_rng(patient)
        heart = draw_heart(rng)
        for part in (1, 2):
            halves = []
            for rhythm in ("N", "AFIB"):
                beats = RHYTHMS[rhythm](rng, heart, seconds / 2)
                times = clock(round(seconds / 2 * 250))
                whole = record(rng, heart, beats, times, fibrillating=rhythm == "AFIB")
                inside = whole[np.flatnonzero(times >= 0)[0] :][: round(seconds / 2 * 250)]
                halves.append(resample_poly(inside, 4, 5))
            write_wfdb(
                folder,
                f"data_{patient}_{part}",
                signal=np.concatenate(halves),
                rate_hz=200,
                rhythms=[(0, "(N"), (seconds / 2, "(AFIB")],
                leads=["I", "II"],
            )


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wfdb") / "db"
    write_patients(folder, 6)
    return folder


IMPORT = ["--lead", "II", "--subject", "data_([0-9]+)_"]


def test_recordings_go_through_a_search_to_a_bundle(db, tmp_path, call):
    done = call(tmp_path, "data", "import", db, "--out", "train", *IMPORT, "--positive", "AFIB,AFL")
    assert done.returncode == 0, done.stderr
    text = (ROOT / "studies" / "demo" / "joint.toml").read_text()
    for old, new in (
        ('["conv_gru", "dscnn", "optimized_afnet", "simple_resnet"]', '["linear"]'),
        ("sizes = [4_000, 12_000]", "sizes = [12_000]"),
        ("folds = 3", "folds = 2"),
        ("epochs = 8", "epochs = 1"),
        ("segments_per_epoch = 2048", "segments_per_epoch = 64"),
        ("trials = 24", "trials = 1"),
        ("candidates = 2", "candidates = 1"),
        ("seeds = 2", "seeds = 1"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "small.toml").write_text(text)
    arguments = ["--train", "train", "--spec", "small.toml", "--workers", 1, "--device", "cpu", "--json"]
    ran = call(tmp_path, "run", *arguments)
    assert ran.returncode == 0, ran.stderr
    bundle = tmp_path / json.loads(ran.stdout)["final"]["recommended"]
    assert (bundle / "model.onnx").is_file()
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["training_data"]["segments"] == 96  # 6 patients, 2 records, 2 rhythms of 20 s
    assert manifest["positive"] == ["AFIB", "AFL"]
    pooled = json.loads((bundle / "metrics.json").read_text())["out_of_fold"]["episodes"]["pooled"]
    assert (pooled["annotated_episodes"], pooled["annotated_seconds"]) == (12, 240)
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "Annotated: 12 episodes, 4.0 min" in card
    assert "AFIB and AFL together are the class to detect" in card
    assert "AFIB here stands for AFIB and AFL" in (bundle / "report.html").read_text()
    call(tmp_path, "data", "import", db, "--out", "afib", *IMPORT)
    evaluated = call(tmp_path, "evaluate", bundle, "--data", "afib")
    assert "by episode" in evaluated.stdout
    assert "trained to find AFIB+AFL; here AFIB is labelled AFIB" in " ".join(evaluated.stderr.split())
    for path in (tmp_path / "afib").glob("S[1-5]-*.txt"):  # others are left to train on
        path.unlink()
    again = call(tmp_path, "run", *arguments, "--test", "afib", "--name", "other")
    assert (again.returncode, again.stdout) == (1, "")
    assert "import both with the same --positive" in " ".join(again.stderr.split())


def test_import_says_who_is_who(db, tmp_path, call):
    done = call(tmp_path, "data", "import", db, "--out", "train", *IMPORT)
    assert "S0: '0', 2 records, 16 segments: data_0_1, data_0_2" in done.stdout.splitlines()
    assert "train: 96 segments of 6 subjects from 12 records (N 48, AFIB 48)" in done.stdout
    guessed = call(tmp_path, "data", "import", db, "--out", "guessed")
    assert "from 12 records" in guessed.stdout
    assert "12 subjects" in guessed.stdout
    assert "data_0_1, data_0_2 look like records of one" in " ".join(guessed.stderr.split())


def test_json_is_one_object(db, tmp_path, call):
    done = call(tmp_path, "data", "import", db, "--out", "train", *IMPORT, "--json")
    document = json.loads(done.stdout)
    assert (document["segments"], document["positive_segments"], document["directory"]) == (96, 48, "train")
    shown = json.loads(call(tmp_path, "data", "show", "train", "--json").stdout)
    assert {one["rhythm"]: one["segments"] for one in shown["rhythms"]} == {"N": 48, "AFIB": 48}


def test_show_prints_a_table_and_writes_a_page(db, tmp_path, call):
    call(tmp_path, "data", "import", db, "--out", "train", *IMPORT, "--licence", "CC0")
    (tmp_path / "train").rename(tmp_path / "train\udcff")  # a byte that is not UTF-8
    done = call(tmp_path, "data", "show", "train\udcff", "--html", "page.html", "--examples", 1)
    assert "train\udcff: 96 segments of 6 subjects, 1,250 samples" in done.stdout
    assert "licence: CC0" in done.stdout
    assert (tmp_path / "page.html").read_text().count('class="ecg"') == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["import", "nowhere", "--out", "out"], "nowhere does not exist"),
        (["import", "db", "--out", "out", "--lead", "aVR"], "data_0_1: has no channel aVR, but 0 I, 1 II"),
        (["fetch", "mitdb", "--out", "out"], "no database mitdb; there are afdb, ltafdb, cpsc2021"),
        (["fetch", "afdb", "--out", "out", "--from", "http://127.0.0.1:9"], "check the network connection"),
        (["show", "nowhere"], "nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_message(db, tmp_path, call, arguments, text):
    (tmp_path / "db").symlink_to(db)
    done = call(tmp_path, "data", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in " ".join(done.stderr.split())
    assert not list(tmp_path.glob(".*"))


def test_wrong_usage_is_told(tmp_path, call):
    assert call(tmp_path, "data", "import", "x", "--out", "y", "--columns", "ecg").returncode == 2


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    write_patients(tmp_path / "db", 1, seconds=20)
    for copy in range(3000):  # many seconds of work, so that the signal finds the command at work
        for ending in ("hea", "dat", "atr"):
            text = (tmp_path / "db" / f"data_0_1.{ending}").read_bytes()
            (tmp_path / "db" / f"x{copy}.{ending}").write_bytes(text.replace(b"data_0_1 ", b"x%d " % copy))
        header = tmp_path / "db" / f"x{copy}.hea"
        header.write_text(header.read_text().replace("data_0_1.dat", f"x{copy}.dat"))
    process = subprocess.Popen(
        [sys.executable, "-m", "atml", "data", "import", "db", "--out", "out"],
        cwd=tmp_path,
        # A background job ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    due = time.monotonic() + PATIENCE_SECONDS
    while not list(tmp_path.glob(".out.*/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < due
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize("command", ["import", "fetch", "show"])
def test_help_shows_an_example(command, tmp_path, call):
    assert (
        f"atml data {command} " in call(tmp_path, "data", command, "--help").stdout.partition("Example:")[2]
    )


COMMANDS = [
    line.removeprefix("$ ").partition("  #")[0]
    for name in ("README.md", "docs/data.md")
    for line in (ROOT / name).read_text().splitlines()
    if re.match(r"\$ atml data (import|fetch|show) ", line)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_names_options_that_there_are(command, tmp_path, call):
    verb, *arguments = shlex.split(command)[2:]
    known = call(tmp_path, "data", verb, "--help").stdout
    assert [one for one in arguments if one.startswith("--") and one not in known] == []
