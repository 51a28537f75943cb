"""C99 code for microcontrollers: from a model file to `ecm.c`, `ecm.h`, a self-test and a Makefile.

    model.onnx ─► graph ─► generator (emx-onnx-cgen) ─► arena, sharing ─► network ─► sources ─► check

Each weight is restored from INT8 beside its layer (`graph`), emx-onnx-cgen makes a C function of each node
(`generator`), tensors that are needed at different times share memory (`arena`), and functions that differ
only in numbers become one (`sharing`).
"""

from atml.export.c.check import CCheck, check_c, check_on_host, check_on_target
from atml.export.c.footprint import Footprint, flash_bytes, footprint
from atml.export.c.sources import CSources, to_c, write_c

__all__ = [
    "CCheck",
    "CSources",
    "Footprint",
    "check_c",
    "check_on_host",
    "check_on_target",
    "flash_bytes",
    "footprint",
    "to_c",
    "write_c",
]
