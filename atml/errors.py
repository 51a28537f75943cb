"""Every error that ATML raises on purpose.

The text of each is a message that the user can act on: what is wrong, where (file, line or field),
and what to do. The command line prints it without a traceback and exits with status 1.
"""


class AtmlError(Exception):
    """The user's input, data or set-up needs attention; the text says what to do."""


class DataError(AtmlError):
    """Segments on disk cannot be used as they are."""


class BadSegment(DataError):
    """A segment file has a wrong name, a wrong length or a line that is not a number."""


class BadRecording(DataError):
    """A recording is damaged, or has no usable signal, channel or rhythm annotation."""


class NoSegments(DataError):
    """A directory contains no segments or does not exist."""


class TooFewSubjects(DataError):
    """There are too few subjects of each class to split training and validation."""


class SpecError(AtmlError):
    """A study spec has an unknown field or a wrong value, or cannot be read."""


class StorageError(AtmlError):
    """The storage URL is wrong, or its database cannot be used."""


class NoDatabase(StorageError):
    """The storage has never held a study: its file or its tables do not exist."""


class StorageUnreachable(StorageError):
    """The database server does not answer, perhaps only for now."""


class StudyError(AtmlError):
    """A study cannot be used as requested."""


class UnknownStudy(StudyError):
    """The storage has no study of that name."""


class StudyDeleted(UnknownStudy, KeyError):
    """A study or trial is no longer in the storage; also the KeyError that Optuna's storages raise."""

    __str__ = Exception.__str__  # a KeyError's text is quoted


class SpecChanged(StudyError):
    """A study is resumed with a different spec or different data."""


class TrainingDiverged(AtmlError):
    """The training loss became infinite or not a number."""


class ModelError(AtmlError):
    """A model file or an architecture's configuration cannot be used."""


class PluginError(AtmlError):
    """A distribution that adds an architecture to ATML cannot be used."""


class ParityError(AtmlError):
    """An exported ONNX model and its PyTorch original compute different results."""


class CannotWrite(AtmlError):
    """A disk, a bucket or a database cannot be written to: it is full, read-only, forbidden or gone.

    Nothing is lost: once that is fixed, the same command continues where it stopped. The command line
    appends this to the text, so the text ends with what to fix.
    """


class AddressError(AtmlError):
    """A server cannot listen on an address."""


class DashboardError(AddressError):
    """The dashboard's credentials are missing or malformed."""
