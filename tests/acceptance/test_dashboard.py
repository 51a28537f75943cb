"""`atml dashboard` in a real browser, on a phase 2 study that was really trained."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.artifacts import get_all_artifact_meta, upload_artifact
from optuna.storages import RDBStorage
from playwright.sync_api import expect, sync_playwright

from atml.dashboard.picture import WIDTH
from atml.service.artifacts import open_artifacts
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.phases import parse_spec
from atml.tuning.ranking import contenders, front
from tests.inprocess import work_here
from tests.waiting import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
USER, PASSWORD = "anna", "secret"
FRONT = "document.getElementById('graph-pareto-front')"


def pareto_front(trials):
    return [one.trial for one in front(contenders(trials))]


pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")


class Shown:
    """A folder with a finished phase 2, and what is stored of it."""

    def __init__(self, folder: Path, storage: RDBStorage, study) -> None:
        self.folder, self.storage, self.study = folder, storage, study

    def contents(self):
        """Return everything that a dashboard could change: the studies with their trials, and the files."""
        trials = self.storage.get_all_trials(self.study._study_id)
        kept = (self.folder / "artifacts").rglob("*")
        files = {path: path.read_bytes() for path in kept if path.is_file()}
        names = [(one.study_name, one.user_attrs, one.system_attrs) for one in self.storage.get_all_studies()]
        return names, trials, files

    def artifact(self, trial, name):
        metas = get_all_artifact_meta(trial, storage=self.storage)
        (found,) = [meta for meta in metas if meta.filename == name]
        return found.artifact_id, (self.folder / "artifacts" / found.artifact_id).read_bytes()


@pytest.fixture(scope="module")
def shown(tmp_path_factory, simulated, dataset):
    document = {
        "phase": "width",
        "name": "heart-phase2",
        "base": {"architectures": ["optimized_afnet", "linear"]},
        "search": {
            "sizes": [4_000, 6_000, 12_000],
            "shapes": [1.0],
            "learning_rate": {"low": 0.02, "high": 0.06, "steps": 2},
        },
        "data": {"train": str(simulated), "folds": 2},
        "training": {
            "epochs": 25,
            "segments_per_epoch": 160,
            "batch_size": 64,
            "augmentation": {"probability": 0.0},
        },
        "pruning": {"neighbourhood": {"threshold": 0.0}, "race_chance": 0.0, "startup_trials": 99},
        "targets": {"fbeta": 0.99, "onnx_bytes": 4000},
        "budget": {"trials": 5},
    }
    folder = tmp_path_factory.mktemp("shown")
    storage = open_storage(f"sqlite:///{folder / 'atml.db'}")
    stored = create_or_resume(storage, parse_spec(document, source="test"), dataset)
    artifacts = folder / "artifacts"
    work_here(storage, stored, artifacts)
    yield Shown(folder, storage, stored.study)
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def serve(shown):
    """Start `atml dashboard` on a free port and return its URL; end it as Ctrl-C does."""
    processes = []

    def serve(*arguments, auth=None):
        environment = {**os.environ, **({"ATML_DASHBOARD_AUTH": auth} if auth else {})}
        process = subprocess.Popen(
            [sys.executable, "-m", "atml", "dashboard", "--port", "0", *arguments],
            cwd=shown.folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        processes.append(process)
        line = process.stderr.readline()
        found = re.search(r"http://\S+:\d+/", line)
        assert found, line + process.stderr.read()
        return found[0].replace("0.0.0.0", "127.0.0.1")

    yield serve
    for process in processes:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, said) == (0, "")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open a page in a fresh window; what it complains about on its console fails the test."""
    windows, complaints = [], []

    def open_page(*, heed_complaints=True, **options):
        window = browser.new_context(viewport={"width": 1500, "height": 1000}, **options)
        window.set_default_timeout(PATIENCE_MS)
        windows.append(window)
        page = window.new_page()
        if heed_complaints:
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for window in windows:
        for page in window.pages:
            page.screenshot(path=tmp_path / "last-seen.png")
        window.close()
    assert complaints == []


def test_the_study_opens_and_its_front_is_drawn(serve, open_page, shown, tmp_path):
    expected = {(records.fbeta(one), records.onnx_bytes(one)) for one in pareto_front(shown.study.trials)}
    assert len(expected) > 1
    page = open_page()
    page.goto(serve() + "dashboard")
    page.get_by_text("heart-phase2").click()
    expect(page.get_by_text("Pareto Front")).to_be_visible()
    page.wait_for_function(f"{FRONT}?.data?.some(trace => trace.x?.length)")
    traces = page.evaluate(f"{FRONT}.data.map(trace => Array.from(trace.x, (x, i) => [x, trace.y[i]]))")
    best = {(round(fbeta, 6), size) for fbeta, size in traces[-1]}
    assert best == {(round(fbeta, 6), size) for fbeta, size in expected}
    assert sum(map(len, traces)) == 5
    page.wait_for_function(f"{FRONT}.querySelectorAll('.scatterlayer .point').length >= 5")
    titles = f"['::after', '::before'].map(which => getComputedStyle({FRONT}, which).content)"
    assert page.evaluate(titles) == ['"fbeta"', '"onnx_bytes"']
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="onnx_bytes").click()
    page.wait_for_function(f"{titles}[0] == '\"onnx_bytes\"'")
    page.screenshot(path=tmp_path / "front.png")


def test_the_note_answers_whether_the_targets_are_met_and_lists_the_front(serve, open_page, shown, tmp_path):
    page = open_page()
    page.goto(f"{serve()}dashboard/studies/{shown.study._study_id}/note")
    expect(page.get_by_text("Targets missed in the search (F-beta ≥ 0.99, ONNX ≤ 4.0 KB)")).to_be_visible()
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(len(pareto_front(shown.study.trials)))
    page.screenshot(path=tmp_path / "note.png")


def test_a_model_downloads_byte_for_byte_and_the_picture_is_shown(serve, open_page, shown, tmp_path):
    trial = pareto_front(shown.study.trials)[0]
    _, stored = shown.artifact(trial, "model.onnx")
    page = open_page()
    page.goto(f"{serve()}dashboard/studies/{shown.study._study_id}/trials?numbers={trial.number}")
    expect(page.locator("img[alt='trial.png']")).to_be_visible()
    page.wait_for_function(f"document.querySelector(`img[alt='trial.png']`).naturalWidth == {WIDTH}")
    with page.expect_download() as waiting:
        page.locator("a[download='model.onnx']").click()
    assert waiting.value.suggested_filename == "model.onnx"
    assert Path(waiting.value.path()).read_bytes() == stored
    assert len(stored) == records.onnx_bytes(trial)
    page.screenshot(path=tmp_path / "trial.png", full_page=True)


def test_the_table_has_a_column_for_each_figure(serve, open_page, shown, tmp_path):
    page = open_page()
    page.goto(f"{serve()}dashboard/studies/{shown.study._study_id}/smartSelection")
    for name in records.COLUMNS:
        expect(
            page.get_by_role("columnheader", name=re.compile(rf"UserAttribute\s+{name}\b"))
        ).to_be_attached()
    page.screenshot(path=tmp_path / "table.png")


def test_an_html_artifact_is_downloaded_and_never_run(serve, open_page, shown, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<script>document.title = 'run'</script>")
    store = open_artifacts(shown.folder / "artifacts")
    kept = upload_artifact(study_or_trial=shown.study, file_path=str(path), artifact_store=store)
    page = open_page()
    page.goto(serve() + "dashboard")
    with page.expect_download() as waiting:
        page.evaluate(f"location.href = '/artifacts/{shown.study._study_id}/{kept}'")
    assert Path(waiting.value.path()).read_bytes() == path.read_bytes()
    assert page.title() != "run"


def test_without_credentials_nothing_is_shown_with_them_everything(serve, open_page, shown):
    url = serve("--host", "0.0.0.0", auth=f"{USER}:{PASSWORD}")
    stranger = open_page(heed_complaints=False)
    for path in ("", "dashboard", "api/studies", "static/bundle.js"):
        assert stranger.request.get(url + path).status == 401
    guesser = open_page(heed_complaints=False, http_credentials={"username": USER, "password": "guess"})
    assert guesser.goto(url + "dashboard").status == 401
    assert "heart-phase2" not in guesser.content()
    user = open_page(http_credentials={"username": USER, "password": PASSWORD})
    assert user.goto(url + "dashboard").status == 200
    expect(user.get_by_text("heart-phase2")).to_be_visible()


def test_another_address_without_credentials_is_refused_and_told_how(shown):
    done = subprocess.run(
        [sys.executable, "-m", "atml", "dashboard", "--host", "0.0.0.0", "--port", "0"],
        cwd=shown.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "set ATML_DASHBOARD_AUTH=user:password" in done.stderr
    assert "Traceback" not in done.stderr


def test_read_only_refuses_a_delete_and_nothing_changes(serve, open_page, shown, tmp_path):
    before = shown.contents()
    page = open_page()
    url = serve("--read-only")
    page.goto(url + "dashboard")
    assert page.request.delete(f"{url}api/studies/{shown.study._study_id}").status == 403
    page.reload()
    expect(page.get_by_text("heart-phase2")).to_be_visible()
    assert shown.contents() == before


@pytest.mark.parametrize("width", [1500, 390], ids=["wide", "phone"])
def test_read_only_says_so_and_has_no_button_that_it_would_refuse(serve, open_page, shown, tmp_path, width):
    study = f"dashboard/studies/{shown.study._study_id}"
    trial = f"{study}/trials?numbers={shown.study.best_trials[0].number}"
    icons = '[data-testid="AddBoxIcon"], [data-testid="EditIcon"]'
    refused = f'{icons}, [aria-label$="study"], input[type="file"]'
    places = {"dashboard": "heart-phase2", f"{study}/note": "Nearest", trial: "Artifacts"}
    urls = {"writable": serve(), "read-only": serve("--read-only")}
    seen = dict.fromkeys(urls, 0)
    for kind, url in urls.items():
        page = open_page()
        page.set_viewport_size({"width": width, "height": 900})
        for place, landmark in places.items():
            page.goto(url + place)
            expect(page.get_by_text(landmark).first).to_be_visible()
            # The input of an upload is hidden itself; its card is what people see.
            shown_box = "(e.type == 'file' ? e.closest('.MuiCard-root') : e).checkVisibility()"
            found = f"[...document.querySelectorAll(`{refused}`)].filter(e => {shown_box})"
            seen[kind] += page.evaluate(f"{found}.length")
            banner = page.evaluate("getComputedStyle(document.body, '::after').content")
            assert ("Read-only" in banner) is (kind == "read-only")
            assert page.evaluate("document.documentElement.scrollWidth") <= max(width, 500)
            page.screenshot(path=tmp_path / f"{kind}-{width}.png")
    assert seen["read-only"] == 0
    assert seen["writable"] > 0
