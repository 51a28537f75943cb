"""Export of trained modules: slim ONNX with a parity check, or a PyTorch checkpoint."""

from atml.export.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from atml.export.classifier import OnnxClassifier
from atml.export.metadata import OnnxMetadata
from atml.export.onnx_model import check_parity, to_onnx

__all__ = [
    "Checkpoint",
    "OnnxClassifier",
    "OnnxMetadata",
    "check_parity",
    "load_checkpoint",
    "save_checkpoint",
    "to_onnx",
]
