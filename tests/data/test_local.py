import numpy as np
import pytest
import torch

from uncertain import data

UCI = {
    "bostonHousing": (506, 13),
    "concrete": (1030, 8),
    "energy": (768, 8),
    "kin8nm": (8192, 8),
    "power-plant": (9568, 4),
    "wine-quality-red": (1599, 11),
}


@pytest.fixture
def small(tmp_path):
    """Write a set of 40 rows, every row twice, with three standard splits."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(20, 8)), 2, axis=0)
    y = np.round(rng.normal(size=40), 1)
    tests = {f"test_{k}": rng.permutation(40)[:8].astype(np.int32) for k in range(3)}
    (tmp_path / "uci").mkdir()
    np.savez(tmp_path / "uci" / "energy.npz", X=x, y=y, n_splits=3, **tests)
    return tmp_path, x, y, tests


def test_standard_splits_are_the_files_and_follow_the_seed(small):
    folder, x, y, tests = small
    for k in range(3):
        by_seed = data.load("uci/energy", seed=k, data_dir=folder, dtype=torch.float64)
        by_split = data.load("uci/energy", seed=9, split=k, data_dir=folder, dtype=torch.float64)
        for whole in (by_seed, by_split):
            assert np.array_equal(whole.test.row_ids, tests[f"test_{k}"])
            assert torch.equal(whole.test.x, torch.from_numpy(x[tests[f"test_{k}"]]))
            assert torch.equal(whole.test.y, torch.from_numpy(y[tests[f"test_{k}"]]))
            rest = np.concatenate([whole.train.row_ids, whole.validation.row_ids])
            assert np.array_equal(np.sort(rest), np.setdiff1d(np.arange(40), whole.test.row_ids))
        assert set(by_seed.validation.row_ids) != set(by_split.validation.row_ids)


def test_copies_are_grouped_counted_and_never_shared_with_validation(small):
    folder, _, y, _ = small
    whole = data.load("uci/energy", data_dir=folder)
    train, test = set(whole.train.row_ids), whole.test.row_ids
    copies = [row ^ 1 for row in test]
    assert whole.card.duplicates == {
        "test_in_train": sum(copy in train for copy in copies),
        "test_in_train_same_target": sum(
            copy in train and y[copy] == y[row] for row, copy in zip(test, copies, strict=True)
        ),
        "validation_in_train": 0,
    }
    assert whole.card.distinct == 20
    assert np.array_equal(whole.test.groups, test // 2 * 2)


def test_a_changed_file_is_read_again(small):
    import os

    folder, x, y, tests = small
    before = data.load("uci/energy", data_dir=folder)
    path = folder / "uci" / "energy.npz"
    np.savez(path, X=x, y=y + 1, n_splits=3, **tests)
    os.utime(path, ns=(1, 1))
    after = data.load("uci/energy", data_dir=folder)
    assert torch.allclose(after.test.y, before.test.y + 1)


def test_splits_that_are_not_there(small):
    folder, *_ = small
    with pytest.raises(
        ValueError, match=r"`split` should lie in \[0, 2\], got 3: uci/energy has 3"
    ):
        data.load("uci/energy", split=3, data_dir=folder)


def test_a_seed_beyond_the_standard_splits_begins_again(small):
    folder, _, _, tests = small
    found = [data.load("uci/energy", seed=seed, data_dir=folder) for seed in (1, 100, 103, 106)]
    for whole in found:
        assert np.array_equal(whole.test.row_ids, tests["test_1"])
    assert len({tuple(whole.validation.row_ids) for whole in found}) > 1


def test_missing_local_data_name_the_variable_and_the_file(monkeypatch, tmp_path):
    monkeypatch.delenv("UNCERTAIN_DATA", raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"needs uci/kin8nm.npz .* got none.*UNCERTAIN_DATA"
    ):
        data.load("uci/kin8nm")
    monkeypatch.setenv("UNCERTAIN_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"got {tmp_path} without cifar10_train.parquet and"
    ):
        data.load("cifar10")
    with pytest.raises(FileNotFoundError, match=r"got other without mnist_t10k.npz"):
        data.load("mnist_t10k", data_dir="other")


@pytest.mark.data
@pytest.mark.parametrize("name", UCI)
def test_uci_sets_are_the_files(name, data_dir):
    folder = data_dir(f"uci/{name}.npz")
    rows, columns = UCI[name]
    with np.load(folder / f"uci/{name}.npz") as arrays:
        for k in (0, 7, 19):
            whole = data.load(f"uci/{name}", seed=k, dtype=torch.float64)
            assert np.array_equal(whole.test.row_ids, arrays[f"test_{k}"])
            for part in (whole.train, whole.validation, whole.test):
                assert np.array_equal(part.x.numpy(), arrays["X"][part.row_ids])
                assert np.array_equal(part.y.numpy(), arrays["y"][part.row_ids])
            assert sum(whole.card.sizes.values()) == rows
            assert whole.card.shape == (columns,)
            assert whole.card.duplicates["validation_in_train"] == 0


@pytest.mark.data
def test_wine_quality_repeats_itself(data_dir):
    data_dir("uci/wine-quality-red.npz")
    card = data.show("uci/wine-quality-red")
    assert card.target_grid == 1
    assert 1599 - card.distinct == 240
    assert card.duplicates["test_in_train"] > 30


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist_t10k", "notmnist_t10k"])
def test_test_sets_are_all_test(name, data_dir):
    folder = data_dir(f"{name}.npz")
    whole = data.load(name)
    assert whole.card.sizes == {"train": 0, "validation": 0, "test": 10000}
    with np.load(folder / f"{name}.npz") as arrays:
        assert np.array_equal((whole.test.x[:, 0] * 255).round().numpy(), arrays["x"])
        assert np.array_equal(whole.test.y.numpy(), arrays["y"])
    assert whole.card.distinct == len(np.unique(whole.test.groups))


@pytest.mark.data
def test_the_packaged_digits_are_not_among_the_test_digits(data_dir):
    from uncertain.data.partition import row_hashes

    data_dir("mnist_t10k.npz")
    packaged = data.load("mnist5k")
    both = [
        row_hashes((x * 255).round().byte().numpy())
        for x in (packaged.train.x, data.load("mnist_t10k").test.x)
    ]
    assert not np.isin(*both).any()


@pytest.mark.data
@pytest.mark.slow
def test_cifar10_is_bytes_decoded_once(data_dir):
    import io

    from PIL import Image
    from pyarrow import parquet

    folder = data_dir("cifar10_train.parquet", "cifar10_test.parquet")
    whole = data.load("cifar10")
    assert whole.card.sizes == {"train": 43750, "validation": 6250, "test": 10000}
    assert isinstance(whole.train.x, data.ByteImages)
    table = parquet.read_table(folder / "cifar10_test.parquet")
    for row in (0, 17, 9999):
        image = Image.open(io.BytesIO(table["jpeg"][row].as_py()))
        expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        assert torch.equal(whole.test.x[[row]][0], expected)
        assert whole.test.y[row] == table["label"][row].as_py()
        assert whole.test.row_ids[row] == 50000 + row
    assert set(whole.card.duplicates.values()) == {0}
    assert (torch.bincount(whole.train.y) - 4375).abs().max() <= 1
