"""Export of trained modules: slim ONNX with a parity check, or INT8."""

from atml.export.classifier import OnnxClassifier
from atml.export.metadata import OnnxMetadata
from atml.export.onnx_model import check_parity, to_onnx
from atml.export.qdq import quantize_fully
from atml.export.quantize import compare_quantized, quantize_weights

__all__ = [
    "OnnxClassifier",
    "OnnxMetadata",
    "check_parity",
    "compare_quantized",
    "quantize_fully",
    "quantize_weights",
    "to_onnx",
]
