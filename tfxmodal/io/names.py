"""Names of files and folders."""

import re


def plain_name(text: str) -> str:
    """A text as a name for any file system: letters, digits, `_`, `.`, and `-` for all else."""
    return re.sub(r"[^\w.-]+", "-", text)
