"""`atml report` of a study that was really searched and finalized, read in a real browser."""

import json
import math
import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
from optuna.trial import TrialState
from playwright.sync_api import sync_playwright

import atml
from atml.ecg import load_dataset
from atml.errors import ModelError
from atml.evaluation import ScoreCurves, score_curves, trade_off
from atml.reports import fits
from atml.reports.finalize import finalize
from atml.reports.html.answer import answer
from atml.reports.html.model_part import model_part
from atml.reports.html.page import contents, render
from atml.reports.html.study_part import study_part
from atml.reports.html.words import disturbance
from atml.reports.looks import looks
from atml.reports.model_card import card_of
from atml.reports.scored import Scored, stored_scores
from atml.service.launcher import WorkerPlan
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.phases import parse_spec
from atml.tuning.ranking import contenders, front
from tests.acceptance.test_dashboard import CHROMIUM, FLAGS
from tests.databases import close
from tests.inprocess import work_here

PHONE, WIDE = {"width": 390, "height": 800}, {"width": 1280, "height": 900}
ODD = "<script>document.title = 'run'</script> & more"
SECTIONS = {
    "models",
    "front",
    "architectures",
    "rates",
    "curves",
    "ended",
    "subjects",
    "rhythms",
    "episodes",
    "scores",
    "device",
    "robustness",
    "cost",
    "looks",
    "again",
}
OF_A_MODEL = {"models", "subjects", "rhythms", "episodes", "scores", "device", "robustness", "looks", "again"}


class InThisProcess(ThreadPoolExecutor):
    """In place of spawned processes."""

    def __init__(self, workers, mp_context, initializer, initargs):
        super().__init__(1)
        self._processes = {}


class Shipped:
    """A folder with a finished study, its bundle, and what to tell `atml report` about them."""

    def __init__(self, folder, stored, dataset, final):
        self.folder, self.stored, self.dataset, self.final = folder, stored, dataset, final
        self.bundle = final.recommended.bundle
        self.places = {
            "storage": f"sqlite:///{folder / 'atml.db'}",
            "artifacts": str(folder / "artifacts"),
            "results": folder / "results",
        }
        self.options = [f"--{name}={place}" for name, place in self.places.items()]

    @property
    def manifest(self):
        return json.loads((self.bundle / "manifest.json").read_text())

    @property
    def figures(self):
        return json.loads((self.bundle / "metrics.json").read_text())

    def part(self, *, manifest=None, figures=None):
        """What is said about the model, or about one with other facts or figures."""
        facts, measured = manifest or self.manifest, figures or self.figures
        length = self.dataset.segment_length
        return model_part(facts, measured, name=self.bundle.name, segment_length=length)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, simulated, simulated_test, dataset):
    folder = tmp_path_factory.mktemp("shipped")
    document = {
        "phase": "joint",
        "name": "heart",
        "data": {"train": str(simulated), "folds": 2},
        "search": {
            "architectures": ["linear", "optimized_afnet"],
            "sizes": [4_000, 12_000],
            "learning_rate": {"low": 1e-2, "high": 1e-1, "steps": 3},
        },
        "training": {"epochs": 3, "batch_size": 32, "segments_per_epoch": 128},
        "pruning": {"neighbourhood": {"threshold": 0.6}, "race_chance": 0.0, "startup_trials": 99},
        "targets": {"fbeta": 0.1, "onnx_bytes": 100, "robust_fbeta": 0.05, "stop": False},
        "budget": {"trials": 4},
        "finalize": {"candidates": 2, "seeds": 1, "sizes": [4_000, 12_000]},
    }
    storage = open_storage(f"sqlite:///{folder / 'atml.db'}")
    stored = create_or_resume(storage, parse_spec(document, source="test"), dataset)
    work_here(storage, stored, folder / "artifacts")
    trial = stored.study.ask()
    trial.set_user_attr(records.PRUNED_BY, records.PrunedBy.ERROR.value)
    trial.set_user_attr(records.PRUNED_BECAUSE, ODD)
    stored.study.tell(trial, state=TrialState.PRUNED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits, "ProcessPoolExecutor", InThisProcess)
        final = finalize(
            stored,
            WorkerPlan(storage="", artifacts=folder / "artifacts", workers=1, device="cpu"),
            test=load_dataset(simulated_test, workers=1),
            out=folder / "results",
        )
    yield Shipped(folder, stored, dataset, final)
    close(storage)


@pytest.fixture(scope="module")
def page_of_study(shipped):
    """The report of the study, with everything."""
    return atml.report("heart", **shipped.places, out=shipped.folder / "study.html")


@pytest.fixture
def card(shipped):
    return card_of(shipped.part())


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def read(browser):
    """Open a file; complaints on the console and requests to anywhere else fail the test."""
    windows, complaints, requests = [], [], []

    def read(path, viewport=WIDE, **options):
        window = browser.new_context(viewport=viewport, **options)
        windows.append(window)
        page = window.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        requests.remove(path.as_uri())
        return page

    yield read
    for window in windows:
        window.close()
    assert complaints == []
    assert requests == []


def sections(html):
    return set(re.findall(r'<h2 id="(\w+)"', html))


class TestInABrowser:
    @pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
    def test_it_fits_its_window_and_asks_nobody(self, read, page_of_study, viewport):
        page = read(page_of_study, viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert "ATML report: study heart" in page.title()  # so the odd script did not run

    def test_landmarks_and_headings_are_in_order(self, read, page_of_study):
        page = read(page_of_study)
        for role in ("banner", "navigation", "main", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(one => +one.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids))
        targets = page.evaluate("[...document.querySelectorAll('nav a')].map(one => one.hash.slice(1))")
        assert set(targets) == SECTIONS

    def test_every_picture_says_what_it_shows(self, read, page_of_study):
        page = read(page_of_study)
        silent = "svg:not([aria-hidden]):not([aria-label])"
        assert page.locator(silent).count() == 0
        assert page.locator("svg[aria-label]").count() > 5

    def test_the_keyboard_reaches_the_content_and_the_front(self, read, page_of_study, shipped):
        page = read(page_of_study)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#main"
        best = front(contenders(shipped.stored.study.get_trials(deepcopy=False)))
        links = page.locator("#front ~ figure a")
        assert links.count() == len(best)
        links.first.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == f"#trial-{best[0].trial.number}"
        assert page.locator("tr:target").count() == 1

    def test_dark_differs_from_light_and_print_is_light(self, read, page_of_study):
        page = read(page_of_study, color_scheme="dark")
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour)
        page.emulate_media(color_scheme="light")
        light = page.evaluate(colour)
        assert dark != light == "rgb(255, 255, 255)"
        page.emulate_media(color_scheme="dark", media="print")
        assert page.evaluate(colour) == light
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")

    def test_on_paper_a_second_of_ecg_is_25_millimetres(self, read, page_of_study, shipped):
        page = read(page_of_study)
        page.emulate_media(media="print")
        width = page.locator("svg.ecg").first.evaluate("one => one.getBoundingClientRect().width")
        millimetres = 10 + 25 * shipped.dataset.segment_length / 250  # the pulse and the trace
        assert width == pytest.approx(millimetres * 96 / 25.4, abs=1)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_texts_have_enough_contrast(self, read, page_of_study, scheme):
        page = read(page_of_study, color_scheme=scheme)
        names = ("--ink", "--soft", "--a", "--b", "--c", "--paper", "--on-a", "--on-b")
        found = page.evaluate(
            "names => names.map(name => {const one = document.createElement('i');"
            "one.style.color = `var(${name})`; document.body.append(one);"
            "return getComputedStyle(one).color.match(/[\\d.]+/g).map(Number)})",
            list(names),
        )
        colour = dict(zip(names, found, strict=True))
        for name in names[:5]:
            assert contrast(colour[name], colour["--paper"]) >= 4.5, name
        assert contrast(colour["--on-a"], colour["--a"]) >= 4.5
        assert contrast(colour["--on-b"], colour["--b"]) >= 4.5


def contrast(one, other):
    """Return the contrast ratio of WCAG 2.2."""

    def luminance(rgb):
        parts = [c / 255 for c in rgb[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class TestContents:
    def test_the_study_is_reported_in_full(self, page_of_study, shipped):
        html = page_of_study.read_text()
        assert sections(html) == SECTIONS
        figures = shipped.figures
        assert f"{figures['folds_fbeta']:.3f}" in html
        assert 'class="met">F2 at least 0.1' in html
        assert 'class="missed">ONNX file at most 100 bytes' in html
        assert 'class="met">F2 under disturbances at least 0.05' in html
        assert f"Judged by {shipped.bundle.name}, whose F2 here is the mean over all folds." in html
        assert "models were selected by both, so both are biased upwards" in html
        trials = shipped.stored.study.get_trials(deepcopy=False)
        assert f"{len(records.trained(trials))} trained" in html
        assert shipped.stored.data.fingerprint in html
        for one in figures["out_of_fold"]["per_subject"]:
            assert f">{one['subject']}</th>" in html
        for one in figures["robustness"]["disturbed"]:
            assert f">{disturbance(one['disturbance'])}{' (severe)' if one['severe'] else ''}</th>" in html
        assert f"evaluated on other segments {len(looks(shipped.stored.study))} time" in html

    def test_what_a_trial_recorded_is_text_and_not_markup(self, page_of_study):
        html = page_of_study.read_text()
        assert "<script" not in html
        assert "&lt;script&gt;document.title" in html

    def test_no_path_of_this_machine_is_in_it(self, page_of_study, shipped):
        assert str(shipped.folder.parent) not in page_of_study.read_text()

    def test_the_worst_subject_comes_first(self, page_of_study, shipped):
        def worth(one):
            recall = one["recall"] if one["afib_segments"] else 1
            return min(recall, 1 if one["specificity"] is None else one["specificity"])

        test = shipped.figures["test"]["per_subject"]
        worst = min(worth(one) for one in test)
        html = page_of_study.read_text()
        table = html[html.index('id="subjects"') :]
        first = re.search(r'scope="row" class="l">(S\d+)<', table)[1]
        assert worth(next(one for one in test if one["subject"] == first)) == worst

    def test_without_traces_no_ecg_is_in_it(self, shipped, tmp_path):
        path = atml.report("heart", **shipped.places, traces=False, out=tmp_path / "page.html")
        html = path.read_text()
        assert 'class="ecg"' not in html
        assert "ROC curve of the out-of-fold scores" in html

    def test_without_bundles_what_is_missing_is_said_and_left_out(self, shipped, tmp_path):
        places = {**shipped.places, "results": tmp_path}
        html = atml.report("heart", **places, out=tmp_path / "page.html").read_text()
        assert sections(html) == SECTIONS - OF_A_MODEL | {"looks", "again"}
        assert "No shipped model of this study was found" in html
        assert "Judged by the figures of the search" in html

    def test_a_bundle_without_its_storage_is_reported_alone(self, shipped, tmp_path):
        places = {**shipped.places, "storage": f"sqlite:///{tmp_path / 'none.db'}"}
        html = atml.report(shipped.bundle, **places, out=tmp_path / "page.html").read_text()
        assert sections(html) == OF_A_MODEL
        assert "The storage does not have this model's study" in html
        assert "ROC curve of the out-of-fold scores" in html
        assert not (tmp_path / "none.db").exists()

    def test_a_bundle_of_a_damaged_study_is_reported_alone(self, shipped, tmp_path, call):
        with (
            sqlite3.connect(shipped.folder / "atml.db") as original,
            sqlite3.connect(tmp_path / "atml.db") as database,
        ):
            original.backup(database)
            database.execute("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'data'")
        done = call(tmp_path, "report", str(shipped.bundle), "--out", "page.html")
        assert done.returncode == 0, done.stderr
        assert "without the study: study 'heart' is damaged" in " ".join(done.stderr.split())
        assert sections((tmp_path / "page.html").read_text()) == OF_A_MODEL

    def test_sizes_are_those_that_the_spec_counts(self, shipped):
        manifest = shipped.manifest
        manifest["spec"]["targets"]["size_of"] = "int8"
        figures = {**shipped.figures, "int8": {**(shipped.figures["int8"] or {}), "onnx_bytes": 1234}}
        model = shipped.part(manifest=manifest, figures=figures)
        assert f"{model.architecture} with 1,234 INT8 bytes: F2" in answer(contents(None, model))

    def test_sizes_of_trials_are_named_as_the_spec_counts_them(self, shipped):
        part = study_part(shipped.stored)
        targets = part.result.phase.targets.model_copy(update={"size_of": "int8"})
        phase = part.result.phase.model_copy(update={"targets": targets})
        html = render(contents(replace(part, result=replace(part.result, phase=phase)), None))
        rates, curves, ended = (html.index(f'id="{name}"') for name in ("rates", "curves", "ended"))
        for pictures in (html[rates:curves], html[curves:ended]):
            assert re.search(r"[\d,]+ INT8 bytes", pictures)
            assert not re.search(r"\b[\d,]+ bytes", pictures)

    def test_a_bundle_with_its_study_is_about_the_model(self, shipped, tmp_path):
        html = atml.report(shipped.bundle, **shipped.places, out=tmp_path / "page.html").read_text()
        assert sections(html) == SECTIONS
        assert f"ATML report: model {shipped.bundle.name} of study heart" in html

    def test_a_moved_folder_of_segments_costs_the_examples_only(self, shipped, tmp_path):
        said = []

        class Heard(atml.Watch):
            def say(self, text):
                said.append(text)

        places = {**shipped.places, "artifacts": str(tmp_path)}
        html = atml.report("heart", **places, out=tmp_path / "page.html", watch=Heard()).read_text()
        assert sections(html) == SECTIONS
        assert "lacks the scores of trial" in said[0]


class TestForFinalize:
    """What finalize has at hand is enough."""

    def test_the_page_needs_no_segments_if_the_metrics_have_the_curves(self, shipped):
        chosen = shipped.final.recommended.choice.candidate
        scored = Scored.of(chosen.fits, shipped.dataset)
        curves = score_curves(scored.dataset.labels, scored.scores)
        figures = {**shipped.figures, "score_curves": json.loads(json.dumps(curves.to_dict()))}
        facts = {name: value for name, value in shipped.manifest.items() if name not in ("atml", "files")}
        model = shipped.part(manifest=facts, figures=figures)
        html = render(contents(study_part(shipped.stored), model))
        assert sections(html) == SECTIONS
        assert "ROC curve of the out-of-fold scores" in html
        assert f"{curves.brier:.3f}" in html
        assert 'class="ecg"' not in html
        card = card_of(model)
        assert f"Brier score of {curves.brier:.3f}" in card
        assert ScoreCurves.from_dict(figures["score_curves"]) == curves

    def test_stored_scores_are_those_that_gave_the_figures(self, shipped):
        trial = shipped.final.recommended.trial
        scored = stored_scores(shipped.stored, trial, shipped.dataset, shipped.places["artifacts"])
        figures = shipped.figures["out_of_fold"]
        called = scored.scores >= figures["threshold"]
        assert sorted(scored.dataset.rows.tolist()) == shipped.dataset.rows.tolist()
        assert called[scored.dataset.labels == 1].mean() == pytest.approx(figures["recall"])


class TestCommand:
    def test_it_writes_the_page_and_says_where(self, shipped, call):
        done = call(shipped.folder, "report", "heart", *shipped.options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["heart-report.html"]
        assert sections((shipped.folder / "heart-report.html").read_text()) == SECTIONS

    def test_known_models_are_drawn_beside_the_front(self, shipped, call):
        known = ["--reference", "AFNet <c=4>=84_900:0.941", "--out", "compared.html"]
        done = call(shipped.folder, "report", "heart", *shipped.options, *known)
        assert done.returncode == 0, done.stderr
        html = (shipped.folder / "compared.html").read_text()
        assert '<path class="reference"' in html
        assert "AFNet &lt;c=4&gt;: 84,900 bytes, F2 0.9410" in html
        assert "Diamonds: other models" in html

    @pytest.mark.parametrize(
        "text",
        ["84900:0.9", "AFNet=x:0.9", "AFNet=84900:1.2", "AFNet=0:0.9", f"AFNet={10**400}:0.9", "AFNet"],
    )
    def test_a_reference_that_is_not_understood_is_shown(self, shipped, call, text):
        done = call(shipped.folder, "report", "heart", *shipped.options, "--reference", text)
        assert done.returncode == 2
        assert "must be NAME=BYTES:FBETA" in " ".join(done.stderr.split())

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nothing"], "no study 'nothing' in this storage; it has heart"),
            (["./nothing"], "nothing is not a bundle"),
            (["heart", "--train", "nowhere"], "nowhere"),
            (["heart", "--out", "no/such/page.html"], "its folder is gone"),
        ],
    )
    def test_a_mistake_is_told_in_one_sentence(self, shipped, call, arguments, told):
        done = call(shipped.folder, "report", *[*shipped.options, *arguments])
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_bundle_of_another_study_of_the_same_name_is_not_reported(self, shipped, tmp_path):
        for name, trial in (("here", shipped.manifest["trial"]), ("from-elsewhere", 999)):
            copy = shutil.copytree(shipped.bundle, tmp_path / "results" / "heart" / name)
            (copy / "manifest.json").write_text(json.dumps({**shipped.manifest, "trial": trial}))
        places = {**shipped.places, "results": tmp_path / "results"}
        html = atml.report("heart", out=tmp_path / "page.html", **places).read_text()
        assert "from-elsewhere" not in html
        assert f"trial {shipped.manifest['trial']}" in html

    def test_of_two_bundles_of_one_trial_the_newest_is_shown(self, shipped, tmp_path):
        for name, year in (("4KB", 2030), ("6KB", 2031)):
            copy = shutil.copytree(shipped.bundle, tmp_path / "results" / "heart" / name)
            created = {"created": f"{year}-01-01T00:00:00+00:00"}
            (copy / "manifest.json").write_text(json.dumps({**shipped.manifest, **created}))
        html = atml.report(
            "heart", out=tmp_path / "page.html", **{**shipped.places, "results": tmp_path / "results"}
        ).read_text()
        assert "those of <b>6KB</b>" in html
        shipped_models = html[html.index('id="models"') : html.index("<dl>")]
        assert shipped_models.count('<tr class="mark">') == 1

    def test_a_bundle_of_another_version_is_named(self, shipped, tmp_path):
        copy = shutil.copytree(shipped.bundle, tmp_path / "bundle")
        (copy / "metrics.json").write_text('{"onnx_bytes": 1}')
        with pytest.raises(ModelError, match=r"metrics.json was written by another version of ATML"):
            atml.report(copy, **shipped.places)

    @pytest.mark.parametrize("table", ["data", "targets"])
    def test_a_bundle_that_lacks_what_its_report_says_is_named(self, shipped, tmp_path, table):
        copy, manifest = shutil.copytree(shipped.bundle, tmp_path / "bundle"), shipped.manifest
        del manifest["spec"][table]
        (copy / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ModelError, match=rf"manifest\.json .*{table}"):
            atml.report(copy, **shipped.places, out=tmp_path / "page.html")
        assert not (tmp_path / "page.html").exists()


class TestModelCard:
    def test_its_figures_are_those_recorded(self, card, shipped):
        for name in ("out_of_fold", "test"):
            measured = shipped.figures[name]
            for key in ("fbeta", "specificity", "recall", "roc_auc"):
                low, high = measured["intervals"].get(key, (None, None))
                interval = "–" if low is None else f"{low:.3f} to {high:.3f}"
                assert f"| {measured[key]:.3f} | {interval} |" in card
            assert bool(measured["intervals"]) == (name == "out_of_fold")  # the test set has too few subjects
            for one in measured["per_rhythm"]:
                assert (
                    f"| {one['rhythm'] or 'unannotated'} | {one['segments']:,} | {one['called_afib']:.1%}"
                    in card
                )

    @pytest.mark.parametrize(
        ("final", "positive", "said"),
        [(0.15, ["AFIB"], True), (0.0, ["AFIB"], False), (0.15, ["AFL"], False)],
    )
    def test_simulated_segments_are_told(self, shipped, final, positive, said):
        manifest = {**shipped.manifest, "positive": positive}
        manifest["spec"]["finalize"]["simulated"] = final
        model = shipped.part(manifest=manifest)
        for text in (card_of(model), render(contents(None, model))):
            assert ("15.0% of each training batch are simulated segments" in text) is said

    def test_it_says_that_the_model_is_not_a_medical_device(self, card):
        assert "not a medical device" in card

    def test_it_says_how_to_filter_and_to_decide_by_logits(self, shipped, card):
        assert "Butterworth band-pass 0.5 to 50 Hz of order 4, applied forwards and backwards." in card
        threshold = shipped.manifest["threshold"]
        margin = math.log(threshold / (1 - threshold))
        assert f"`logits[1] - logits[0] >= log(t / (1 - t))`, {margin:.4f}. The threshold" in card
        always = card_of(shipped.part(figures={**shipped.figures, "threshold": 0.0}))
        assert "if its score is at least t = 0. The threshold" in always

    def test_it_compares_the_int8_model_if_there_is_one(self, shipped):
        figures = {"onnx_bytes": 2186, "largest_logit_difference": 0.02325, "decisions_equal": 0.9962}
        row = "99.62% of decisions equal, logits differ by at most 0.023 |"
        for is_shipped in (True, False):
            int8 = {**figures, "shipped": is_shipped, "test": None}
            card = card_of(shipped.part(figures={**shipped.figures, "int8": int8}))
            assert (row in card) == is_shipped
        assert row not in card_of(shipped.part(figures={**shipped.figures, "int8": None}))

    def test_predictive_values_are_at_the_stated_prevalences(self, card):
        assert [len(re.findall(rf"^\| {one} % \|", card, re.MULTILINE)) for one in (1, 5, 10)] == [2, 2, 2]

    def test_items_of_the_checklist_that_nobody_filled_in_are_named(self, card):
        rows = re.findall(r"^\| (\d+[a-g]?) \| [^|]+ \| ([^|]+) \|$", card, re.MULTILINE)
        assert {int(re.match(r"\d+", number)[0]) for number, _ in rows} == set(range(1, 28))
        assert len(rows) == len({number for number, _ in rows}) == 52
        open_items = [number for number, where in rows if where == "**not filled in**"]
        assert "17" in open_items
        assert f"{len(open_items)} items are not answered" in card
        named = re.search(r"have to:\n(.+)\.\n", card)[1]
        assert named.split(", ") == open_items
        headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
        answered = {where for _, where in rows} - {"**not filled in**", "not applicable"}
        assert answered <= set(headings)

    def test_its_tables_are_tables(self, card):
        lines = card.splitlines()
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
            if re.fullmatch(r"\|[:|-]+\|", line):
                assert before.count("|") == line.count("|") == after.count("|"), before

    def test_figures_of_all_segments_have_those_of_the_answered_ones_beside_them(self, shipped):
        chosen = shipped.final.recommended.choice.candidate
        scored = Scored.of(chosen.fits, shipped.dataset)
        held_out = scored.dataset
        given = (held_out.labels, scored.scores, held_out.subjects, held_out.rhythms)
        (found,) = trade_off(*given, threshold=chosen.threshold, coverages=[0.7])
        document = json.loads(json.dumps(found.to_dict()))
        withheld = {"least_confidence": 0.8, "out_of_fold": document, "test": document}
        part = shipped.part(figures={**shipped.figures, "abstention": withheld})
        card, page = card_of(part), render(contents(None, part))
        assert "need a confidence of" in card
        for text in (card, page):
            assert "count all segments, with those that get no answer, each as it would be called" in text
            assert text.count("answered alone") >= 2
        every, alone = chosen.out_of_fold.fbeta, found.metrics.fbeta
        assert re.search(rf"^\| F2 \| {every:.3f} \| .* \| {alone:.3f} \|$", card, re.MULTILINE)
        assert len(re.findall(r"^\| .*, answered alone: prevalence \|", card, re.MULTILINE)) == 2
        self.test_its_tables_are_tables(card)
