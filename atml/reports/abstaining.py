"""The confidence below which a shipped model gives no answer, if its spec asks for one."""

from dataclasses import dataclass

from atml.ecg import Dataset
from atml.evaluation import Abstention, least_confidence_for
from atml.evaluation.stored import Stored
from atml.export import OnnxClassifier
from atml.reports.assessment import answered_of, scores
from atml.reports.retrain import Retrained


@dataclass(frozen=True, kw_only=True)
class Withheld(Stored):
    """The confidence below which a model gives no answer."""

    #: From .5, at the threshold, to 1. Chosen on out-of-fold scores of the training that is shipped.
    least_confidence: float
    #: Figures of the networks of `out_of_fold`, at the confidence for the same share of answers of theirs. It
    #: differs from that of the shipped model if that learned from soft labels.
    out_of_fold: Abstention
    test: Abstention | None  #: Figures on the test segments; null without `--test`.


def abstaining(
    coverage: float, retrained: Retrained, model: OnnxClassifier, test: Dataset | None, *, beta: float
) -> Withheld:
    """Choose the least confidence at which the share `coverage` of out-of-fold scores gets an answer.

    The confidence of the shipped model is chosen on the scores of its own training, which are no measure of
    accuracy if it is on soft labels. Accuracy is measured by the scores of the candidate; they have another
    threshold, and so need a confidence of their own for the same coverage.
    """
    threshold, candidate = model.metadata.threshold, retrained.choice.candidate
    least = least_confidence_for(retrained.scored.scores, threshold, coverage)
    scored, chosen = candidate.scored, candidate.threshold
    own = least_confidence_for(scored.scores, chosen, coverage)
    held_out = answered_of(scored.dataset, scored.scores, threshold=chosen, least_confidence=own, beta=beta)
    tested = None
    if test is not None:
        found = scores(model, test)
        tested = answered_of(test, found, threshold=threshold, least_confidence=least, beta=beta)
    return Withheld(least_confidence=least, out_of_fold=held_out, test=tested)
