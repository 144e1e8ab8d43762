import hashlib
import io
import json
import os
import shutil

import numpy as np
import pytest

from tests.data.server import Server, served
from uncertain import data
from uncertain.data import fetching, remote
from uncertain.data.remote import Remote, RemoteFile
from uncertain.terminal import Console

CONTENT = np.random.default_rng(0).bytes(400_000)
FILE = "mnist/train-images-idx3-ubyte.gz"
NAME = "mnist"


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("UNCERTAIN_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served({"big": CONTENT}) as running:
        yield running


def point(monkeypatch, *urls: str, checksum: str | None = None) -> None:
    """Let the set consist of one file at these addresses."""
    code = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}" if checksum is None else checksum
    made = Remote("http://example.org", 1, (RemoteFile(FILE, urls, code),))
    monkeypatch.setattr(fetching, "REMOTE", {NAME: made})


def fetched(tmp_path):
    return tmp_path / "cache" / "data" / FILE


def left(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache" / "data").rglob("*") if p.is_file())


def fetch() -> str:
    stream = io.StringIO()
    data.fetch(NAME, console=Console(file=stream, width=200))
    return stream.getvalue()


def test_a_file_arrives_whole_and_the_licence_is_said_first(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    said = fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == [fetched(tmp_path).name]
    assert said.index("licence: CC BY-SA 3.0; from http://example.org") < said.index("done")
    fetch()
    assert server.asked == [("/big", "")]


def test_a_broken_transfer_goes_on_where_it_was(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    for round_ in range(3):
        server.break_after = 100_000
        with pytest.raises(OSError, match=r"broke off|no connection.*What has arrived is kept"):
            fetch()
        assert not fetched(tmp_path).exists()
        partial = fetched(tmp_path).with_name(f"{fetched(tmp_path).name}.partial")
        assert partial.read_bytes() == CONTENT[: 100_000 * (round_ + 1)]
    server.break_after = None
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [
        "", "bytes=100000-", "bytes=200000-", "bytes=300000-",
    ]  # fmt: skip
    assert left(tmp_path) == [fetched(tmp_path).name]


@pytest.mark.parametrize("change", ["no ranges", "another version", "weak tags"])
def test_what_can_not_be_joined_begins_anew(server: Server, monkeypatch, tmp_path, change):
    point(monkeypatch, f"{server.address}/big")
    server.weak = change == "weak tags"
    server.files["big"] = CONTENT[::-1] if change == "another version" else CONTENT
    server.break_after = 100_000
    with pytest.raises(OSError, match="could not be fetched"):
        fetch()
    server.break_after, server.files["big"] = None, CONTENT
    server.ranges = change != "no ranges"
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == [fetched(tmp_path).name]


def test_a_partial_file_that_is_too_long_begins_anew(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    partial = fetched(tmp_path).with_name(f"{fetched(tmp_path).name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT + b"more")
    partial.with_name(f"{partial.name}.json").write_text(
        json.dumps({"url": f"{server.address}/big"})
    )
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == ["bytes=400004-", ""]


@pytest.mark.parametrize("facts", ["{half", "[]", '{"url": "http://elsewhere/big"}', None])
def test_a_partial_file_of_unknown_origin_is_not_joined(
    server: Server, monkeypatch, tmp_path, facts
):
    point(monkeypatch, f"{server.address}/big")
    partial = fetched(tmp_path).with_name(f"{fetched(tmp_path).name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"something else")
    if facts is not None:
        partial.with_name(f"{partial.name}.json").write_text(facts)
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/big", "")]


def test_a_wrong_checksum_is_said_and_nothing_is_left(server: Server, monkeypatch, tmp_path):
    server.files["big"] = CONTENT[:-1] + b"x"
    point(monkeypatch, f"{server.address}/big")
    with pytest.raises(OSError, match="has another checksum, and was removed"):
        fetch()
    assert left(tmp_path) == []


def test_a_damaged_file_on_disk_is_fetched_again(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    fetch()
    fetched(tmp_path).write_bytes(CONTENT[:-1] + b"x")
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT


def test_the_next_address_is_tried_and_all_reasons_are_said(server: Server, monkeypatch, tmp_path):
    gone, wrong = f"{server.address}/gone", f"{server.address}/wrong"
    server.files["wrong"] = b"a login page"
    point(monkeypatch, gone, wrong, f"{server.address}/big")
    fetch()
    assert fetched(tmp_path).read_bytes() == CONTENT
    fetched(tmp_path).unlink()
    point(monkeypatch, gone, wrong)
    with pytest.raises(
        OSError, match=r"gone: the server answered 404 Not Found; .*another checksum"
    ):
        fetch()
    assert left(tmp_path) == []


def test_no_network_is_said_and_what_has_arrived_is_kept(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    server.break_after = 1000
    with pytest.raises(OSError, match="could not be fetched"):
        fetch()
    before = left(tmp_path)
    with served({}) as other:
        address = other.address  # Its port is free again, so a connection is refused.
    partial = fetched(tmp_path).with_name(f"{fetched(tmp_path).name}.partial")
    facts = partial.with_name(f"{partial.name}.json")
    facts.write_text(json.dumps({"url": f"{address}/big"}))
    point(monkeypatch, f"{address}/big")
    with pytest.raises(OSError, match=r"no connection: is there a network.* again to go on"):
        fetch()
    assert left(tmp_path) == before
    assert partial.read_bytes() == CONTENT[:1000]


def test_a_name_that_no_server_has_is_no_network(server: Server, monkeypatch):
    point(monkeypatch, "http://no-such-host.invalid/big")
    with pytest.raises(OSError, match="no connection: is there a network"):
        fetch()


def test_no_answer_in_time(server: Server, monkeypatch):
    import requests

    def late(*_: object, **__: object) -> None:
        raise requests.ReadTimeout

    point(monkeypatch, f"{server.address}/big")
    monkeypatch.setattr(requests, "get", late)
    with pytest.raises(OSError, match="big: no answer in time"):
        fetch()


def test_a_folder_that_can_not_be_written_is_found_out_first(server, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    point(monkeypatch, f"{server.address}/big")
    with pytest.raises(OSError, match=r"data` could not be written"):
        fetch()
    assert server.asked == []


def test_a_full_disk_is_said_before_and_during(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000))
        with pytest.raises(OSError, match=r"0 MB left of the 1 MB.*UNCERTAIN_CACHE"):
            fetch()
    assert server.asked == []

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(fetching._Resuming, "_write", full)
        with pytest.raises(OSError, match=r"the disk is full\. What has arrived is kept"):
            fetch()


def test_two_processes_do_not_write_into_one_another(server: Server, monkeypatch, tmp_path):
    point(monkeypatch, f"{server.address}/big")
    fetched(tmp_path).parent.mkdir(parents=True)
    with fetching._alone(fetched(tmp_path)), pytest.raises(OSError, match="another process is"):
        fetch()
    fetch()


def test_a_terminal_gets_a_bar(server: Server, monkeypatch):
    point(monkeypatch, f"{server.address}/big")
    stream = io.StringIO()
    data.fetch(NAME, console=Console(file=stream, width=120, force_terminal=True))
    assert "train-images-idx3-ubyte.gz" in stream.getvalue()
    assert "400.0/400.0 kB" in stream.getvalue()


def test_the_log_level_of_pooch_is_put_back(server: Server, monkeypatch):
    import pooch

    point(monkeypatch, f"{server.address}/big")
    before = pooch.get_logger().level
    fetch()
    assert pooch.get_logger().level == before


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_name():
    with pytest.raises(ValueError, match="did you mean cifar100"):
        data.fetch("cifar1000")


# UCI sets: many small files, checked by what is made of them


def uci_files(rng) -> tuple[dict[str, bytes], np.ndarray, np.ndarray, list[np.ndarray]]:
    table = rng.normal(size=(30, 4))
    tests = [np.sort(rng.permutation(30)[:3]) for _ in range(2)]

    def text(array: np.ndarray) -> bytes:
        stream = io.StringIO()
        np.savetxt(stream, array)
        return stream.getvalue().encode()

    files = {"data": table, "index_features": np.arange(3), "index_target": np.array([3])}
    files |= {f"index_test_{k}": test for k, test in enumerate(tests)}
    return {f"{k}.txt": text(v) for k, v in files.items()}, table[:, :3], table[:, 3], tests


def uci(monkeypatch, server: Server, sha256: str) -> None:
    import functools

    made = Remote(
        "http://example.org", 1,
        tuple(
            RemoteFile(f"uci/energy.parts/{file}", (f"{server.address}/{file}",))
            for file in server.files if file.endswith(".txt")
        ),
        functools.partial(remote.join_uci, name="energy", sha256=sha256, splits=2),
    )  # fmt: skip
    monkeypatch.setattr(fetching, "REMOTE", {"uci/energy": made})


def test_a_uci_set_is_made_of_its_files_and_loads(server: Server, monkeypatch, tmp_path):
    files, x, y, tests = uci_files(np.random.default_rng(0))
    server.files = files
    uci(monkeypatch, server, remote.content_hash(x, y, tests))
    monkeypatch.delenv("UNCERTAIN_DATA", raising=False)
    data.fetch("uci/energy", console=Console(quiet=True))
    assert left(tmp_path) == ["energy.npz"]
    whole = data.load("uci/energy", seed=1)
    assert whole.test.row_ids.tolist() == tests[1].tolist()
    np.testing.assert_allclose(whole.test.y, y[tests[1]], rtol=1e-6)
    asked = len(server.asked)
    data.fetch("uci/energy", console=Console(quiet=True))
    assert len(server.asked) == asked


@pytest.mark.parametrize("wrong", ["another number", "no number", "no row"])
def test_a_changed_uci_set_is_refused_and_fetched_again(
    server: Server, monkeypatch, tmp_path, wrong
):
    files, x, y, tests = uci_files(np.random.default_rng(0))
    changed = {
        "another number": np.ascontiguousarray(x[::-1]).tobytes() and b"1 2 3 4\n" * 30,
        "no number": b"<html>",
        "no row": b"1 2\n",
    }[wrong]
    server.files = files | {"data.txt": changed}
    uci(monkeypatch, server, remote.content_hash(x, y, tests))
    with pytest.raises(ValueError, match=r"should have the SHA-256|are no tables of numbers"):
        data.fetch("uci/energy", console=Console(quiet=True))
    assert left(tmp_path) == []
    server.files = files
    data.fetch("uci/energy", console=Console(quiet=True))
    assert left(tmp_path) == ["energy.npz"]


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(remote._UCI_SUMS))
def test_the_stated_content_is_that_of_the_local_copies(name, data_dir):
    with np.load(data_dir(f"uci/{name}.npz") / f"uci/{name}.npz") as arrays:
        tests = [arrays[f"test_{k}"] for k in range(int(arrays["n_splits"]))]
        assert remote.content_hash(arrays["X"], arrays["y"], tests) == remote._UCI_SUMS[name]


def test_every_set_that_can_be_fetched_is_in_the_catalogue_with_these_files():
    for name, known in data.REMOTE.items():
        assert name in data.names()
        files = fetching.CATALOGUE[name].files
        if known.finish is None:
            assert [file.path for file in known.files] == list(files)
            assert all(file.checksum.partition(":")[0] in ("md5", "sha256") for file in known.files)
        assert all(url.startswith("http") for file in known.files for url in file.urls)
