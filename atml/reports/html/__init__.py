"""The report of a search and its models: one HTML page that needs no network.

`contents` is what it says, as data; `study_part` and `model_part` work that out from a study's trials
and from a bundle's files; the other modules draw it, and `page` puts it together.
"""
