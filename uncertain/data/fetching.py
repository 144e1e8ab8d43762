"""Fetching sets: asked for, resumed where it broke off, checked, and never half there.

pooch looks up, checks and places files; the transfer itself is here, since pooch begins anew each
time. A file that is under way is ``NAME.partial``; it becomes ``NAME`` when it is whole and its
checksum is right, and is removed when it is whole and wrong.
"""

import contextlib
import errno
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from uncertain import atomic, checks
from uncertain.data.catalogue import CATALOGUE
from uncertain.data.local import fetched_folder
from uncertain.data.remote import REMOTE, Remote, RemoteFile
from uncertain.terminal import (
    BarColumn,
    Console,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

Report = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes in all (0 where the server does not say)."""

_CHUNK = 1 << 18
_SECONDS = (20.0, 60.0)
"""To connect, and between two pieces of an answer."""


def fetch(name: str, *, console: Console | None = None) -> Path:
    """Fetch a set from its publisher or a mirror into the cache, once.

    What is here already is checked and not fetched again. A transfer that breaks off keeps what has
    arrived, and the next call goes on from there. Nothing else in this library opens a connection.

    Args:
        name: One of ``REMOTE``; see ``uncertain data list``.
        console: Where the source, the licence and the progress are shown; standard error by default.

    Returns:
        The folder of fetched data; :func:`~uncertain.data.load` looks there after the local one.

    Raises:
        ValueError: The set can't be fetched, or its content is not what it should be.
        OSError: No address answers, the folder can't be written, or the disk is too full. The
            message says what was tried, and what came of it.
        ModuleNotFoundError: pooch is not installed.
    """
    checks.check_choice("name", name, REMOTE)
    checks.require("pooch", "benchmark")
    remote, entry = REMOTE[name], CATALOGUE[name]
    console = console or Console(stderr=True)
    folder = atomic.check_writable_directory(fetched_folder(), create=True)
    if all((folder / file).is_file() for file in entry.files) and remote.finish is not None:
        _say(console, f"{name}: already in {folder}")
        return folder
    _say(console, f"{name}: {entry.title}")
    _say(console, f"licence: {entry.licence}; from {remote.homepage}")
    _say(console, f"about {remote.megabytes} MB, into {folder}")
    _check_space(folder, remote)
    for file in remote.files:
        with _progress(console, Path(file.path).name) as report:
            _fetch_file(name, file, folder, report)
    if remote.finish is not None:
        remote.finish(folder)
    _say(console, f"{name}: done")
    return folder


def _fetch_file(name: str, file: RemoteFile, folder: Path, report: Report) -> None:
    """Try a file's addresses in order; say of all of them why they failed."""
    import pooch

    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with _quiet_pooch(), _alone(path):
        for url in file.urls:
            try:
                pooch.retrieve(
                    url,
                    known_hash=file.checksum or None,
                    fname=path.name,
                    path=path.parent,
                    downloader=_Resuming(path.with_name(f"{path.name}.partial"), report),
                )
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise _full(path) from error
                reasons.append(f"{url}: {_why(error)}")
            else:
                return
    raise OSError(
        f"`{name}` could not be fetched: {'; '.join(reasons)}. What has arrived is kept: run "
        f"`uncertain data fetch {name}` again to go on."
    )


class _Resuming:
    """A downloader for pooch that keeps what has arrived and asks only for the rest."""

    def __init__(self, partial: Path, report: Report) -> None:
        self.partial = partial
        self.facts = partial.with_name(f"{partial.name}.json")
        self.report = report

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests

        here = self._arrived(url)
        with requests.get(url, headers=self._asking(here), stream=True, timeout=_SECONDS) as answer:
            # Where as much is here as there is, or more, nothing can be joined: begin anew.
            past_the_end = answer.status_code == requests.codes.requested_range_not_satisfiable
            if not past_the_end:
                answer.raise_for_status()
                self._receive(url, answer, here)
        if past_the_end:
            self._forget()
            self(url, output_file, pooch)
            return
        self.partial.replace(output_file)
        self._forget()

    def _receive(self, url: str, answer: Any, here: int) -> None:
        """Add an answer to what is here, or begin with it where it is the whole file."""
        import requests
        import urllib3

        here = here if answer.status_code == requests.codes.partial_content else 0
        total = here + int(answer.headers.get("Content-Length", 0))
        self._remember(url, answer.headers)
        try:
            # As it arrives: what came before a connection broke is worth keeping.
            self._write(iter(lambda: answer.raw.read1(_CHUNK), b""), here, total)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError("the connection broke off") from error
        arrived = self.partial.stat().st_size
        if arrived < total:
            raise ConnectionError(f"the connection broke off after {arrived} of {total} bytes")

    def _write(self, pieces: Iterator[bytes], here: int, total: int) -> None:
        with self.partial.open("r+b" if here else "wb") as file:
            file.seek(here)
            self.report(here, total)
            for piece in pieces:
                file.write(piece)
                here += len(piece)
                self.report(here, total)

    def _arrived(self, url: str) -> int:
        """Return how much of this very file is here; what another address sent is not joined to it."""
        if not self.partial.is_file() or self._known().get("url") != url:
            self._forget()
            return 0
        return self.partial.stat().st_size

    def _asking(self, here: int) -> dict[str, str]:
        # Compressed on the way, a byte's place would mean something else.
        headers = {"Accept-Encoding": "identity"}
        if here:
            headers["Range"] = f"bytes={here}-"
            if self._known().get("version"):
                headers["If-Range"] = self._known()["version"]
        return headers

    def _known(self) -> dict[str, str]:
        try:
            found = json.loads(self.facts.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, url: str, headers: Any) -> None:
        tag = headers.get("ETag", "")
        # A weak tag says that the meaning is the same, not the bytes.
        version = headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
        self.facts.write_text(json.dumps({"url": url, "version": version}))

    def _forget(self) -> None:
        for path in (self.partial, self.facts):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file's transfer: two processes would write into one another."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"another process is fetching {path}: wait until it has ended."
            ) from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    import pooch

    logger: logging.Logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _progress(console: Console, title: str) -> Iterator[Report]:
    """Show a bar where there is a terminal; elsewhere nothing."""
    if not console.is_terminal:
        yield lambda here, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda here, total: progress.update(task, completed=here, total=total or None)


def _check_space(folder: Path, remote: Remote) -> None:
    free = shutil.disk_usage(folder).free
    if free < remote.megabytes * 1e6:
        raise OSError(
            errno.ENOSPC,
            f"`{folder}` has {free / 1e6:.0f} MB left of the {remote.megabytes} MB that are needed: "
            "free some space, or name another folder in UNCERTAIN_CACHE.",
        )


def _full(path: Path) -> OSError:
    return OSError(
        errno.ENOSPC,
        f"`{path}` could not be written: the disk is full. What has arrived is kept: free some space "
        "and fetch it again, or name another folder in UNCERTAIN_CACHE.",
    )


def _why(error: Exception) -> str:
    """Return what went wrong in words, without a library's layers."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection: is there a network, and does a proxy have to be set?"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what arrived has another checksum, and was removed"
    return str(error) or type(error).__name__


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
