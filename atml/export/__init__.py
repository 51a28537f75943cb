"""Export of trained modules: slim ONNX with a parity check, INT8, or a PyTorch checkpoint."""

from atml.export.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from atml.export.classifier import OnnxClassifier
from atml.export.metadata import OnnxMetadata
from atml.export.onnx_model import check_parity, to_onnx
from atml.export.qdq import quantize_fully
from atml.export.quantize import Agreement, compare_quantized, quantize_weights

__all__ = [
    "Agreement",
    "Checkpoint",
    "OnnxClassifier",
    "OnnxMetadata",
    "check_parity",
    "compare_quantized",
    "load_checkpoint",
    "quantize_fully",
    "quantize_weights",
    "save_checkpoint",
    "to_onnx",
]
