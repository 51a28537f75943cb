"""ECG segments on disk → datasets in memory, split by subject.

What imports recordings is not offered here: it is slow to import, and parser processes import this.
"""

from atml.ecg.dataset import Dataset, check_directory, load_dataset
from atml.ecg.segment import AFIB_RHYTHM, CLASSES, SAMPLING_RATE_HZ, SegmentName
from atml.ecg.simulated import simulated_segments
from atml.ecg.sources.simulator import draw_subject, simulate
from atml.ecg.splits import Split, grouped_folds, shared_subjects

__all__ = [
    "AFIB_RHYTHM",
    "CLASSES",
    "SAMPLING_RATE_HZ",
    "Dataset",
    "SegmentName",
    "Split",
    "check_directory",
    "draw_subject",
    "grouped_folds",
    "load_dataset",
    "shared_subjects",
    "simulate",
    "simulated_segments",
]
