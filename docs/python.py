"""ATML from Python, step by step: `python docs/python.py`, a minute on a laptop."""

import optuna

import atml
from atml.pruners import report, should_prune


def main() -> None:
    # Segments: simulated here, with 12 subjects for the search and 4 others for the test.
    train = atml.simulate("python-demo/train", subjects=12, segments_per_subject=40, seed=1).directory
    test = atml.simulate("python-demo/test", subjects=4, segments_per_subject=40, seed=2, first_subject=12)
    dataset = atml.load_dataset(train)
    print(f"{len(dataset)} segments of {dataset.segment_length} samples")

    # Search: the fields of a spec as a dictionary, or the path of a TOML file
    spec = {
        "phase": "joint",
        "name": "python-demo",
        "data": {"train": str(train), "folds": 2},
        "search": {"architectures": ["simple_cnn", "optimized_afnet"], "sizes": [4000, 8000]},
        "training": {"epochs": 4, "segments_per_epoch": 512},
        "budget": {"trials": 6},
    }
    outcome = atml.search(spec, storage="sqlite:///python-demo/atml.db", artifacts="python-demo/artifacts")
    for trial in outcome.front:
        print(f"trial {trial.number}: {trial.params}, {trial.values}")

    # Finalize: evaluate the best again, train those of every size on all subjects, test once, write bundles
    final = atml.finalize(
        "python-demo",
        test=test.directory,
        storage="sqlite:///python-demo/atml.db",
        artifacts="python-demo/artifacts",
        out="python-demo/results",
    )
    for model in final.models:
        print(f"{model.bundle}: {model.onnx_bytes} bytes, F2 {model.test.fbeta:.3f} on subjects it never saw")

    # A report of both: one HTML page that needs no network
    page = atml.report(
        "python-demo",
        storage="sqlite:///python-demo/atml.db",
        artifacts="python-demo/artifacts",
        results="python-demo/results",
        out="python-demo/report.html",
    )
    print(f"{page}: {page.stat().st_size} bytes")

    # Use the model: a score from 0 to 1 for each segment; AFIB at or above the threshold
    bundle = atml.load_bundle(final.recommended.bundle)
    scores = bundle.classifier.probabilities(dataset.samples()[:5])
    print(scores, scores >= bundle.classifier.metadata.threshold)

    # The pruners work in any Optuna study. This one rules out learning rates near a bad one.
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
        if should_prune(trial):  # before anything is trained
            raise optuna.TrialPruned
        value = 0.9 if rate < 0.01 else 0.3  # your own training
        report(trial, value, step=0)
        return value

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=atml.NeighbourhoodPruner(radius=0.05, threshold=0.6),
    )
    study.optimize(objective, n_trials=30)
    pruned = study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    print(f"{len(pruned)} of 30 trials were not trained: another had failed near their learning rate")


if __name__ == "__main__":  # worker processes import this file and must not run it again
    main()
