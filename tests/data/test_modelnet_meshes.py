from pathlib import Path

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data.modelnet_meshes import modelnet_classes

FLAT = "OFF4 1 0\n0 0 {h}\n1 0 {h}\n1 1 {h}\n0 1 {h}\n4 0 1 2 3\n"
TALL = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 0 9\n3 0 1 2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "bed/train/bed_0002.off": FLAT.format(h=2),
        "bed/train/bed_0001.off": FLAT.format(h=1),
        "bed/test/bed_0003.off": FLAT.format(h=0),
        "lamp/train/lamp_0001.off": TALL,
        "README.txt": "not a mesh",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rows_are_files_in_the_order_of_class_and_name(folder):
    train, test = (data.modelnet(folder, part, points=64) for part in ("train", "test"))
    assert train.y.tolist() == [0, 0, 1]
    assert test.y.tolist() == [0]
    assert modelnet_classes(folder) == ("bed", "lamp")
    assert train.x.shape == (3, 64, 3)
    assert train.x.dtype == torch.float32
    assert torch.allclose(train.x.norm(dim=-1).amax(dim=1), torch.ones(3))
    # The flat ones are flat, the tall one is tall.
    assert (train.x[:2, :, 2].abs() < 1e-6).all()
    assert train.x[2, :, 2].std() > 3 * train.x[2, :, 0].std()


def test_points_are_drawn_from_the_seed(folder):
    one, same, other = (data.modelnet(folder, "train", seed=s, points=8) for s in (0, 0, 1))
    assert torch.equal(one.x, same.x)
    assert not torch.equal(one.x, other.x)
    # Two copies of one shape have points of their own.
    assert not torch.allclose(one.x[0], one.x[1])
    assert np.array_equal(one.row_ids, [0, 1, 2])


def test_what_is_missing_or_damaged_is_said(folder):
    with pytest.raises(
        FileNotFoundError, match=r"`folder` should hold class/test/\*.off, got none"
    ):
        data.modelnet(folder / "bed", "test")
    with pytest.raises(ValueError, match="`points` should lie in"):
        data.modelnet(folder, "test", points=0)
    (folder / "lamp/train/lamp_0001.off").write_text(TALL[:20])
    with pytest.raises(ValueError, match=r"lamp_0001.off should be a whole OFF file"):
        data.modelnet(folder, "train")


@pytest.mark.usefixtures("unchecked")
def test_parts_are_checked(folder):
    with pytest.raises(ValueError, match="`part` should be one of test, train, got 'valid'"):
        data.modelnet(folder, "valid")
