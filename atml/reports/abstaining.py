"""The confidence below which a shipped model gives no answer, if its spec asks for one."""

from dataclasses import dataclass
from typing import Any

from atml.ecg import Dataset
from atml.evaluation import Abstention, abstain, least_confidence_for
from atml.export import OnnxClassifier
from atml.reports.assessment import scores
from atml.reports.retrain import Retrained
from atml.reports.scored import Scored


@dataclass(frozen=True, kw_only=True)
class Abstaining:
    """A least confidence, chosen on out-of-fold scores, and what is gained by withholding answers."""

    least_confidence: float  # answers with a lower confidence are withheld
    out_of_fold: Abstention  # at the same coverage, by the networks that all out-of-fold figures are of
    test: Abstention | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "least_confidence": self.least_confidence,
            "out_of_fold": _to_dict(self.out_of_fold),
            "test": _to_dict(self.test) if self.test else None,
        }


def abstaining(
    coverage: float,
    retrained: Retrained,
    scored: Scored,
    model: OnnxClassifier,
    test: Dataset | None,
    *,
    beta: float,
) -> Abstaining:
    """Choose the least confidence at which the share `coverage` of out-of-fold scores gets an answer.

    `scored` are the scores of the candidate, by which its accuracy is measured.
    """
    threshold, chosen = model.metadata.threshold, retrained.choice.candidate
    least = least_confidence_for(retrained.scored.scores, threshold, coverage)
    return Abstaining(
        least_confidence=least,
        out_of_fold=abstain(
            scored.labels,
            scored.scores,
            scored.subjects,
            scored.rhythms,
            threshold=chosen.threshold,
            least_confidence=least_confidence_for(scored.scores, chosen.threshold, coverage),
            beta=beta,
        ),
        test=None
        if test is None
        else abstain(
            test.labels,
            scores(model, test),
            test.subjects,
            test.rhythms,
            threshold=threshold,
            least_confidence=least,
            beta=beta,
        ),
    )


def _to_dict(one: Abstention) -> dict[str, Any]:
    return {
        "coverage": one.coverage,
        "subject_coverage": one.subject_coverage,
        "metrics": one.metrics.to_dict() if one.metrics else None,
    }
