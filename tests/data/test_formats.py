import gzip
import io
import tarfile

import numpy as np
import pytest
import torch
from scipy import io as scipy_io

from uncertain import data
from uncertain.data import formats
from uncertain.data.common_corruptions import FILE

RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.tobytes())


def archive(path, members: dict[str, bytes], mode: str = "w:gz") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of fetched data; there is no local one."""
    monkeypatch.setenv("UNCERTAIN_CACHE", str(tmp_path))
    monkeypatch.delenv("UNCERTAIN_DATA", raising=False)
    return tmp_path / "data"


def mnist_like(folder, name: str) -> dict[str, np.ndarray]:
    (folder / name).mkdir(parents=True)
    made = {}
    for part, n in (("train", 60), ("t10k", 20)):
        made[part] = RNG.integers(0, 256, (n, 28, 28), np.uint8)
        made[f"{part} labels"] = np.arange(n, dtype=np.uint8) % 10
        (folder / name / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(made[part]))
        (folder / name / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(made[f"{part} labels"]))
    return made


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_mnist_and_its_kin(folder, name):
    made = mnist_like(folder, name)
    whole = data.load(name)
    assert whole.test.row_ids.tolist() == list(range(60, 80))
    assert torch.equal(whole.test.x[:], torch.from_numpy(made["t10k"])[:, None].float() / 255)
    assert whole.test.y.tolist() == made["t10k labels"].tolist()
    assert len(whole.card.classes) == 10
    row = whole.train.row_ids[3]
    assert torch.equal(whole.train.x[3:4][0, 0], torch.from_numpy(made["train"][row]).float() / 255)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_idx_is_read_back(tmp_path, dimensions):
    array = RNG.integers(0, 256, (3, 4, 2, 5)[:dimensions], np.uint8)
    (tmp_path / "a.gz").write_bytes(idx(array))
    assert np.array_equal(formats.read_idx(tmp_path / "a.gz"), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is no gzip file"),
        (idx(np.zeros((2, 2), np.uint8))[:-5], "is no gzip file"),
        (gzip.compress(b""), "is no IDX file"),
        (gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 7])), "is no IDX file"),
        (gzip.compress(bytes([0, 0, 8, 3, 0, 0])), "is no IDX file"),
        (gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 7])), r"header says \(9,\), and 1 bytes"),
    ],
    # Compressed bytes hold the time: as names they would differ between processes.
    ids=["html", "cut off", "empty", "wrong type", "short header", "short body"],
)
def test_what_is_no_idx_file(tmp_path, content, message):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        formats.read_idx(tmp_path / "a.gz")


def test_images_and_labels_that_do_not_fit(folder):
    mnist_like(folder, "mnist")
    labels = folder / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(idx(np.zeros(19, np.uint8)))
    with pytest.raises(ValueError, match=r"\(20, 28, 28\) and \(19,\)"):
        data.load("mnist")
    labels.write_bytes(idx(np.full(20, 10, np.uint8)))
    with pytest.raises(ValueError, match=r"class indices from 0 to 9, got 10.*Fetch it again"):
        data.load("mnist")


def cifar(n: int, labels: int, classes: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    images = RNG.integers(0, 256, (n, 3, 32, 32), np.uint8)
    codes = RNG.integers(0, classes, (n, labels), np.uint8)
    return np.hstack([codes, images.reshape(n, -1)]).tobytes(), images, codes[:, -1]


def test_cifar10_original(folder):
    batches = {k: cifar(8, 1, 10) for k in range(1, 6)}
    test = cifar(10, 1, 10)
    members = {f"cifar-10-batches-bin/data_batch_{k}.bin": b[0] for k, b in batches.items()}
    members |= {"cifar-10-batches-bin/test_batch.bin": test[0], "cifar-10-batches-bin/x.txt": b""}
    archive(folder / "cifar10_original" / "cifar-10-binary.tar.gz", members)
    whole = data.load("cifar10_original")
    assert whole.test.row_ids.tolist() == list(range(40, 50))
    assert torch.equal(whole.test.x[:], torch.from_numpy(test[1]).float() / 255)
    assert whole.test.y.tolist() == test[2].tolist()
    images = np.concatenate([b[1] for b in batches.values()])
    row = int(whole.train.row_ids[5])
    assert torch.equal(whole.train.x[5:6][0], torch.from_numpy(images[row]).float() / 255)


def test_cifar100_has_fine_labels_and_their_names(folder):
    train, test = cifar(30, 2, 100), cifar(10, 2, 100)
    names = [f"class_{k}" for k in range(100)]
    members = {"train.bin": train[0], "test.bin": test[0], "fine_label_names.txt": b""}
    members["fine_label_names.txt"] = "\n".join(names).encode() + b"\n\n"
    path = folder / "cifar100" / "cifar-100-binary.tar.gz"
    archive(path, {f"cifar-100-binary/{name}": content for name, content in members.items()})
    whole = data.load("cifar100")
    assert whole.card.classes == tuple(names)
    assert whole.test.y.tolist() == test[2].tolist()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"data_batch_1.bin": b"\0" * 3072}, "records of 3073 bytes, got a file of 3072"),
        ({"data_batch_1.bin": b""}, "records of 3073 bytes"),
        ({"readme.txt": b""}, r"holds no data_batch_\*.bin"),
        ({"data_batch_1.bin": b"\0" * 3073}, "holds no test.bin"),
    ],
)
def test_damaged_cifar(folder, members, message):
    archive(folder / "cifar10_original" / "cifar-10-binary.tar.gz", members)
    with pytest.raises(ValueError, match=message):
        data.load("cifar10_original")


@pytest.mark.parametrize("cut", [0, 10, 400])
def test_a_cut_archive(folder, cut):
    path = folder / "cifar10_original" / "cifar-10-binary.tar.gz"
    archive(path, {"data_batch_1.bin": RNG.bytes(3073 * 4)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="is no archive"):
        data.load("cifar10_original")


def test_svhn(folder):
    (folder / "svhn").mkdir(parents=True)
    made = {}
    for part, n in (("train", 40), ("test", 12)):
        made[part] = RNG.integers(0, 256, (32, 32, 3, n), np.uint8)
        labels = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        path = folder / "svhn" / f"{part}_32x32.mat"
        scipy_io.savemat(path, {"X": made[part], "y": labels})
    whole = data.load("svhn")
    assert whole.test.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    expected = torch.from_numpy(made["test"].transpose(3, 2, 0, 1).copy()).float() / 255
    assert torch.equal(whole.test.x[:], expected)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"test_32x32.mat is no MATLAB file"):
        data.load("svhn", seed=1)


def npy(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def corrupted(folder, **changes: bytes) -> dict[str, np.ndarray]:
    made = {"fog": RNG.integers(0, 256, (50, 32, 32, 3), np.uint8)}
    made["labels"] = np.tile(np.arange(10, dtype=np.uint8), 5)
    members = {f"{name}.npy": npy(array) for name, array in made.items()} | changes
    archive(folder / FILE, {f"CIFAR-10-C/{k}": v for k, v in members.items()}, mode="w")
    return made


def test_cifar10_c_is_read_from_its_archive(folder):
    made = corrupted(folder)
    split = data.cifar10_c("fog", 3)
    assert torch.equal(split.x.data, torch.from_numpy(made["fog"][20:30].transpose(0, 3, 1, 2)))
    assert split.y.tolist() == list(range(10))
    assert split.row_ids.tolist() == list(range(50_000, 50_010))
    with pytest.raises(ValueError, match=r"holds no snow\.npy"):
        data.cifar10_c("snow", 1)
    with pytest.raises(ValueError, match=r"data.cifar10_c\(corruption, severity\)"):
        data.load("cifar10_c")


def test_columns_first_arrays_are_read_too(tmp_path):
    array = np.asfortranarray(RNG.normal(size=(4, 5)))
    archive(tmp_path / "a.tar", {"a.npy": npy(array)}, mode="w")
    assert np.array_equal(formats.map_npy_in_tar(tmp_path / "a.tar", "a.npy"), array)


@pytest.mark.usefixtures("unchecked")
def test_damaged_corruptions(folder):
    with pytest.raises(FileNotFoundError, match="run `uncertain data fetch cifar10_c`"):
        data.cifar10_c("fog", 1)
    with pytest.raises(ValueError, match=r"`severity` should lie in \[1, 5\], got 6"):
        data.cifar10_c("fog", 6)
    with pytest.raises(ValueError, match="did you mean fog"):
        data.cifar10_c("fogg", 1)
    objects = npy(np.array([{}]), allow_pickle=True)
    for content in (b"no numpy", npy(np.zeros(9))[:-1], objects):
        corrupted(folder, **{"fog.npy": content})
        with pytest.raises(ValueError, match=r"fog.npy in .* is no plain array"):
            data.cifar10_c("fog", 1)
    corrupted(folder, **{"fog.npy": npy(np.zeros((5, 3)))})
    with pytest.raises(ValueError, match=r"should hold \(N, H, W, 3\) images"):
        data.cifar10_c("fog", 1)
    (folder / FILE).write_bytes(b"short")
    with pytest.raises(ValueError, match="is no uncompressed archive"):
        data.cifar10_c("fog", 1)


def test_the_local_folder_comes_first(folder, tmp_path, monkeypatch):
    mnist_like(folder, "mnist")
    local = tmp_path / "local"
    here = mnist_like(local, "mnist")
    assert data.load("mnist", data_dir=local).test.x.data[0, 0].tolist() == here["t10k"][0].tolist()
    monkeypatch.setenv("UNCERTAIN_DATA", str(tmp_path / "empty"))
    assert len(data.load("mnist").test) == 20


def test_what_is_not_fetched_says_how(folder):
    with pytest.raises(FileNotFoundError, match=r"run `uncertain data fetch mnist`, or name the"):
        data.load("mnist")
    lines = {line.name: line for line in data.listing()}
    assert lines["mnist"].why_not == "not fetched: uncertain data fetch mnist (about 12 MB)"
    mnist_like(folder, "mnist")
    assert {line.name: line for line in data.listing()}["mnist"].available
