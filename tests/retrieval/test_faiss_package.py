import os
import subprocess
import sys

import numpy as np
import pytest

from tfxmodal.retrieval import faiss_package
from tfxmodal.retrieval.faiss_package import CHOSEN, kernels

FEATURES = np._core._multiarray_umath.__cpu_features__
NUMPYS = "SkylakeX" if FEATURES.get("AVX512_SKX") else "Haswell" if FEATURES.get("AVX2") else None
"""What NumPy finds by asking the processor."""

CODE = """
import os
from threadpoolctl import threadpool_info
from tfxmodal.retrieval.faiss_package import load_faiss
before = dict(os.environ)
faiss = load_faiss()
assert os.environ == before and load_faiss() is faiss
print(*(each["architecture"] for each in threadpool_info() if "faiss_cpu" in each["filepath"]
        and each["internal_api"] == "openblas"))
"""


def test_the_kernels_are_those_of_the_processor():
    assert kernels() == NUMPYS


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("flags : fpu avx avx2 fma\nbugs : avx512f\n\nflags : avx512f", "Haswell"),
        ("flags\t\t: avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl\n", "SkylakeX"),
        ("flags : avx2 fma avx512f\n", "Haswell"),  # Without those of all widths.
        ("flags : sse2\n", None),
        ("Features : asimd\n", None),  # Of an ARM processor.
        ("", None),
    ],
)
def test_kernels_follow_from_what_the_system_tells(described, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_package, "Path", lambda _: tmp_path / "cpuinfo")
    assert kernels() is None  # A system that tells nothing.
    (tmp_path / "cpuinfo").write_text(described)
    assert kernels() == expected


@pytest.mark.skipif(NUMPYS is None, reason="the processor has none of the faster kernels")
@pytest.mark.parametrize("given", [None, "Nehalem"])
def test_faiss_multiplies_by_them_or_by_those_that_the_user_names(given):
    environment = {name: each for name, each in os.environ.items() if name != CHOSEN}
    environment |= {CHOSEN: given} if given else {}
    options = {"capture_output": True, "text": True, "env": environment}
    done = subprocess.run([sys.executable, "-c", CODE], **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [given or NUMPYS]
