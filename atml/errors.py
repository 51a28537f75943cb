"""Every error that ATML raises on purpose.

AtmlError
├── DataError
│   ├── BadSegment
│   ├── NoSegments
│   └── TooFewSubjects
├── SpecError
├── StorageError
│   └── StorageUnreachable
├── StudyError
│   ├── UnknownStudy
│   └── SpecChanged
├── TrainingDiverged
├── ModelError
├── ParityError
├── CannotWrite
└── AddressError
    └── DashboardError

The text of each is one message a user can act on: what is wrong, where (file, line or field), and
what to do. The command line prints it without a traceback and exits with status 1.
"""


class AtmlError(Exception):
    """The user's input, data or set-up needs attention; the text says what to do."""


class DataError(AtmlError):
    """Segments on disk cannot be used as they are."""


class BadSegment(DataError):
    """One segment file has a wrong name, a wrong length or something that is no number."""


class NoSegments(DataError):
    """A directory holds no segment at all, or does not exist."""


class TooFewSubjects(DataError):
    """There are not enough subjects of each class to keep train and validation apart."""


class SpecError(AtmlError):
    """A study spec has an unknown field, a wrong value or cannot be read."""


class StorageError(AtmlError):
    """The storage URL is wrong, or its database cannot be used."""


class StorageUnreachable(StorageError):
    """The database server does not answer; it may do so later."""


class StudyError(AtmlError):
    """A study cannot do what was asked of it."""


class UnknownStudy(StudyError):
    """The storage holds no study of that name."""


class SpecChanged(StudyError):
    """A study is resumed with a spec or data that differ from those it was created with."""


class TrainingDiverged(AtmlError):
    """The training loss became infinite or not a number."""


class ModelError(AtmlError):
    """A model file or an architecture's configuration cannot be used."""


class ParityError(AtmlError):
    """An exported ONNX model and its PyTorch original disagree."""


class CannotWrite(AtmlError):
    """A disk, a bucket or a database takes nothing more: full, read-only, refused or gone.

    Nothing is lost: once that is mended, the same command goes on where it was. The command line
    says so after the text, so the text ends with what to mend.
    """


class AddressError(AtmlError):
    """Nothing can listen at that address."""


class DashboardError(AddressError):
    """The dashboard is not served without credentials, or to nobody."""
