"""Verifies versions for another process: `python -m tfxmodal.serving.verification FOLDER ...`."""

import sys
from pathlib import Path

from tfxmodal.serving.verification.verify import as_json, verify

if __name__ == "__main__":
    print(as_json([verify(Path(folder)) for folder in sys.argv[1:]]))
