"""The TRIPOD+AI checklist of a model: what its records answer, and what only its makers can.

Collins et al., TRIPOD+AI statement, BMJ 2024;385:e078378. The wording here is short for the checklist's own.
"""

from dataclasses import dataclass

from atml.reports.html.contents import ModelPart


@dataclass(frozen=True, kw_only=True)
class ChecklistItem:
    """One item of the checklist."""

    number: str
    topic: str
    answered_in: str  # section of the model card; empty if the records do not answer it


# Items that no record of a search answers: the makers have to.
_FOR_PEOPLE = {
    "2": "Abstract",
    "3a": "Health-care context, rationale and existing models",
    "3c": "Known health inequalities between groups",
    "5a": "Sources of the data",
    "5b": "Dates of data collection",
    "6a": "Setting, number and place of centres",
    "6b": "Eligibility of participants",
    "6c": "Treatments received",
    "8b": "Qualification of those who annotated the rhythms",
    "8c": "Blinding of the annotation",
    "10": "How the sample size was arrived at",
    "14": "Fairness",
    "16": "Differences between training and test data",
    "17": "Ethical approval",
    "18a": "Funding",
    "18b": "Conflicts of interest",
    "18c": "Protocol",
    "18d": "Registration",
    "18e": "Availability of the data",
    "19": "Involvement of patients and the public",
    "20b": "Characteristics of the participants",
    "20c": "Comparison of training and test data",
    "25": "Interpretation of the results",
    "27b": "Interaction of users with the model, and their expertise",
    "27c": "Next steps and generalisability",
}

_ANSWERED = {
    "1": ("Title: model, population and outcome", "Summary"),
    "3b": ("Intended use and users", "Intended use"),
    "4": ("Objective: development, evaluation or both", "Summary"),
    "7": ("Preparation of the data", "Data"),
    "8a": ("Outcome and how it is labelled", "Data"),
    "9a": ("Choice of predictors", "Data"),
    "9b": ("Definition of predictors", "Data"),
    "11": ("Missing data", "Data"),
    "12a": ("Partition of the data", "Splits"),
    "12b": ("Handling of predictors", "Data"),
    "12c": ("Type of model, building and internal validation", "Splits"),
    "12d": ("Heterogeneity between clusters (here: subjects)", "Known failures"),
    "12e": ("Measures of performance", "Figures"),
    "12g": ("How predictions are computed", "Output and threshold"),
    "13": ("Class imbalance", "Data"),
    "15": ("Output of the model", "Output and threshold"),
    "18f": ("Availability of code", "How to reproduce"),
    "20a": ("Flow of participants", "Data"),
    "21": ("Participants and outcome events in each analysis", "Figures"),
    "22": ("Specification of the model", "How to reproduce"),
    "23a": ("Performance with intervals", "Figures"),
    "23b": ("Heterogeneity of performance", "Known failures"),
    "26": ("Limitations", "Known failures"),
    "27a": ("Handling of poor input", "Robustness"),
}

_NOT_APPLICABLE = {
    "9c": "Predictors that need interpretation (none: the model reads samples)",
    "12f": "Model updating (none)",
    "24": "Results of model updating (none)",
}

NOT_APPLICABLE = "not applicable"


def checklist(model: ModelPart) -> list[ChecklistItem]:
    """Return every item, in the checklist's order."""
    known = dict(_ANSWERED)
    if model.robustness is None:
        known["27a"] = (known["27a"][0], "")
    rows = [(number, topic, "") for number, topic in _FOR_PEOPLE.items()]
    rows += [(number, topic, where) for number, (topic, where) in known.items()]
    rows += [(number, topic, NOT_APPLICABLE) for number, topic in _NOT_APPLICABLE.items()]
    items = [ChecklistItem(number=number, topic=topic, answered_in=where) for number, topic, where in rows]
    return sorted(items, key=lambda item: _order(item.number))


def unanswered(items: list[ChecklistItem]) -> list[ChecklistItem]:
    """Return the items that the records do not answer."""
    return [item for item in items if not item.answered_in]


def _order(number: str) -> tuple[int, str]:
    digits = number.rstrip("abcdefg")
    return int(digits), number[len(digits) :]
