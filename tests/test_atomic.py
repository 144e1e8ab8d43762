"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from uncertain.atomic import atomic_path, check_writable_directory, write_bytes, write_text

running_as_root = hasattr(os, "geteuid") and os.geteuid() == 0


def names(folder):
    return sorted(os.listdir(folder))


def test_target_is_unchanged_until_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_mode_and_links_are_kept(tmp_path):
    target = tmp_path / "real.txt"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_new_file_obeys_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_devices_are_written_to_not_replaced(tmp_path):
    write_bytes("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    script = "from uncertain.atomic import write_text; write_text('/dev/stdout', 'here')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "here"


def test_missing_directory(tmp_path):
    target = tmp_path / "no" / "a"
    with (
        pytest.raises(FileNotFoundError, match=r"no/a` could not .* create it first"),
        atomic_path(target),
    ):
        raise AssertionError("the block must not run")


def test_directory_as_target(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory: give a file name"):
        write_bytes(tmp_path, b"")


def test_file_as_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="not a directory"):
        check_writable_directory(tmp_path / "file")
    with pytest.raises(OSError, match="could not be written"):
        check_writable_directory(tmp_path / "file" / "below", create=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_named(tmp_path):
    # A real ENOSPC: the block writes to the device that is always full.
    target = tmp_path / "a"
    target.write_text("old")

    def write_to_full():
        with atomic_path(target), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OSError, match=r"the disk is full \(\d+ bytes are left\)") as caught:
        write_to_full()
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["a"]
    assert target.read_text() == "old"


def test_unwritable_directory_is_found_out(tmp_path, monkeypatch):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if running_as_root:  # root ignores permission bits: let the system call refuse instead
        folder = "/proc/self"
        with pytest.raises(OSError, match=r"could not be written"):
            check_writable_directory(folder)
    else:
        with pytest.raises(PermissionError, match="is not allowed: change the permissions"):
            check_writable_directory(folder)
        with pytest.raises(PermissionError, match="is not allowed"):
            write_bytes(folder / "a", b"")


def test_permission_error_is_worded(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match="writing there is not allowed"):
        write_bytes(tmp_path / "a", b"")


def test_other_system_errors_keep_their_words(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EIO, "Input/output error", None)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write_bytes(tmp_path / "a", b"")
    assert names(tmp_path) == []


def test_an_error_about_another_file_is_not_renamed(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "a"):
        (tmp_path / "elsewhere").read_text()


def test_check_creates_on_request_and_leaves_nothing(tmp_path):
    folder = tmp_path / "x" / "y"
    with pytest.raises(FileNotFoundError, match="does not exist: create it first"):
        check_writable_directory(folder)
    assert check_writable_directory(folder, create=True) == folder
    assert names(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and locks")
def test_a_killed_writer_leaves_the_old_file_and_the_next_one_sweeps(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    script = textwrap.dedent(f"""
        import time
        from uncertain.atomic import atomic_path
        with atomic_path({str(target)!r}) as temporary:
            temporary.write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "writing"
    write_bytes(target, b"meanwhile")  # the living writer's file is not swept
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert target.read_bytes() == b"meanwhile"
    assert len(names(tmp_path)) == 2
    write_bytes(target, b"new")
    assert names(tmp_path) == ["a.bin"]
    assert target.read_bytes() == b"new"


def test_names_with_wildcards_are_taken_literally(tmp_path):
    write_text(tmp_path / "a[1]*.txt", "x")
    write_text(tmp_path / "a[1]*.txt", "y")
    assert names(tmp_path) == ["a[1]*.txt"]
