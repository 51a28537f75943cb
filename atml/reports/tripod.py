"""The TRIPOD+AI checklist of a model: what its records answer, and what only its makers can.

Collins et al., TRIPOD+AI statement, BMJ 2024;385:e078378. The wording here is short for the checklist's own.
"""

from atml.reports.html.contents import ModelPart

NOT_APPLICABLE = "not applicable"
# Number, topic, and the section of the model card that answers it; empty where only the makers can.
_ITEMS = (
    ("1", "Title: model, population and outcome", "Summary"),
    ("2", "Abstract", ""),
    ("3a", "Health-care context, rationale and existing models", ""),
    ("3b", "Intended use and users", "Intended use"),
    ("3c", "Known health inequalities between groups", ""),
    ("4", "Objective: development, evaluation or both", "Summary"),
    ("5a", "Sources of the data", ""),
    ("5b", "Dates of data collection", ""),
    ("6a", "Setting, number and place of centres", ""),
    ("6b", "Eligibility of participants", ""),
    ("6c", "Treatments received", ""),
    ("7", "Preparation of the data", "Data"),
    ("8a", "Outcome and how it is labelled", "Data"),
    ("8b", "Qualification of those who annotated the rhythms", ""),
    ("8c", "Blinding of the annotation", ""),
    ("9a", "Choice of predictors", "Data"),
    ("9b", "Definition of predictors", "Data"),
    ("9c", "Predictors that need interpretation (none: the model reads samples)", NOT_APPLICABLE),
    ("10", "How the sample size was arrived at", ""),
    ("11", "Missing data", "Data"),
    ("12a", "Partition of the data", "Splits"),
    ("12b", "Handling of predictors", "Data"),
    ("12c", "Type of model, building and internal validation", "Splits"),
    ("12d", "Heterogeneity between clusters (here: subjects)", "Known failures"),
    ("12e", "Measures of performance", "Figures"),
    ("12f", "Model updating (none)", NOT_APPLICABLE),
    ("12g", "How predictions are computed", "Output and threshold"),
    ("13", "Class imbalance", "Data"),
    ("14", "Fairness", ""),
    ("15", "Output of the model", "Output and threshold"),
    ("16", "Differences between training and test data", ""),
    ("17", "Ethical approval", ""),
    ("18a", "Funding", ""),
    ("18b", "Conflicts of interest", ""),
    ("18c", "Protocol", ""),
    ("18d", "Registration", ""),
    ("18e", "Availability of the data", ""),
    ("18f", "Availability of code", "How to reproduce"),
    ("19", "Involvement of patients and the public", ""),
    ("20a", "Flow of participants", "Data"),
    ("20b", "Characteristics of the participants", ""),
    ("20c", "Comparison of training and test data", ""),
    ("21", "Participants and outcome events in each analysis", "Data"),
    ("22", "Specification of the model", "How to reproduce"),
    ("23a", "Performance with intervals", "Figures"),
    ("23b", "Heterogeneity of performance", "Known failures"),
    ("24", "Results of model updating (none)", NOT_APPLICABLE),
    ("25", "Interpretation of the results", ""),
    ("26", "Limitations", "Known failures"),
    ("27a", "Handling of poor input", "Robustness"),
    ("27b", "Interaction of users with the model, and their expertise", ""),
    ("27c", "Next steps and generalisability", ""),
)


def checklist(model: ModelPart) -> list[tuple[str, str, str]]:
    """Return the number and topic of every item, and the section that answers it; empty if none does."""
    unknown = () if model.robustness else ("27a",)
    return [(number, topic, "" if number in unknown else where) for number, topic, where in _ITEMS]
