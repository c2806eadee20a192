"""What fails outside the program, in one sentence: disks, files, memory."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Collection

from tfxmodal.errors import first_line

FULL = {os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}
"""What the system says of a disk, a quota or a file that takes no more."""

REASONS = FULL | {
    os.strerror(number)
    for number in (
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
        *(errno.EIO, errno.EBUSY, errno.ESTALE, errno.ENODEV, errno.ETXTBSY),
        *(errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP),
    )
}
"""What TensorFlow, too, says of a file after its path."""

OF_A_FILE = re.compile(rf"(?P<file>\S.*); (?P<reason>{'|'.join(map(re.escape, REASONS))})")
NOT_THERE = re.compile(r"(?:matching files for|file does not exist at:) (?P<file>\S+)")
OF_HDF5 = re.compile(r"filename = '(?P<file>.*?)'")
CUT_BY_NUMPY = re.compile(r"(?:(?P<file>.*): )?\d+ requested and \d+ written")

NO_MEMORY = re.compile(
    r"out of memory|\bOOM\b|CUDA_ERROR_OUT_OF_MEMORY|failed to allocate|"
    r"dst tensor is not initialized",
    re.IGNORECASE,
)
DEVICE = re.compile(r"\b(GPU|TPU):(\d+)|\b(GPU)_(\d+)_bfc|(CUDA)", re.IGNORECASE)


def told(error: BaseException, flags: Collection[str]) -> str | None:
    """What to say of an error; None of one that is a fault of the program.

    Args:
        error: What was raised.
        flags: The fields behind the flags of the command, which a remedy may name.
    """
    if isinstance(error, MemoryError):
        return _memory(first_line(error), flags)
    if isinstance(error, OSError):
        return _of_the_system(error, flags)
    if isinstance(error, sys.modules["tensorflow"].errors.OpError if _has_tensorflow() else ()):
        return _of_tensorflow(error, flags)
    return None


def _has_tensorflow() -> bool:
    return hasattr(sys.modules.get("tensorflow"), "errors")


def _of_the_system(error: OSError, flags: Collection[str]) -> str:
    text = str(error)
    if found := CUT_BY_NUMPY.match(text):  # It keeps no number of the error.
        return _file("A file could not be written to its end", found["file"], True, flags)
    reason, file = error.strerror, error.filename
    if error.errno and (found := OF_HDF5.search(text)):
        reason, file = os.strerror(error.errno), found["file"]
    if reason is None:
        return first_line(error)
    return _file(reason, file, reason in FULL, flags)


def _of_tensorflow(error, flags: Collection[str]) -> str | None:
    errors = sys.modules["tensorflow"].errors
    text = re.sub(r"\{\{.*?\}\} ?|\s*\[Op:.*", "", first_line(error))
    if found := OF_A_FILE.search(text):
        # A checkpoint's temporary file has a name of ninety letters.
        file = re.sub(r"_temp/part-\S*", "", found["file"])
        return _file(found["reason"], file, found["reason"] in FULL, flags)
    if isinstance(error, errors.NotFoundError) and (found := NOT_THERE.search(text)):
        return _file(os.strerror(errno.ENOENT), found["file"], False, flags)
    if isinstance(error, errors.DataLossError):
        return f"A file is cut short or damaged ({text}): write or download it again."
    if NO_MEMORY.search(str(error)):
        return _memory(text, flags)
    return text if isinstance(error, errors.PermissionDeniedError) else None


def _file(reason: str, file: str | None, full: bool, flags: Collection[str]) -> str:
    message = f"{reason}: {file}" if file else reason
    if not full:
        return message
    again = ", with `resume`" if "resume" in flags else ""
    return f"{message}: make room, and give the same command again{again}."


def _memory(what: str, flags: Collection[str]) -> str:
    device = DEVICE.search(what)
    remedies = [f"lower `{name}`" for name in sorted(flags) if name.startswith("batch_size")]
    remedies.append("end other programs that use it")
    if device:
        remedies.append("run on the CPU (CUDA_VISIBLE_DEVICES=-1)")
    where = f"of {device[0]} " if device else ""
    return f"The memory {where}is not enough ({what}): {', or '.join(remedies)}."
