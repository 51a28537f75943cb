"""The pictures of a model: ROC curve and calibration."""

from markupsafe import Markup

from atml.evaluation import Metrics, ScoreCurves
from atml.reports.html.svg import Chart, Scale

UNIT_SCALE = Scale(low=0, high=1)


def roc_chart(curves: ScoreCurves, metrics: Metrics) -> Markup | None:
    """Draw the ROC curve with the decision threshold; None with one class."""
    if not curves.roc or metrics.specificity is None:
        return None
    area = f"{metrics.roc_auc:.3f}" if metrics.roc_auc is not None else "unknown"
    chart = _square(f"ROC curve with area {area}")
    chart.axes("false alarms (1 - specificity)", "sensitivity")
    chart.line([(0, 0), (1, 1)], "chance")
    chart.line(curves.roc, "series a")
    false_rate, recall = 1 - metrics.specificity, metrics.recall
    words = f"threshold {metrics.threshold:g}: sensitivity {recall:.3f}, specificity {1 - false_rate:.3f}"
    chart.dot(false_rate, recall, 6, "front", title=words)
    chart.text(false_rate, recall, f"threshold {metrics.threshold:g}", "name", shift=(8, 18))
    return chart.render()


def reliability_chart(curves: ScoreCurves) -> Markup:
    """Draw the share of AFIB over the score; the area of a point grows with its segments."""
    chart = _square(f"reliability: calibration error {curves.calibration_error:.3f}")
    chart.axes("mean score", "share that is AFIB")
    chart.line([(0, 0), (1, 1)], "chance")
    chart.line([(one.mean_score, one.afib_share) for one in curves.reliability], "series b solid")
    most = max(one.segments for one in curves.reliability)
    for one in curves.reliability:
        words = (
            f"scores {one.low:g} to {one.high:g}: {one.segments:,} segments, mean score "
            f"{one.mean_score:.3f}, {one.afib_share:.1%} AFIB"
        )
        radius = 3 + 7 * (one.segments / most) ** 0.5
        chart.dot(one.mean_score, one.afib_share, radius, "bin", title=words)
    return chart.render()


def _square(label: str) -> Chart:
    return Chart(x=UNIT_SCALE, y=UNIT_SCALE, label=label, width=360, height=340)
