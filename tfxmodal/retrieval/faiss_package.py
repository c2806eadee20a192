"""FAISS with fast kernels."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

KERNELS = {
    "SkylakeX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
}
"""OpenBLAS' names of processors, best first, and the instructions that their kernels need."""

CHOSEN = "OPENBLAS_CORETYPE"
"""The variable of the environment in which a user may name another one."""


@cache
def load_faiss() -> ModuleType:
    """The package FAISS, which takes long to import.

    It holds an OpenBLAS of 2021, which takes a newer x86 processor for one of 2004: an index of
    200,000 vectors, 256 wide, was made in 47 s, and with the right kernels in 11 s (one core of an
    Intel processor of 2023). So it is told what the processor has.
    """
    told = None if CHOSEN in os.environ else kernels()
    if told:
        os.environ[CHOSEN] = told
    try:
        import faiss
    finally:
        if told:
            del os.environ[CHOSEN]  # It is read once, and is not for the processes that follow.
    return faiss


def kernels() -> str | None:
    """The best of `KERNELS` for this processor; None where the system does not tell what it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return None
    has = set(next((line for line in lines if line.startswith("flags")), "").split())
    return next((name for name, needed in KERNELS.items() if needed <= has), None)
