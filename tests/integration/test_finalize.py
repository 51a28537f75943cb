"""From a finished study to its bundle, with real fits; they run within this process, to start in a moment."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import atml
from atml.cli.model_tables import print_final
from atml.ecg import grouped_folds, load_dataset, simulate
from atml.errors import ModelError, SpecChanged, StudyError
from atml.evaluation import best_threshold, confidence, least_confidence_for, robustness
from atml.export import OnnxClassifier
from atml.export.c import tools
from atml.reports import finalize as reports_finalize
from atml.reports import int8, out_of_fold
from atml.reports.assessment import assess
from atml.reports.bundle import load_bundle
from atml.reports.finalize import finalize
from atml.reports.fits import FitJob, run_fits
from atml.reports.looks import count_look
from atml.reports.retrain import soft_labels
from atml.reports.scored import Scored
from atml.service.launcher import WorkerPlan
from atml.service.studies import create_or_resume
from atml.service.watch import Watch
from atml.training import predict
from atml.tuning import records
from atml.tuning.phases import parse_spec
from atml.tuning.ranking import rank
from atml.tuning.sizes import size_before_training

pytestmark = pytest.mark.usefixtures("_in_this_process")
FOLDS, SEEDS = 2, 3  # of the study in conftest.py
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def make(stored, folder, tmp_path):
    """Finalize the study, which other tests did before: its fits are kept."""

    def make(*, test=None, train=None, study=stored, artifacts=folder, watch=None, **changes):
        phase = study.phase.model_copy(update=changes)
        plan = WorkerPlan(storage="", artifacts=artifacts, workers=1, device="cpu", train=train)
        return finalize(replace(study, phase=phase), plan, test=test, out=tmp_path, watch=watch)

    return make


@pytest.fixture
def held_out(simulated_test):
    return load_dataset(simulated_test, workers=1)


def targets(stored, **fields):
    return {"targets": stored.phase.targets.model_copy(update=fields)}


def fits_of(stored, folder, candidate):
    """Return the kept fits by which a leader was judged again."""
    phase, fingerprint = stored.phase, stored.data.fingerprint
    jobs = [FitJob(phase, fingerprint, candidate.proposal, fold=fold, seed=1) for fold in range(FOLDS)]
    return run_fits(jobs, folder / "heart" / "fits", workers=1, device="cpu")


class TestJudging:
    def test_leaders_are_judged_on_every_segment_again_on_folds_that_are_cut_otherwise(
        self, make, stored, dataset, folder
    ):
        final = make()
        assert len(final.candidates) == 2
        for one in final.candidates:
            assert one.contender.estimate.folds == 2 * FOLDS
            assert one.out_of_fold.segments == len(dataset)
            assert one.search_fbeta == records.fbeta(one.contender.trial)
        before = grouped_folds(dataset, folds=FOLDS, seed=stored.phase.data.seed)
        held_out = [set(split.valid.subjects) for split in before]
        for one in fits_of(stored, folder, final.recommended.choice.candidate):
            assert set(dataset.subjects[one.valid_rows]) not in held_out

    def test_leaders_and_shipped_models_are_trained_for_as_long_as_finalize_says(self, make, stored):
        losses, shipped = [], []
        for epochs in (None, 2, 5):  # the study trains for 2
            final = make(finalize=stored.phase.finalize.model_copy(update={"epochs": epochs}))
            losses.append([fit.train_loss for fit in final.candidates[0].fits])
            shipped.append((final.recommended.bundle / "model.onnx").read_bytes())
        assert losses[0] == losses[1]
        for short, long in zip(losses[0], losses[2], strict=True):  # the same fold and seed
            assert long < short
        assert shipped[0] == shipped[1] != shipped[2]

    def test_out_of_fold_scores_stand_at_the_rows_of_their_segments(self, make, stored, dataset, folder):
        chosen = make().recommended.choice.candidate
        found = fits_of(stored, folder, chosen)
        assert sorted(np.concatenate([one.valid_rows for one in found])) == list(range(len(dataset)))
        for one in found:
            network = chosen.proposal.build(dataset.segment_length, seed=0)
            network.load_state_dict(one.state_dict)
            scores = predict(network, dataset.select(one.valid_rows), device=CPU)
            np.testing.assert_allclose(scores, one.valid_scores, atol=1e-6)

    def test_the_one_that_the_ranking_puts_first_over_all_folds_is_shipped(self, make, stored):
        final = make()
        ranked = rank([one.contender for one in final.candidates], stored.phase.targets)
        assert final.recommended.choice.candidate.contender is ranked[0]

    def test_with_targets_that_all_meet_the_smallest_is_shipped(self, make, stored):
        sizes = {records.onnx_bytes(trial) for trial in stored.study.trials}
        final = make(**targets(stored, onnx_bytes=max(sizes), fbeta=0.01))
        assert final.recommended.onnx_bytes == min(sizes)

    def test_what_is_too_large_is_shipped_only_if_nothing_else_is_there(self, make, stored):
        smallest = min(records.onnx_bytes(trial) for trial in stored.study.trials)
        assert make(**targets(stored, onnx_bytes=smallest)).recommended.onnx_bytes == smallest

    def test_the_threshold_is_the_best_one_on_the_new_folds(self, make):
        final = make()
        chosen = final.recommended.choice.candidate
        assert chosen.out_of_fold.threshold == chosen.threshold
        metadata = OnnxClassifier(final.recommended.bundle / "model.onnx").metadata
        assert metadata.threshold == pytest.approx(final.recommended.threshold, abs=1e-4)

    def test_a_study_of_which_nothing_has_finished_the_race_is_refused(self, stored, make, document, dataset):
        storage = stored.study._storage
        empty = create_or_resume(storage, parse_spec({**document, "name": "empty"}, source="test"), dataset)
        with pytest.raises(StudyError, match="'empty' has no trial that finished the race"):
            make(study=empty)


class Heard(Watch):
    """Remembers what it is told."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


class TestWhatCannotBeShipped:
    def test_a_leader_that_diverges_on_other_folds_is_left_out_and_named(
        self, make, stored, folder, tmp_path
    ):
        lost = make().recommended.choice.candidate
        phase, fingerprint, heard = stored.phase, stored.data.fingerprint, Heard()
        shutil.copytree(folder, tmp_path / "artifacts")
        one = FitJob(phase, fingerprint, lost.proposal, fold=1, seed=1)
        torch.save(None, tmp_path / "artifacts" / "heart" / "fits" / f"{one.key}.pt")
        final = make(artifacts=tmp_path / "artifacts", watch=heard)
        assert heard.said == [f"Left out trial {lost.trial}: its training diverges on other folds"]
        assert lost.trial not in {one.trial for one in (*final.candidates, *final.models)}

    def test_another_is_shipped_in_place_of_one_whose_int8_version_decides_otherwise(
        self, make, stored, monkeypatch
    ):
        lost = make().recommended
        compare = int8.compare_quantized

        def compare_otherwise(model, quantized, segments):
            difference, equal = compare(model, quantized, segments)
            return difference, 0.0 if len(quantized) == lost.int8.onnx_bytes else equal

        monkeypatch.setattr(int8, "compare_quantized", compare_otherwise)
        assert make().recommended.trial == lost.trial  # the bytes are those of float32
        heard = Heard()
        final = make(watch=heard, **targets(stored, max_ram_bytes=10**6))
        assert f"Not shipped: trial {lost.trial};" in heard.said[0]
        assert {one.trial for one in final.models} == {one.trial for one in final.candidates} - {lost.trial}

    def test_without_a_robust_leader_that_can_be_shipped_another_is_shipped_and_said_not_to_be_robust(
        self, make, stored, monkeypatch
    ):
        lost = make().recommended
        exported, measured = reports_finalize.export, reports_finalize.out_of_fold_robustness

        def only_lost_is_robust(candidate, **options):
            return replace(measured(candidate, **options), robust_fbeta=float(candidate.trial == lost.trial))

        def export_but(phase, dataset, one):
            found = exported(phase, dataset, one)
            is_lost = one.choice.candidate.trial == lost.trial
            return replace(found, no_int8="A weight is too large.") if is_lost else found

        monkeypatch.setattr(reports_finalize, "export", export_but)
        monkeypatch.setattr(reports_finalize, "out_of_fold_robustness", only_lost_is_robust)
        final = make(**targets(stored, size_of="int8", robust_fbeta=0.1))
        assert {one.trial for one in final.models} == {one.trial for one in final.candidates} - {lost.trial}
        assert (final.is_robust, final.failed_targets) == (False, ("robust_fbeta",))

    def test_none_is_refused_in_a_sentence(self, make, stored, monkeypatch):
        monkeypatch.setattr(int8, "EQUAL_DECISIONS", 1.01)
        with pytest.raises(StudyError, match="no model can be shipped: trained again, each diverges"):
            make(**targets(stored, size_of="int8"))

    def test_test_segments_of_another_length_are_refused_before_anything_is_trained(self, make, tmp_path):
        simulate(tmp_path / "other", subjects=3, segments_per_subject=2, segment_length=300, first_subject=50)
        with pytest.raises(StudyError, match=r"have 250 samples in .* but 300 in .*other; test on segments"):
            make(test=load_dataset(tmp_path / "other", workers=1), artifacts=tmp_path / "none")
        assert not (tmp_path / "none").exists()


class TestShipping:
    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_of_the_seeds_the_one_that_fits_the_soft_labels_best_is_shipped(
        self, make, stored, dataset, folder, share
    ):
        final = make(finalize=stored.phase.finalize.model_copy(update={"soft_labels": share}))
        labels = soft_labels(final.candidates, dataset, share) if share else None
        phase, fingerprint = stored.phase, stored.data.fingerprint
        proposal = final.recommended.choice.candidate.proposal
        jobs = [
            FitJob(phase, fingerprint, proposal, fold=None, seed=seed, soft_labels=labels)
            for seed in range(SEEDS)
        ]
        found = run_fits(jobs, folder / "heart" / "fits", workers=1, device="cpu")
        assert len({one.train_loss for one in found}) == SEEDS
        best = min(found, key=lambda one: one.train_loss)
        shipped = torch.load(final.recommended.bundle / "model.pt", weights_only=True)["state_dict"]
        assert all(torch.equal(shipped[name], best.state_dict[name]) for name in shipped)

    def test_soft_labels_are_half_the_label_and_half_what_networks_said_that_had_not_seen_the_subject(
        self, make, dataset
    ):
        candidates = make().candidates
        found = soft_labels(candidates, dataset, 0.5)
        for row in (0, len(dataset) // 2, len(dataset) - 1):
            said = [
                fit.valid_scores[fit.valid_rows == row].item()
                for one in candidates
                for fit in one.fits
                if row in fit.valid_rows
            ]
            assert len(said) == len(candidates)
            assert found[row] == pytest.approx((dataset.labels[row] + np.mean(said)) / 2, abs=1e-6)

    def test_the_threshold_is_that_of_training_on_soft_labels(self, make, stored, dataset, folder):
        final = make()
        labels = soft_labels(final.candidates, dataset, 0.5)
        phase, fingerprint = stored.phase, stored.data.fingerprint
        chosen = final.recommended.choice.candidate
        jobs = [
            FitJob(phase, fingerprint, chosen.proposal, fold=fold, seed=1, soft_labels=labels)
            for fold in range(FOLDS)
        ]
        scored = Scored.of(run_fits(jobs, folder / "heart" / "fits", workers=1, device="cpu"), dataset)
        held_out = scored.dataset
        best = best_threshold(held_out.labels, scored.scores, held_out.subjects, beta=2.0)
        assert final.recommended.threshold == best
        manifest = json.loads((final.recommended.bundle / "manifest.json").read_text())
        assert manifest["threshold"] == best
        plain = make(finalize=stored.phase.finalize.model_copy(update={"soft_labels": 0.0})).recommended
        assert plain.threshold == plain.choice.candidate.threshold

    def test_the_file_has_the_bytes_that_the_search_counted(self, make):
        final = make()
        model = final.recommended
        assert (
            model.onnx_bytes
            == model.choice.candidate.onnx_bytes
            == (model.bundle / "model.onnx").stat().st_size
        )

    def test_the_manifest_names_the_study_and_the_trial_and_the_figures_say_what_was_not_tested(self, make):
        final = make()
        manifest = json.loads((final.recommended.bundle / "manifest.json").read_text())
        assert (manifest["study"], manifest["trial"]) == ("heart", final.recommended.choice.candidate.trial)
        figures = json.loads((final.recommended.bundle / "metrics.json").read_text())
        assert (figures["test"], figures["test_looks"]) == (None, final.test_looks)
        assert figures["search_fbeta"] == final.recommended.choice.candidate.search_fbeta
        assert figures["folds_fbeta"] == final.recommended.choice.candidate.fbeta

    def test_robustness_is_measured_on_subjects_that_the_network_has_not_seen(self, make, dataset):
        final = make()
        for model in final.models:
            found = json.loads((model.bundle / "metrics.json").read_text())["robustness"]
            assert found == model.robustness.to_dict()
            assert model.robustness.subjects == len(set(dataset.subjects))
            assert model.robustness.finite_on_extremes
            # Gain does not matter, so the undisturbed scores come from the same networks.
            rows = {row.disturbance: row.roc_auc for row in model.robustness.disturbed}
            assert rows["gain_x4"] == pytest.approx(model.robustness.undisturbed.roc_auc, abs=0.01)

    def test_a_second_look_at_other_test_segments_is_counted_and_the_same_look_is_not(self, make, held_out):
        final = make()
        before, files = final.test_looks, sum(1 if one.int8 is None else 2 for one in final.models)
        assert make(test=held_out).test_looks == before + files
        assert make(test=held_out).test_looks == before + files
        fewer = held_out.select(np.arange(len(held_out) - 1))
        assert make(test=fewer).test_looks == before + 2 * files
        assert make().test_looks == before + 2 * files

    def test_the_look_of_the_int8_version_is_counted_when_its_figures_are_written(
        self, make, stored, held_out
    ):
        final = make(test=held_out)
        path = final.recommended.bundle / "model.int8.onnx"
        again = assess(OnnxClassifier(path), held_out, beta=stored.phase.beta)
        assert count_look(stored, path.read_bytes(), held_out, again) == final.test_looks

    def test_figures_that_test_segments_without_afib_do_not_define_are_dashes(
        self, make, stored, held_out, capsys
    ):
        without = replace(held_out.select(held_out.labels == 0), store_fingerprint="without")
        answered = stored.phase.finalize.model_copy(update={"coverage": 0.8})
        final = make(test=without, finalize=answered)
        model, specificity = final.recommended, f"{final.recommended.test.specificity:.3f}"
        alone = f"{model.answered.metrics.specificity:.3f}"
        card = (model.bundle / "MODEL_CARD.md").read_text()
        assert f"| specificity, test subjects | {specificity} (–) |" in card
        assert re.search(rf"\| specificity, test subjects, .* that get an answer \| {alone} \|", card)
        page = (model.bundle / "report.html").read_text()
        assert f"on 4 test subjects without AFIB, specificity {specificity}." in page
        assert f"of the test segments, there with specificity {alone}." in page
        assert "<td>–</td><td>0 of 4</td>" in page[page.index('id="looks"') :]
        print_final(final)
        cells = [
            line.split("│") for line in capsys.readouterr().out.splitlines() if f" {model.trial} " in line
        ]
        assert [one.strip() for one in cells[-1][-5:-2]] == ["–", "–", "–"]

    def test_with_a_coverage_the_bundle_says_below_which_confidence_it_gives_no_answer(
        self, make, stored, held_out, tmp_path
    ):
        answered = stored.phase.finalize.model_copy(update={"coverage": 0.8})
        model = make(test=held_out, finalize=answered).recommended
        bundle = load_bundle(model.bundle)
        figures = json.loads((model.bundle / "metrics.json").read_text())["abstention"]
        assert bundle.least_confidence == figures["least_confidence"] > 0.5
        assert figures["out_of_fold"]["coverage"] == pytest.approx(0.8, abs=0.01)
        assert figures["out_of_fold"]["metrics"]["segments"] < model.choice.candidate.out_of_fold.segments
        scores = bundle.classifier.probabilities(held_out.samples())
        sure = confidence(scores, bundle.classifier.metadata.threshold) >= bundle.least_confidence
        assert figures["test"]["coverage"] == pytest.approx(sure.mean())
        # The networks of the out-of-fold figures learned from the labels alone, and have a confidence of
        # their own.
        candidate, own = model.choice.candidate, figures["out_of_fold"]
        plain = np.concatenate([fit.valid_scores for fit in candidate.fits])
        assert own["least_confidence"] == least_confidence_for(plain, candidate.threshold, 0.8)
        assert own["metrics"]["segments"] == round(own["coverage"] * len(plain))
        nowhere = f"sqlite:///{tmp_path / 'none.db'}"
        evaluated = atml.evaluate(model.bundle, held_out, storage=nowhere)
        assert (evaluated.fbeta, evaluated.segments) == (model.test.fbeta, len(held_out))
        assert evaluated.answered.to_dict() == figures["test"] == model.answered.to_dict()
        copied = shutil.copy(model.bundle / "model.onnx", tmp_path)
        assert atml.evaluate(copied, held_out, storage=nowhere).answered is None
        card = (model.bundle / "MODEL_CARD.md").read_text()
        assert "count all segments, with those that get no answer" in card
        least = np.log(bundle.least_confidence / (1 - bundle.least_confidence))
        header = (model.bundle / "ecm.h").read_text()
        stated = re.search(r"ECM_LEAST_MARGIN \((.*)f\)", header)
        assert float(stated[1]) == pytest.approx(least, rel=1e-5)
        assert load_bundle(make().recommended.bundle).least_confidence is None

    def test_a_bundle_says_what_its_c_code_needs(self, make):
        model = make().recommended
        figures = json.loads((model.bundle / "metrics.json").read_text())
        trial = model.choice.candidate.contender.trial
        assert figures["c"]["ram_bytes"] == records.footprint(trial).ram_bytes
        assert figures["c"]["ram_bytes"] > figures["c"]["memory_bytes"]
        assert (figures["c"]["flash_bytes"] is None) == bool(tools.missing_for_flash())
        assert figures["latency_ms"] > 0


class TestData:
    def test_a_subject_in_training_and_test_is_refused_before_anything_is_trained(
        self, make, dataset, tmp_path
    ):
        leaking = dataset.select(np.flatnonzero(dataset.subjects == "S3"))
        with pytest.raises(StudyError, match="S3 are in training and test both"):
            make(test=leaking, artifacts=tmp_path / "none")
        assert not (tmp_path / "none").exists()

    def test_training_segments_that_have_changed_are_refused(self, make, simulated, tmp_path):
        changed = shutil.copytree(simulated, tmp_path / "changed")
        next(iter(sorted(changed.glob("*.txt")))).unlink()
        with pytest.raises(SpecChanged, match="created on other data"):
            make(train=str(changed))

    def test_the_same_segments_elsewhere_need_no_fit_again(self, make, simulated, tmp_path, folder):
        here = make()
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
        there = make(train=str(shutil.copytree(simulated, tmp_path / "elsewhere")))
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")} == before
        assert there.recommended.choice.candidate.out_of_fold == here.recommended.choice.candidate.out_of_fold


class TestSizes:
    def with_sizes(self, stored, *sizes):
        return {"finalize": stored.phase.finalize.model_copy(update={"sizes": sizes})}

    def test_the_best_within_each_size_is_shipped_once(self, make, stored):
        small, large = sorted(records.onnx_bytes(trial) for trial in stored.study.trials)
        final = make(**self.with_sizes(stored, small - 1, small, large, 2 * large))
        served = [size for model in final.models for size in model.choice.sizes]
        assert sorted(served) == [small, large, 2 * large]  # nothing is as small as the first
        for model in final.models:
            assert all(model.onnx_bytes <= size for size in model.choice.sizes)
        assert final.models[0].onnx_bytes == small
        assert len({model.bundle for model in final.models}) == len(final.models)
        assert final.recommended in final.models

    def test_a_floor_under_robustness_leaves_out_what_is_below_it(self, make, stored):
        everything = make()
        figures = {one.trial: one.robustness.robust_fbeta for one in everything.models}
        assert everything.is_robust
        floored = make(**targets(stored, robust_fbeta=max(figures.values())))
        assert floored.is_robust
        assert all(one.robustness.robust_fbeta >= max(figures.values()) for one in floored.models)
        hopeless = make(**targets(stored, robust_fbeta=1.0))
        assert not hopeless.is_robust
        assert {one.trial for one in hopeless.models} == set(figures)

    def test_robustness_is_measured_once_of_each_candidate(self, make, stored, monkeypatch):
        measured = []

        def count(*arguments, **options):
            measured.append(options["threshold"])
            return robustness(*arguments, **options)

        monkeypatch.setattr(out_of_fold, "robustness", count)
        final = make(**targets(stored, robust_fbeta=0.0))
        assert measured == [one.threshold for one in final.candidates]

    def test_targets_are_judged_by_the_mean_over_all_folds(self, make, stored, capsys):
        final = make()
        assert final.failed_targets is None
        best = max(one.fbeta for one in final.candidates)
        assert make(**targets(stored, fbeta=best)).failed_targets == ()
        missed = make(**targets(stored, fbeta=best + 1e-6, robust_fbeta=1.0))
        assert missed.failed_targets == ("fbeta", "robust_fbeta")
        print_final(missed)
        said = f"targets missed: fbeta, robust_fbeta; the recommended model has {best:.4f} over all folds"
        assert said in capsys.readouterr().out

    def test_the_sizes_of_candidates_are_named_by_what_counts(self, make, stored, capsys):
        print_final(make(**targets(stored, size_of="int8")))
        heading = next(line for line in capsys.readouterr().out.splitlines() if "architecture" in line)
        assert "INT8" in heading
        assert "ONNX" not in heading

    def test_a_bundle_is_named_by_its_size_its_architecture_and_its_trial(self, make, stored):
        final = make(**self.with_sizes(stored, 12_000))
        for model in final.models:
            assert model.bundle.name == f"12KB-{model.architecture}-trial{model.trial}"


class TestInt8:
    def test_an_int8_version_that_decides_alike_is_shipped_and_tested_too(self, make, held_out):
        model = make(test=held_out).recommended
        path = model.bundle / "model.int8.onnx"
        proposal = model.choice.candidate.proposal
        size = size_before_training(proposal, held_out.segment_length, size_of="int8")[0]
        assert path.stat().st_size == model.int8.onnx_bytes == size < model.onnx_bytes
        assert OnnxClassifier(path).metadata == OnnxClassifier(model.bundle / "model.onnx").metadata
        figures = json.loads((model.bundle / "metrics.json").read_text())["int8"]
        assert (figures["onnx_bytes"], figures["shipped"]) == (size, True)
        assert figures["test"]["segments"] == len(held_out)
        names = [file["name"] for file in json.loads((model.bundle / "manifest.json").read_text())["files"]]
        assert path.name in names

    def test_a_model_that_cannot_be_stored_as_int8_is_shipped_without(self, make, stored, monkeypatch):
        def refuse(*_: object) -> None:
            raise ModelError("A weight is too large.")

        monkeypatch.setattr(int8, "quantize_weights", refuse)
        heard = Heard()
        model = make(watch=heard).recommended
        assert heard.said[0] == f"Trial {model.trial} has no INT8 version: A weight is too large."
        assert not (model.bundle / "model.int8.onnx").exists()
        assert json.loads((model.bundle / "metrics.json").read_text())["int8"] is None
        with pytest.raises(StudyError, match="no model can be shipped"):
            make(**targets(stored, size_of="int8"))

    def test_an_int8_version_that_decides_otherwise_is_not_shipped(self, make, monkeypatch):
        monkeypatch.setattr(int8, "EQUAL_DECISIONS", 1.01)
        model = make().recommended
        assert not (model.bundle / "model.int8.onnx").exists()
        assert json.loads((model.bundle / "metrics.json").read_text())["int8"]["shipped"] is False
