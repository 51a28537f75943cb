"""The confidence below which a shipped model gives no answer, if its spec asks for one."""

from typing import Any

from atml.ecg import Dataset
from atml.evaluation import least_confidence_for
from atml.export import OnnxClassifier
from atml.reports.assessment import answered_of, scores
from atml.reports.retrain import Retrained
from atml.reports.scored import Scored


def abstaining(
    coverage: float,
    retrained: Retrained,
    scored: Scored,
    model: OnnxClassifier,
    test: Dataset | None,
    *,
    beta: float,
) -> dict[str, Any]:
    """Choose the least confidence at which the share `coverage` of out-of-fold scores gets an answer.

    The confidence of the shipped model is chosen on the scores of its own training, which are no measure of
    accuracy if it is on soft labels. `scored` are the scores of the candidate, by which accuracy is measured;
    they have another threshold, and so need a confidence of their own for the same coverage.

    Returns:
        As JSON, the least confidence, and what is gained by withholding answers: on the test segments, and
        out of fold, at its own confidence, by the networks that all out-of-fold figures are of.
    """
    threshold, chosen = model.metadata.threshold, retrained.choice.candidate.threshold
    least = least_confidence_for(retrained.scored.scores, threshold, coverage)
    own = least_confidence_for(scored.scores, chosen, coverage)
    held_out = answered_of(scored.dataset, scored.scores, threshold=chosen, least_confidence=own, beta=beta)
    tested = None
    if test is not None:
        found = scores(model, test)
        tested = answered_of(test, found, threshold=threshold, least_confidence=least, beta=beta).to_dict()
    return {"least_confidence": least, "out_of_fold": held_out.to_dict(), "test": tested}
