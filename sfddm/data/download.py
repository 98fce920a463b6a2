"""Checksummed downloads into a cache, resumed where they broke off."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from sfddm.data.spec import Download
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.progress import Progress

# What has arrived of a chunk is lost when the connection breaks, so chunks are small.
CHUNK_BYTES = 1 << 14
TIMEOUT_SECONDS = (10, 60)
ATTEMPTS = 4


def cache_folder() -> Path:
    """Return the folder of downloads: ``$XDG_CACHE_HOME/sfddm`` or what the system uses in its place."""
    import pooch

    return Path(pooch.os_cache("sfddm"))


def cached_path(download: Download) -> Path:
    """Return where a download lies once it is there. Files of one name (MNIST's, say) are kept apart by
    digest."""
    name = unquote(urlsplit(download.url).path).rsplit("/", 1)[-1]
    return cache_folder() / download.sha256[:12] / name


def fetch_file(download: Download) -> Path:
    """Return the local copy of a download; fetch it first where there is none with the right sha256.

    A file put there by hand is taken if its sha256 is right. Two processes that want the same file wait for
    each other.

    Raises:
        SfddmError: the address cannot be reached, or what it gives has another sha256.
    """
    import pooch
    from filelock import FileLock

    path = cached_path(download)
    pooch.get_logger().setLevel("WARNING")
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            pooch.retrieve(
                download.url,
                known_hash=f"sha256:{download.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=ResumingDownloader(partial),
            )
    except requests.RequestException as error:
        raise SfddmError(
            f"{download.url} could not be reached ({_reason(error)}); "
            f"get the file elsewhere and put it at {path} (sha256 {download.sha256})"
        ) from None
    except ValueError:
        raise SfddmError(
            f"{download.url}: what came does not have sha256 {download.sha256}; "
            f"run again if the connection was bad, or put the right file at {path}"
        ) from None
    return path


class ResumingDownloader:
    """A downloader for pooch that keeps what has arrived in ``partial`` and asks only for the rest.

    A connection that breaks is taken up again at once, at most ``ATTEMPTS`` times without a new byte; after a
    failure ``partial`` stays for the next run. A server that cannot resume starts over. Whether the whole is
    right is for pooch to check; ``partial`` is gone by then, so a wrong beginning is not resumed a second
    time.
    """

    def __init__(self, partial: Path) -> None:
        self._partial = partial

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> bool | None:
        """Fetch ``url`` into ``output_file``; the signature is pooch's.

        Raises:
            requests.RequestException: the server cannot be reached, refuses, or keeps breaking off.
        """
        if check_only:
            return requests.head(url, timeout=TIMEOUT_SECONDS, allow_redirects=True).ok
        failures = 0
        while True:
            before = self._size()
            try:
                self._continue(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                failures = 0 if self._size() > before else failures + 1
                if failures >= ATTEMPTS or (failures and self._size() == 0):
                    raise
        self._partial.replace(output_file)
        return None

    def _size(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _continue(self, url: str) -> None:
        start = self._size()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if _total_size(response) == start:
                    return
                self._partial.unlink()
                raise requests.ConnectionError("the partial file is longer than the file")
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content and _range_start(response) == start
            if start and not resumed:
                start = 0
            self._receive(response, start)

    def _receive(self, response: requests.Response, start: int) -> None:
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        name = urlsplit(response.url).path.rsplit("/", 1)[-1]
        with (
            self._partial.open("ab" if start else "wb") as file,
            Progress(name, total, done=start, unit="bytes") as progress,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                progress.add(len(chunk))


def _range_start(response: requests.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total_size(response: requests.Response) -> int | None:
    found = re.match(r"bytes \*/(\d+)$", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no connection"
