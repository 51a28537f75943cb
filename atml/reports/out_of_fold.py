"""The robustness of a candidate on subjects that its networks have not seen, and of what is shipped of it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from atml.ecg import Dataset
from atml.evaluation import Robustness, even_sample, robustness
from atml.evaluation.disturbances import peak
from atml.evaluation.robustness import UnderDisturbances, answers_to_extremes
from atml.reports.choose import Candidate
from atml.reports.retrain import Retrained
from atml.training.prediction import afib_scores

BATCH = 256


def out_of_fold_robustness(candidate: Candidate, dataset: Dataset, *, beta: float) -> UnderDisturbances:
    """Return how well a candidate does under disturbances, each subject judged by a network without it.

    The networks are those of the new folds, so no test segment is needed.
    """
    rows = even_sample(dataset.subjects)
    networks = []
    for fit in candidate.fits:
        network = candidate.proposal.build(dataset.segment_length, seed=0).eval()
        network.load_state_dict(fit.state_dict)
        networks.append((network, np.isin(rows, fit.valid_rows)))

    def scores(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        found = np.empty(len(rows))
        for network, held_out in networks:
            found[held_out] = _scores(network, samples[held_out])
        return found

    return robustness(
        scores,
        dataset.samples(rows),
        dataset.labels[rows],
        dataset.subjects[rows],
        threshold=candidate.threshold,
        beta=beta,
    )


def shipped_robustness(found: UnderDisturbances, retrained: Retrained, dataset: Dataset) -> Robustness:
    """Return the robustness of a candidate with the shipped model's answers to extreme segments.

    These are of no subject, so none needs to be held out.
    """
    network = retrained.choice.candidate.proposal.build(dataset.segment_length, seed=0).eval()
    network.load_state_dict(retrained.fit.state_dict)
    usual = float(np.median(peak(dataset.samples(even_sample(dataset.subjects)))))
    answers = answers_to_extremes(
        lambda samples: _scores(network, samples).astype(np.float64),
        length=dataset.segment_length,
        amplitude=usual,
    )
    return Robustness.of(found, answers, threshold=retrained.threshold)


def _scores(network: nn.Module, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    ecg = torch.from_numpy(np.ascontiguousarray(samples)).unsqueeze(1)
    with torch.inference_mode():
        return afib_scores(torch.cat([network(part) for part in torch.split(ecg, BATCH)]))
