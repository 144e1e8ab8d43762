"""Files that are either whole or not there: write to a temporary name, sync, rename.

A reader never sees half a file, and a run that is killed, interrupted or out of disk space leaves
the previous version untouched. A temporary file lies beside its target (a rename is atomic only
within one file system), is removed when writing fails, and is locked while its writer lives, so
that the next writer of the same target can sweep up what a killed one left.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no sweeping, everything else works
    fcntl = None  # type: ignore[assignment]

StrPath = str | os.PathLike[str]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Give a temporary path to write; on success it becomes ``path``, on failure it is removed.

    The file is synced to disk before the rename, keeps the mode of the file it replaces, and a
    symbolic link is written through. What is not a regular file (``/dev/stdout``, a named pipe) is
    written directly. Whatever opens the temporary path must have closed it when the block ends.

    Args:
        path: The file to write or replace; its directory must exist.

    Yields:
        A path in the same directory and with the same suffix, where the block writes.

    Raises:
        OSError: Where the disk is full, the directory is missing or may not be written, or ``path``
            is a directory: the error keeps its ``errno`` and names the path and a remedy.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_path(folder / "table.csv") as temporary:
        ...     _ = temporary.write_text("a,b")
        ...     (folder / "table.csv").exists()
        False
        >>> [file.name for file in folder.iterdir()]
        ['table.csv']
    """
    wanted = Path(path)
    if _is_special(wanted):
        yield wanted
        return
    target = Path(os.path.realpath(wanted))
    try:
        temporary, lock = _open_temporary(target)
    except OSError as error:
        raise _explain(error, wanted) from error
    try:
        yield temporary
        _sync(temporary)
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        if _concerns(error, temporary):
            raise _explain(error, wanted) from error
        raise
    finally:
        # Gone after a rename; removed after any failure, Ctrl-C included.
        with contextlib.suppress(OSError):
            temporary.unlink()
        os.close(lock)


def write_bytes(path: StrPath, data: bytes | bytearray | memoryview) -> None:
    """Write ``data`` to ``path`` atomically.

    Raises:
        OSError: As ``atomic_path``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "state.bin"
        >>> write_bytes(file, b"whole")
        >>> file.read_bytes()
        b'whole'
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(data)


def write_text(path: StrPath, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with the newlines it has.

    Raises:
        OSError: As ``atomic_path``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_text(file, "±")
        >>> file.read_text(encoding="utf-8")
        '±'
    """
    write_bytes(path, text.encode("utf-8"))


def check_writable_directory(path: StrPath, *, create: bool = False) -> Path:
    """Find out, before any work is done, that files can be written in a directory.

    A small file is really written and removed: permission bits say little about read-only mounts,
    quotas and full disks.

    Args:
        path: The directory.
        create: Whether to make it, and its parents, where it is missing.

    Returns:
        The directory as a ``Path``.

    Raises:
        OSError: Where it is missing (and ``create`` is false), not a directory, full, or may not be
            written.

    Example:
        >>> import tempfile
        >>> check_writable_directory(tempfile.mkdtemp()).is_dir()
        True
    """
    directory = Path(path)
    try:
        if create:
            directory.mkdir(parents=True, exist_ok=True)
        if directory.exists() and not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
        probe = directory / f".writable.{secrets.token_hex(4)}.tmp"
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
    except OSError as error:
        raise _explain(error, directory) from error
    return directory


def _is_special(path: Path) -> bool:
    """Whether ``path`` is a device, pipe or socket, which a rename would destroy."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _open_temporary(target: Path) -> tuple[Path, int]:
    """Create and lock an empty temporary file beside ``target``."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    _sweep(target)
    while True:
        name = f".{target.stem[:100]}.{secrets.token_hex(8)}.tmp{target.suffix}"
        temporary = target.with_name(name)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(descriptor) and temporary.exists():
            return temporary, descriptor
        os.close(descriptor)  # Swept between creating and locking: try again.


def _sweep(target: Path) -> None:
    """Remove temporary files of ``target`` whose writers are dead, told by their free locks."""
    if fcntl is None:
        return
    stem, suffix = glob.escape(target.stem[:100]), glob.escape(target.suffix)
    for stale in target.parent.glob(f".{stem}.{'[0-9a-f]' * 16}.tmp{suffix}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(stale, os.O_RDWR)
            try:
                if _lock(descriptor):
                    stale.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock on an open file without waiting; true where locks are not supported."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    # Opened afresh: the writer may have replaced the file that was created for it.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    # The rename itself survives a power cut only once the directory is synced; some file systems
    # refuse that, and the file is whole either way.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _concerns(error: OSError, temporary: Path) -> bool:
    """Whether an error raised while writing is about the file written, not one that was read."""
    if error.errno in _FULL:
        return True
    names = {os.fspath(name) for name in (error.filename, error.filename2) if name is not None}
    return os.fspath(temporary) in names


def _explain(error: OSError, path: Path) -> OSError:
    """The same kind of error in a sentence that names the path and what to do."""
    directory = path.parent if str(path.parent) else Path()
    code = error.errno or errno.EIO
    if code in _FULL:
        reason = f"the disk is full{_free(directory)}: free some space or choose another place"
    elif code in _FORBIDDEN:
        reason = "writing there is not allowed: change the permissions or choose another place"
    elif code == errno.EISDIR:
        reason = "it is a directory: give a file name"
    elif code in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST) and path.exists():
        reason = "it is not a directory: choose another place"
    elif code in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
        reason = "its directory does not exist: create it first"
    else:
        reason = f"{error.strerror or error}"
    return OSError(code, f"`{path}` could not be written: {reason}.")


def _free(directory: Path) -> str:
    with contextlib.suppress(OSError):
        return f" ({shutil.disk_usage(directory).free} bytes are left)"
    return ""
