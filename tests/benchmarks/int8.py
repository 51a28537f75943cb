"""How small files with INT8 weights are, and how well they agree with the fp32 files they are made from.

    python -m tests.benchmarks.int8 --train DIR [--architecture dscnn …] [--sizes 4000 8000]

Each network is trained briefly on all folds but one and judged on that one, at the threshold that suits its
fp32 scores best. See README.md beside this file.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import f1_score

from atml.ecg import grouped_folds, load_dataset
from atml.evaluation import best_threshold
from atml.export import OnnxClassifier, compare_quantized, quantize_weights, to_onnx
from atml.models import ARCHITECTURES
from atml.training import TrainingSettings, WithoutValidation, train
from atml.tuning.candidates import sized_candidates
from atml.tuning.sizes import onnx_metadata

SIZES = (2_500, 4_000, 8_000, 16_000)
FOLDS = 4
CALIBRATION = 512  # segments whose mean logits are kept


def trained(proposal, segments, fold):
    """Return a trained network."""
    network = proposal.build(segments.segment_length, seed=fold)
    settings = TrainingSettings(
        epochs=6, segments_per_epoch=8192, learning_rate=proposal.learning_rate, seed=fold
    )
    for _ in train(network, WithoutValidation(train=segments), settings, device=torch.device("cpu")):
        pass
    return network


def measure(candidate, split, fold, learning_rate):
    """Return the fp32 file, the INT8 file, their agreement and the F1 of both."""
    proposal = candidate.proposal(learning_rate)
    network = trained(proposal, split.train, fold)
    labels, length = np.asarray(split.valid.labels), split.valid.segment_length
    samples = split.valid.samples(np.arange(len(labels)))
    plain = to_onnx(network, segment_length=length, metadata=onnx_metadata(proposal))
    scores = OnnxClassifier(plain).probabilities(samples)
    threshold = best_threshold(labels, scores, split.valid.subjects, beta=1.0)
    plain = to_onnx(
        network, segment_length=length, metadata=onnx_metadata(proposal, threshold=round(threshold, 4))
    )
    some = np.random.default_rng(0).choice(
        len(split.train), min(CALIBRATION, len(split.train)), replace=False
    )
    quantized = quantize_weights(plain, split.train.samples(np.sort(some)))
    f1 = [
        f1_score(labels == 1, classifier.probabilities(samples) >= classifier.metadata.threshold)
        for classifier in (OnnxClassifier(plain), OnnxClassifier(quantized))
    ]
    return plain, quantized, compare_quantized(plain, quantized, samples), f1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, type=Path, help="directory of segments")
    parser.add_argument("--architecture", nargs="*", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="of the fp32 files, at most")
    parser.add_argument("--fold", nargs="*", type=int, default=[0], choices=range(FOLDS), help="held out")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(arguments.train)
    splits = grouped_folds(dataset, folds=FOLDS, seed=0)
    candidates = sized_candidates(arguments.architecture, arguments.sizes, dataset.segment_length)
    jobs = [(candidate, fold) for candidate in candidates for fold in arguments.fold]
    table = Table(title="INT8 beside fp32, on subjects that were held out")
    for name in ("network", "fold", "fp32", "INT8", "ratio", "logits ±", "equal %", "F1 fp32", "F1 INT8"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for candidate, fold in track(jobs, description="training", transient=True):
        plain, quantized, (difference, equal), f1 = measure(
            candidate, splits[fold], fold, arguments.learning_rate
        )
        table.add_row(
            candidate.architecture,
            str(fold),
            f"{len(plain):,}",
            f"{len(quantized):,}",
            f"{len(quantized) / len(plain):.3f}",
            f"{difference:.3f}",
            f"{100 * equal:.2f}",
            *(f"{value:.4f}" for value in f1),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
