"""What a search ships at every size, measured on subjects that were held out, beside AFNet.

    python -m tests.benchmarks.models judge   --train DIR --out FOLDER --rotation 0
    python -m tests.benchmarks.models afnet   --train DIR --out FOLDER --rotation 0
    python -m tests.benchmarks.models other   --train DIR --out FOLDER --rotation 0 --bundles FOLDER
    python -m tests.benchmarks.models summary --out FOLDER

`FOLDER/rotationN/atml.db` holds the search, as `tests.benchmarks.search.live search` makes it. `judge`
finalizes it by the bytes of the float32 file and by those of the INT8 file, and evaluates each shipped model,
with every seed of its last training, on the held-out subjects. `afnet` trains AFNet as the original did and
as ATML does. `other` evaluates bundles that another version of ATML made of the same training subjects. See
README.md.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn import functional

from atml.ecg import grouped_folds, load_dataset
from atml.evaluation import best_threshold, evaluate, even_sample, robustness
from atml.export import OnnxClassifier, quantize_weights, to_onnx
from atml.models import get_architecture
from atml.models.afnet import AFNetConfig, build
from atml.reports.assessment import assess
from atml.reports.choose import choose, judge_again
from atml.reports.fits import FitJob, run_fits
from atml.reports.retrain import retrain, soft_labels
from atml.service.data import load_training_data
from atml.service.storage import open_storage
from atml.service.studies import load
from atml.service.watch import Watch
from atml.training import predict
from atml.tuning import records
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import onnx_metadata, size_before_training

LENGTH, BETA = 1250, 2.0
CPU = torch.device("cpu")
SIZES = (2_000, 4_000, 8_000, 16_000)
# The original's recipe.
EPOCHS, BATCH, RATE = 30, 32, 1e-3
SHOWN = ("f1", "fbeta", "subject_mean_fbeta", "g", "roc_auc")


class CountedAsInt8:
    """A study whose trials have the sizes of their INT8 files."""

    def __init__(self, study):
        self._study = study

    def __getattr__(self, name):
        return getattr(self._study, name)

    def get_trials(self, *arguments, **options):
        return [self._counted(trial) for trial in self._study.get_trials(deepcopy=True)]

    def _counted(self, trial):
        if records.config(trial) is not None and records.ONNX_BYTES in trial.params:
            size, _ = size_before_training(records.proposal(trial), LENGTH, size_of="int8")
            trial.params[records.ONNX_BYTES] = size
        return trial


def study_of(arguments):
    folder = arguments.out / f"rotation{arguments.rotation}"
    stored = load(open_storage(f"sqlite:///{folder / 'atml.db'}"), arguments.study)
    data = load_dataset(arguments.train)
    held_out = np.flatnonzero(np.isin(data.subjects, stored.phase.data.exclude_subjects))
    return folder, stored, load_training_data(stored.phase.data), data.select(held_out)


def judge(arguments):
    """Write FOLDER/rotationN/models.json: a row for every size, kind of file and seed."""
    folder, stored, train, test = study_of(arguments)
    rows = []
    for size_of in ("onnx", "int8"):
        phase = stored.phase
        targets = phase.targets.model_copy(update={"size_of": size_of, "onnx_bytes": None})
        finalize = phase.finalize.model_copy(update={"sizes": SIZES, "seeds": arguments.seeds})
        phase = phase.model_copy(update={"targets": targets, "finalize": finalize})
        study = stored.study if size_of == "onnx" else CountedAsInt8(stored.study)

        def run(stage, jobs, size_of=size_of):
            def say(done, total):
                print(f"rotation {arguments.rotation}, {size_of}, {stage}: {done}/{total}", flush=True)

            return run_fits(jobs, folder / "fits", workers=arguments.workers, device="cpu", on_done=say)

        # A fit is kept by the spec that it was made with, which does not depend on what its file counts as.
        candidates = judge_again(replace(stored, study=study), phase, train, run, Watch())
        labels = soft_labels(candidates, train, phase.finalize.soft_labels)
        for one in retrain(choose(candidates, phase), candidates, phase, train, run):
            rows += [
                {**row, "sizes": list(one.choice.sizes), "size_of": size_of}
                for row in models_of(one, labels, phase, train, test, run)
            ]
    (folder / "models.json").write_text(json.dumps(rows, indent=1))


def models_of(retrained, labels, phase, train, test, run):
    """Yield the figures of the model of every seed, as float32 and as INT8."""
    chosen = retrained.choice.candidate
    seeds = range(phase.finalize.seeds)
    jobs = [
        FitJob(phase, train.fingerprint, chosen.proposal, fold=None, seed=seed, soft_labels=labels)
        for seed in seeds
    ]
    some = train.samples(np.linspace(0, len(train) - 1, 500).astype(np.int64))
    for seed, fit in zip(seeds, run("retrain", jobs), strict=True):
        network = chosen.proposal.build(LENGTH, seed=0)
        network.load_state_dict(fit.state_dict)
        metadata = onnx_metadata(chosen.proposal, threshold=retrained.threshold)
        model = to_onnx(network, segment_length=LENGTH, metadata=metadata)
        for kind, content in (("onnx", model), ("int8", quantize_weights(model, some))):
            yield {
                "trial": chosen.trial,
                "architecture": chosen.proposal.architecture.name,
                "seed": seed,
                "train_loss": fit.train_loss,
                "kind": kind,
                "bytes": len(content),
                "out_of_fold_fbeta": chosen.out_of_fold.fbeta,
                **judged(OnnxClassifier(content), test),
            }


def judged(classifier, test):
    rows = even_sample(test.subjects)
    found = robustness(
        classifier.probabilities,
        test.samples(rows),
        test.labels[rows],
        test.subjects[rows],
        threshold=classifier.metadata.threshold,
        beta=BETA,
    )
    return {"test": assess(classifier, test, beta=BETA).to_dict(), "robustness": found.to_dict()}


def other(arguments):
    """Write FOLDER/rotationN/other.json: the models of another version's bundles."""
    folder, _, _, test = study_of(arguments)
    rows = []
    for path in sorted(arguments.bundles.glob("*/model.onnx")):
        manifest = json.loads((path.parent / "manifest.json").read_text())
        row = {
            "architecture": manifest["architecture"],
            "bytes": path.stat().st_size,
            "bundle": path.parent.name,
        }
        rows.append({**row, **judged(OnnxClassifier(path), test)})
    (folder / "other.json").write_text(json.dumps(rows, indent=1))


def afnet(arguments):
    """Write FOLDER/rotationN/afnet.json: AFNet by the original's recipe and by ATML's."""
    folder, stored, train, test = study_of(arguments)
    rows = [
        {"recipe": "original", "seed": seed, "test": original_afnet(train, test, seed).to_dict()}
        for seed in track(range(arguments.seeds), description="the original's recipe")
    ]
    architecture = get_architecture("afnet")
    proposal = Proposal(architecture=architecture, config=architecture.default(), learning_rate=0.02)

    def run(jobs):
        return run_fits(jobs, folder / "fits", workers=arguments.workers, device="cpu")

    phase = stored.phase
    folds = run(
        [FitJob(phase, train.fingerprint, proposal, fold=fold, seed=1) for fold in range(phase.data.folds)]
    )
    at = np.concatenate([fit.valid_rows for fit in folds])
    scores = np.concatenate([fit.valid_scores for fit in folds])
    threshold = best_threshold(train.labels[at], scores, train.subjects[at], beta=BETA)
    whole = [
        FitJob(phase, train.fingerprint, proposal, fold=None, seed=seed) for seed in range(arguments.seeds)
    ]
    for seed, fit in enumerate(run(whole)):
        network = proposal.build(LENGTH, seed=0)
        network.load_state_dict(fit.state_dict)
        rows.append({"recipe": "ATML", "seed": seed, "test": measured(network, test, threshold).to_dict()})
    (folder / "afnet.json").write_text(json.dumps(rows, indent=1))


def original_afnet(train, test, seed):
    """Train without augmentation or scaling, and keep the epoch that is best on a fold of the subjects."""
    split = grouped_folds(train, folds=4, seed=seed)[0]
    torch.manual_seed(seed)
    network = build(AFNetConfig(), LENGTH)
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    labels = torch.from_numpy(split.train.labels)
    best, kept = -1.0, {}
    for epoch in range(EPOCHS):
        network.train()
        order = np.random.default_rng([seed, epoch]).permutation(len(split.train))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            ecg = torch.from_numpy(split.train.samples(rows)).unsqueeze(1)
            functional.cross_entropy(network(ecg), labels[rows]).backward()
            optimiser.step()
            optimiser.zero_grad()
        found = measured(network, split.valid, 0.5)
        if found.f1 > best:
            best, kept = found.f1, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return measured(network, test, 0.5)


def measured(network, data, threshold):
    scores = predict(network, data, device=CPU)
    return evaluate(data.labels, scores, data.subjects, data.rhythms, threshold=threshold, beta=BETA)


def summary(arguments):
    """Print the mean over seeds and rotations, and the range of the subject-bootstrap intervals."""
    rows, baseline = [], []
    for path in sorted(arguments.out.glob("rotation*/models.json")):
        rows += [{**row, "rotation": path.parent.name[-1]} for row in json.loads(path.read_text())]
    for path in sorted(arguments.out.glob("rotation*/afnet.json")):
        baseline += [{**row, "rotation": path.parent.name[-1]} for row in json.loads(path.read_text())]
    console = Console(width=200)
    for kind in ("onnx", "int8"):
        table = Table("at most", "rotation", "model", "bytes", *SHOWN, "worst sens.", "worst spec.")
        table.title = (
            f"held-out subjects, sizes of the {kind} file; mean over seeds, [95 % interval of seed 0]"
        )
        for size in SIZES:
            for rotation in sorted({row["rotation"] for row in rows}):
                these = [
                    row
                    for row in rows
                    if row["rotation"] == rotation
                    and size in row["sizes"]
                    and row["size_of"] == row["kind"] == kind
                ]
                if these:
                    table.add_row(
                        f"{size:,}",
                        rotation,
                        these[0]["architecture"],
                        f"{these[0]['bytes']:,}",
                        *cells(these),
                    )
            table.add_section()
        console.print(table)
    table = Table("recipe", "rotation", *SHOWN, "worst sens.", "worst spec.", title="AFNet (c=4, f=2)")
    for recipe in ("original", "ATML"):
        for rotation in sorted({row["rotation"] for row in baseline}):
            these = [row for row in baseline if (row["recipe"], row["rotation"]) == (recipe, rotation)]
            table.add_row(recipe, rotation, *cells(these))
    console.print(table)
    print_paired(console, arguments.out, rows)
    print_robustness(console, rows)


def print_paired(console, folder, rows):
    """Compare with the models of another version, subject by subject of the same rotation."""
    table = Table(
        "at most", "rotation", "bytes", "bytes before", "subjects", "mean F2", "before", "difference"
    )
    table.title = (
        "this version and the one before on the same subjects (F2 of subjects with AFIB; mean of seeds)"
    )
    for size in SIZES:
        pooled = []
        for path in sorted(folder.glob("rotation*/other.json")):
            rotation = path.parent.name[-1]
            before = [row for row in json.loads(path.read_text()) if row["bytes"] <= size]
            ours = [
                row
                for row in rows
                if row["rotation"] == rotation
                and size in row["sizes"]
                and row["size_of"] == row["kind"] == "onnx"
            ]
            if not before or not ours:
                continue
            largest = max(before, key=lambda row: row["bytes"])
            pairs = np.array([subject_fbeta(ours), subject_fbeta([largest])])
            pooled.append(pairs)
            mean = pairs.mean(axis=1)
            table.add_row(
                f"{size:,}",
                rotation,
                f"{ours[0]['bytes']:,}",
                f"{largest['bytes']:,}",
                str(pairs.shape[1]),
                *(f"{one:.4f}" for one in mean),
                f"{mean[0] - mean[1]:+.4f}",
            )
        if pooled:
            difference = np.subtract(*np.concatenate(pooled, axis=1))
            drawn = np.random.default_rng(0).choice(difference, (10_000, len(difference))).mean(axis=1)
            low, high = np.percentile(drawn, (2.5, 97.5))
            interval = f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            table.add_row(f"{size:,}", "all", "", "", str(len(difference)), "", "", interval)
            table.add_section()
    if table.row_count:
        console.print(table)


def subject_fbeta(rows):
    """Return the F2 of each subject with AFIB, averaged over the rows."""
    found = [[one["fbeta"] for one in row["test"]["per_subject"] if one["afib_segments"]] for row in rows]
    return np.mean(found, axis=0)


def print_robustness(console, rows):
    """Print ROC-AUC under each disturbance, averaged over rotations and seeds."""
    of_size = {
        size: [row for row in rows if size in row["sizes"] and row["size_of"] == row["kind"] == "onnx"]
        for size in SIZES
    }
    of_size = {size: found for size, found in of_size.items() if found}
    if not of_size:
        return
    table = Table("disturbance", *(f"{size:,} B" for size in of_size), title="ROC-AUC on held-out subjects")
    first = next(iter(of_size.values()))[0]["robustness"]
    names = [one["disturbance"] for one in first["disturbed"]]
    for name in ("undisturbed", *names):
        means = [np.mean([area(row["robustness"], name) for row in found]) for found in of_size.values()]
        table.add_row(name, *(f"{mean:.4f}" for mean in means))
    console.print(table)


def area(found, name):
    return next(
        one["roc_auc"] for one in (found["undisturbed"], *found["disturbed"]) if one["disturbance"] == name
    )


def cells(rows):
    tests = [row["test"] for row in rows]
    found = []
    for name in SHOWN:
        mean = np.mean([test[name] for test in tests])
        low, high = tests[0]["intervals"].get(name, (float("nan"), float("nan")))
        found.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
    sensitivities = [
        min(one["recall"] for one in test["per_subject"] if one["afib_segments"]) for test in tests
    ]
    specificities = [
        min(one["specificity"] for one in test["per_subject"] if one["specificity"] is not None)
        for test in tests
    ]
    return [*found, f"{np.mean(sensitivities):.2f}", f"{np.mean(specificities):.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("judge", "afnet", "other", "summary"))
    parser.add_argument("--train", type=Path, help="directory of all segments")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bundles", type=Path, help="folder of another version's bundles")
    parser.add_argument("--rotation", type=int, default=0)
    parser.add_argument("--study", default="atml", help="name of the search's study (default: atml)")
    parser.add_argument("--seeds", type=int, default=3, help="of the last training (default: 3)")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    {"judge": judge, "afnet": afnet, "other": other, "summary": summary}[arguments.step](arguments)


if __name__ == "__main__":
    main()
