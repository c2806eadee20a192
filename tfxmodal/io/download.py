"""Downloads that go on where they stopped and never pass for whole before they are checked."""

import hashlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tfxmodal.errors import InputError

CHUNK = 1 << 20
TIMEOUT = 60  # Seconds without a byte before a connection counts as lost.


def fetch(url: str, folder: Path, md5: str, progress=None) -> Path:
    """Downloads a file into a folder, under the name it has in the URL.

    What has arrived is kept in `NAME.part`; the next call asks the server for the rest only. A file
    that already has its own name is whole, and taken as it is.

    Args:
        url: Where it lies.
        folder: Where it goes; made if needed.
        md5: Its checksum. A file of other content is deleted.
        progress: Wraps the pieces of 1 MiB, like tqdm.

    Raises:
        InputError: If the server cannot be reached or refuses, the connection breaks, the disk is
            full, or the checksum differs.
    """
    import requests

    path = folder / PurePosixPath(urlsplit(url).path).name
    if path.exists():
        return path
    part = path.with_name(path.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(url, part, progress)
        with part.open("rb") as file:
            received = hashlib.file_digest(file, "md5").hexdigest()
    except requests.RequestException as error:
        raise InputError(
            f"Downloading {url} failed ({_reason(error)}): check the connection and run the same "
            "command again, which continues where it stopped."
        ) from error
    except OSError as error:
        raise InputError(
            f"Cannot write {part} ({error.strerror}): make room or choose another folder, and run "
            "the same command again."
        ) from error
    if received != md5:
        part.unlink()
        raise InputError(
            f"{url} arrived with MD5 {received} instead of {md5} and was deleted: run the same "
            "command again."
        )
    os.replace(part, path)
    return path


def _download(url: str, part: Path, progress) -> None:
    """Appends to `part` what it lacks of the file."""
    import requests

    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # Nothing is lacking: the checksum decides.
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        length = int(response.headers.get("Content-Length", 0))
        chunks = response.iter_content(CHUNK)
        if progress:
            total = -(-length // CHUNK) or None
            chunks = progress(chunks, total=total, desc=f"{part.stem} (MiB)")
        with part.open("ab" if resumed else "wb") as file:
            for chunk in chunks:
                file.write(chunk)


def _reason(error: OSError) -> str:
    """What a `requests.RequestException` means for a person."""
    import requests

    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return {
        requests.ConnectTimeout: "no answer",
        requests.ReadTimeout: "the server fell silent",
        requests.exceptions.ChunkedEncodingError: "the connection broke off",
    }.get(type(error), "no connection to the server")


def unzip(archive: Path, folder: Path, progress=None) -> None:
    """Extracts an archive; files that are there with their full size are left as they are.

    Raises:
        InputError: If the archive is damaged or the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if progress:
                members = progress(members, total=len(members), desc=f"unpacking {archive.name}")
            for member in members:
                _extract(file, member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{archive} is damaged ({error}): delete it and download again."
        ) from error
    except OSError as error:
        raise InputError(
            f"Cannot unpack {archive} ({error.strerror}): make room and run the same command again."
        ) from error


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / member.filename
    if not path.resolve().is_relative_to(folder.resolve()):
        raise zipfile.BadZipFile(f"{member.filename} lies outside")
    if path.exists() and path.stat().st_size == member.file_size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")  # Not flushed one by one: there are 120,000.
    with file.open(member) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, CHUNK)
    os.replace(part, path)
