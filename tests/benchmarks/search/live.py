"""ATML's search against the best plain Optuna on real segments, with a third of the subjects held out.

    python -m tests.benchmarks.search.live search  --train DIR --out FOLDER --rotation 0
    python -m tests.benchmarks.search.live judge   --train DIR --out FOLDER --rotation 0
    python -m tests.benchmarks.search.live summary --out FOLDER

`search` runs both searches one after the other, each with the same number of worker processes, and notes the
CPU time of all their processes. Plain Optuna trains on one fold (`--folds 4`: on all), so every model that it
would have shipped is then trained on all folds, outside its time, to be compared by the same figure. `judge`
trains every model that finished ATML's race on all subjects that were not held out, to score it on those that
were. Both go on where they were stopped. See README.md beside this file.
"""

import argparse
import json
import multiprocessing
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import optuna
import psutil
import torch
from optuna.trial import TrialState
from rich.progress import track
from scipy.stats import spearmanr

from atml.defaults import default_spec
from atml.ecg import grouped_folds, load_dataset
from atml.ecg.segment import subject_order
from atml.evaluation import estimate, evaluate
from atml.service.data import load_training_data
from atml.service.storage import open_storage
from atml.training import predict
from atml.training.allocator import allocator_of_children
from atml.tuning import records
from atml.tuning.candidates import Candidate
from atml.tuning.fit import Trainer
from atml.tuning.phases import load_spec, parse_spec
from atml.tuning.proposal import Proposal
from atml.tuning.ranking import contenders, front, rank

ROTATIONS, ROTATION_SEED = 3, 7
GOAL, GOAL_BYTES = 0.95, 10_000
LENGTH = 1250
HELD_OUT = ("fbeta", "subject_mean_fbeta", "auc")  # of a network on held-out subjects
CPU = torch.device("cpu")


# --- The searches ---------------------------------------------------------------------------------------


def held_out(directory, rotation):
    """Return the subjects that a rotation holds out."""
    split = grouped_folds(load_dataset(directory), folds=ROTATIONS, seed=ROTATION_SEED)[rotation]
    return tuple(sorted(set(split.valid.subjects.tolist()), key=subject_order))


def spec_of(arguments):
    """Return ATML's default spec, without the subjects of the rotation."""
    phase = load_spec(default_spec("joint.toml"))
    excluded = held_out(arguments.train, arguments.rotation)
    data = phase.data.model_copy(
        update={"train": str(arguments.train.resolve()), "exclude_subjects": excluded}
    )
    budget = phase.budget.model_copy(update={"minutes": arguments.minutes})
    changes = {"name": "atml", "data": data, "seed": 100 * arguments.rotation, "budget": budget}
    return phase.model_copy(update=changes)


def write_spec(phase, path):
    """Write the default spec with the rotation's subjects left out, and its minutes."""
    text = default_spec("joint.toml").read_text()
    excluded = json.dumps(list(phase.data.exclude_subjects))
    text = text.replace('name = "ecm"', f'name = "atml"\nseed = {phase.seed}').replace(
        "[data]\n", f"[data]\nexclude_subjects = {excluded}\n"
    )
    text = re.sub(r"^minutes = \d+$", f"minutes = {phase.budget.minutes:g}", text, flags=re.MULTILINE)
    path.write_text(text)


def search(arguments):
    """Run ATML's search, then plain Optuna's."""
    folder = arguments.out / f"rotation{arguments.rotation}"
    folder.mkdir(parents=True, exist_ok=True)
    phase = spec_of(arguments)
    write_spec(phase, folder / "atml.toml")
    for name, command in {
        "atml": [
            *(sys.executable, "-m", "atml", "search", str(folder / "atml.toml")),
            *("--train", str(arguments.train), "--workers", str(arguments.workers)),
            *("--storage", f"sqlite:///{folder}/atml.db", "--artifacts", str(folder / "artifacts")),
        ],
        "plain": [
            *(sys.executable, "-m", "tests.benchmarks.search.live", "plain", "--train", str(arguments.train)),
            *("--out", str(arguments.out), "--rotation", str(arguments.rotation)),
            *("--workers", str(arguments.workers), "--minutes", str(arguments.minutes)),
            *("--folds", str(arguments.folds)),
        ],
    }.items():
        timeline = folder / f"{name}.cpu.json"
        if timeline.exists():
            continue
        (folder / f"{name}.db").unlink(missing_ok=True)
        watch(command, folder / f"{name}.log", timeline)
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        on_all_folds(arguments, folder, Kept(folder / "on_all_folds.json", pool))


def watch(command, log, timeline):
    """Run a command and write [[seconds since the epoch, CPU seconds of all its processes], …]."""
    found, seen = [], {}
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            for one in (root, *_children(root)):
                try:
                    times = one.cpu_times()
                except psutil.Error:
                    continue
                seen[one.pid, one.create_time()] = times.user + times.system
            found.append([time.time(), sum(seen.values())])
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see {log}")
    timeline.write_text(json.dumps(found))


def _children(root):
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def plain(arguments):
    """Search with plain Optuna around ATML's networks and training: one joint study."""
    folder = arguments.out / f"rotation{arguments.rotation}"
    storage = f"sqlite:///{folder}/plain.db"
    study = optuna.create_study(study_name="plain", storage=storage, directions=["maximize", "minimize"])
    study.set_user_attr("folds", arguments.folds)
    phase = spec_of(arguments)
    candidates = [one.to_list() for one in phase.candidates(LENGTH)]
    context = multiprocessing.get_context("spawn")
    due = time.time() + arguments.minutes * 60
    workers = [
        context.Process(
            target=plain_worker, args=(storage, phase.stored(), candidates, arguments.folds, index, due)
        )
        for index in range(arguments.workers)
    ]
    with allocator_of_children():  # as ATML does
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join()


def plain_worker(storage, spec, candidates, folds, index, due):
    """One process of plain Optuna's search."""
    torch.set_num_threads(1)
    phase = parse_spec(spec, source="plain")
    trainer = Trainer(phase, load_training_data(phase.data), CPU)
    by_name = widths_of(map(Candidate.from_list, candidates))
    rates = phase.search.learning_rate

    def objective(trial):
        name = trial.suggest_categorical("architecture", sorted(by_name))
        width = trial.suggest_int(f"width_{name}", 0, len(by_name[name]) - 1)
        rate = trial.suggest_float("learning_rate", rates.low, rates.high, log=True)
        candidate = by_name[name][width]
        proposal = candidate.proposal(rate)
        counts = []
        for fold in range(folds):
            fit = trainer.fold(proposal, fold)
            for _ in fit.epochs():
                if time.time() > due:
                    trial.study.stop()
                    raise optuna.TrialPruned
            counts.append(fit.counts())
        return estimate(counts).fbeta, candidate.onnx_bytes

    study = optuna.load_study(
        study_name="plain",
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=phase.seed + index, constant_liar=True),
    )
    study.optimize(objective, timeout=max(0.0, due - time.time()), catch=(Exception,))


def widths_of(candidates):
    """Return the candidates of each architecture."""
    by_name = {}
    for one in candidates:
        by_name.setdefault(one.architecture, []).append(one)
    return by_name


# --- What came of them ----------------------------------------------------------------------------------


def on_all_folds(arguments, folder, kept):
    """Write {trial: F2 on all folds} of the models that plain Optuna would have shipped during its search."""
    study = study_of(folder, "plain")
    leaders = leaders_of(study)
    if study.user_attrs["folds"] > 1:
        found = [trial.values[0] for trial in leaders]
    else:
        widths = widths_of(spec_of(arguments).candidates(LENGTH))
        found = kept.results(
            score_on_all_folds,
            [
                (arguments.train, arguments.rotation, network_of_plain(widths, trial.params))
                for trial in leaders
            ],
        )
    numbers = [trial.number for trial in leaders]
    (folder / "shipped.json").write_text(json.dumps(dict(zip(numbers, found, strict=True))))


def leaders_of(study):
    """Return the trials that were the best of at most 10 KB when they ended."""
    leaders = []
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    for trial in sorted(ended, key=lambda one: one.datetime_complete):
        fbeta, onnx_bytes = trial.values
        if onnx_bytes <= GOAL_BYTES and fbeta > (leaders[-1].values[0] if leaders else 0.0):
            leaders.append(trial)
    return leaders


def network_of_plain(widths, params):
    """Return architecture, config and learning rate of one of plain Optuna's trials."""
    name = params["architecture"]
    candidate = widths[name][params[f"width_{name}"]]
    return name, candidate.config.model_dump(), params["learning_rate"]


def score_on_all_folds(job):
    """Train a network on every fold, as the race does, and return its F2."""
    train, rotation, (architecture, config, rate) = job
    trainer, _ = trainer_of(train, rotation)
    proposal, counts = Proposal.of(architecture, config, learning_rate=rate), []
    for fold in range(trainer.phase.data.folds):
        fit = trainer.fold(proposal, fold)
        for _ in fit.epochs():
            pass
        counts.append(fit.counts())
    return estimate(counts).fbeta


def study_of(folder, name):
    return optuna.load_study(study_name=name, storage=open_storage(f"sqlite:///{folder}/{name}.db"))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found at 10 KB or less."""

    steps: list[tuple[float, float, int]]  # CPU minutes, F2 on all folds and bytes of what it would ship
    minutes: float  # of CPU time in all
    trained: int

    @classmethod
    def by(cls, folder, name):
        timeline = np.array(json.loads((folder / f"{name}.cpu.json").read_text()))
        study = study_of(folder, name)
        shipped = json.loads((folder / "shipped.json").read_text()) if name == "plain" else {}
        steps = [
            (
                spent(timeline, trial.datetime_complete),
                shipped.get(str(trial.number), trial.values[0]),
                int(trial.values[1]),
            )
            for trial in leaders_of(study)
        ]
        trained = sum(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
        return cls(steps=steps, minutes=float(timeline[-1, 1]) / 60, trained=trained)

    def minutes_to(self, fbeta):
        """Return the CPU minutes until it would ship a model at least that good; None if it never would."""
        return next((minutes for minutes, reached, _ in self.steps if reached >= fbeta), None)


def spent(timeline, when):
    """Return the CPU minutes until a moment."""
    return float(np.interp(when.timestamp(), timeline[:, 0], timeline[:, 1])) / 60


@lru_cache(maxsize=1)
def trainer_of(train, rotation):
    """Return what trains on the subjects that were not held out, and the held-out segments."""
    phase = spec_of(argparse.Namespace(train=train, rotation=rotation, minutes=None))
    everything = load_dataset(train)
    test = everything.select(np.isin(everything.subjects, phase.data.exclude_subjects))
    torch.set_num_threads(1)
    return Trainer(phase, load_training_data(phase.data), CPU), test


def score_held_out(job):
    """Train a network on all subjects that were not held out, and score those that were."""
    train, rotation, (architecture, config, rate), seed, threshold = job
    trainer, test = trainer_of(train, rotation)
    proposal = Proposal.of(architecture, config, learning_rate=rate)
    weights, _ = trainer.on_all_subjects(proposal, seed=seed)
    model = proposal.build(LENGTH, seed=0)
    model.load_state_dict(weights)
    model.eval()
    scores = predict(model, test, device=CPU)
    metrics = evaluate(test.labels, scores, test.subjects, test.rhythms, threshold=threshold)
    return {
        "fbeta": metrics.fbeta,
        "subject_mean_fbeta": metrics.subject_mean_fbeta,
        "auc": metrics.roc_auc,
    }


def judge(arguments):
    """Find out how the models that finished the race do on subjects that nobody knew."""
    folder = arguments.out / f"rotation{arguments.rotation}"
    trials = study_of(folder, "atml").get_trials(deepcopy=False)
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        rows = held_out_rows(arguments, trials, Kept(folder / "judged.json", pool))
    (folder / "held_out.json").write_text(json.dumps(rows, indent=1))
    print(as_markdown(rows))


class Kept:
    """Results of jobs, kept in a file, so that none is done twice."""

    def __init__(self, path, pool):
        self.path, self.pool = path, pool
        self.known = json.loads(path.read_text()) if path.exists() else {}

    def results(self, work, jobs):
        """Return what `work` makes of every job."""
        keys = [json.dumps([*map(str, job)]) for job in jobs]
        missing = {key: job for key, job in zip(keys, jobs, strict=True) if key not in self.known}
        done = self.pool.imap(work, missing.values())
        for key, found in zip(missing, track(done, work.__name__, total=len(missing)), strict=True):
            self.known[key] = found
            self.path.write_text(json.dumps(self.known))
        return [self.known[key] for key in keys]


def network_of(trial):
    """Return architecture, config and learning rate of one of ATML's trials."""
    return records.architecture(trial), records.config(trial), records.learning_rate(trial)


def held_out_rows(arguments, trials, kept):
    """Return the estimate of every trial that finished the race, and its figures on held-out subjects."""
    phase = spec_of(arguments)
    ended = contenders(trials)
    on_front = {one.trial.number for one in front(ended)}
    first = rank(ended, phase.targets)[0].trial.number
    seeds = range(arguments.seeds)
    jobs = [
        (
            *(arguments.train, arguments.rotation, network_of(one.trial), seed),
            one.estimate.threshold,
        )
        for one in ended
        for seed in seeds
    ]
    found = kept.results(score_held_out, jobs)
    rows = []
    for position, one in enumerate(ended):
        # The mean over seeds: of one network they differ as much as good networks do from each other.
        scores = found[position * len(seeds) :][: len(seeds)]
        rows.append(
            {
                "trial": one.trial.number,
                "architecture": records.architecture(one.trial),
                "onnx_bytes": one.onnx_bytes,
                "estimate": one.fbeta,
                "subject_mean_estimate": records.metric(one.trial, "subject_mean_fbeta"),
                "front": one.trial.number in on_front,
                "ranked first": one.trial.number == first,
                **{name: float(np.mean([score[name] for score in scores])) for name in HELD_OUT},
            }
        )
    return rows


def correlation(rows, by):
    """Return Spearman's rank correlation of an estimate with subject-mean F2 on held-out subjects."""
    return float(spearmanr([row[by] for row in rows], [row["subject_mean_fbeta"] for row in rows]).statistic)


def as_markdown(rows):
    lines = [
        "| trial | architecture | bytes | estimate | held-out F2 | subject-mean F2 | AUC | |",
        "|--:|:--|--:|--:|--:|--:|--:|:--|",
    ]
    for row in sorted(rows, key=lambda one: -one["estimate"]):
        marks = ", ".join(name for name in ("front", "ranked first") if row[name])
        lines.append(
            f"| {row['trial']} | {row['architecture']} | {row['onnx_bytes']:,} | {row['estimate']:.4f} | "
            f"{row['fbeta']:.4f} | {row['subject_mean_fbeta']:.4f} | {row['auc']:.4f} | {marks} |"
        )
    ranks = {by: f"{correlation(rows, by):.2f}" for by in ("estimate", "subject_mean_estimate")}
    lines += ["", f"Rank correlation with subject-mean F2: {ranks}"]
    return "\n".join(lines)


def summary(arguments):
    """Print what all rotations gave."""
    print("| rotation | search | CPU min to .95 | to what both reached | F2 at the end | bytes | trained |")
    print("|--:|:--|--:|--:|--:|--:|--:|")
    folders = sorted(arguments.out.glob("rotation*"))
    for folder in folders:
        folds = study_of(folder, "plain").user_attrs["folds"]
        plain = "Optuna, joint TPE" + (", all folds" if folds > 1 else "")
        both = {label: Found.by(folder, name) for name, label in (("atml", "ATML"), ("plain", plain))}
        common = min(found.steps[-1][1] for found in both.values())
        for label, found in both.items():
            goal, (_, fbeta, onnx_bytes) = found.minutes_to(GOAL), found.steps[-1]
            reached = f"{goal:.1f}" if goal else f"> {found.minutes:.1f}"
            end = f"{fbeta:.4f} | {onnx_bytes} | {found.trained}"
            print(f"| {folder.name[-1]} | {label} | {reached} | {found.minutes_to(common):.1f} | {end} |")
    for path in (folder / "held_out.json" for folder in folders):
        if path.exists():
            print(f"\n{path.parent.name}\n{as_markdown(json.loads(path.read_text()))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "plain", "judge", "summary"))
    parser.add_argument("--train", type=Path, help="directory of segments")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rotation", type=int, default=0, choices=range(ROTATIONS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=16, help="of each search")
    parser.add_argument("--folds", type=int, default=1, choices=(1, 4), help="on which plain Optuna trains")
    parser.add_argument(
        "--seeds", type=int, default=9, help="of the trainings that are scored on held-out subjects"
    )
    arguments = parser.parse_args()
    {"search": search, "plain": plain, "judge": judge, "summary": summary}[arguments.what](arguments)


if __name__ == "__main__":
    main()
