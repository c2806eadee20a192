"""`corpus`, the code of export/embed_corpus.py, which is no part of the library."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "export"))
