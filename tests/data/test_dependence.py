import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncertain import data
from uncertain.data import ByteImages, Split


def table(n: int, d: int, *, seed: int = 0, groups: np.ndarray | None = None) -> Split:
    """Rows whose every value says which row and column it came from."""
    x = torch.arange(n * d, dtype=torch.float64).reshape(n, d)
    y = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, n))
    return Split(x, y, np.arange(100, 100 + n), np.arange(n) if groups is None else groups)


def givers(broken: Split, d: int) -> np.ndarray:
    """Return which row each value of each row came from."""
    return (broken.x.reshape(len(broken), -1).numpy() // d).astype(int)


@given(n=st.integers(6, 40), d=st.integers(2, 7), k=st.integers(2, 3), seed=st.integers(0, 2**31))
@settings(max_examples=50)
def test_marginals_are_equal_and_blocks_come_from_different_rows(n, d, k, seed):
    blocks = min(k, d)
    split = table(n, d)
    broken = data.dependence_break(split, seed, blocks=blocks)
    assert torch.equal(broken.x.sort(dim=0).values, split.x.sort(dim=0).values)
    for row in givers(broken, d):
        assert len(set(row)) == blocks
    # Columns that came together from one row did so in every row: they are the blocks.
    together = {tuple(np.unique(row, return_inverse=True)[1]) for row in givers(broken, d)}
    partitions = {tuple(tuple(np.flatnonzero(np.equal(t, v))) for v in t) for t in together}
    assert len(partitions) == 1


def test_given_blocks_keep_their_joint_distribution():
    split = data.load("wine").test
    blocks = [[0, 3, 5], [1, 2, 4, 6, 7], [8, 9, 10, 11, 12]]
    broken = data.dependence_break(split, 4, blocks=blocks)
    for block in blocks:
        before, after = (sorted(map(tuple, s.x[:, block].tolist())) for s in (split, broken))
        assert before == after
    rows = set(map(tuple, split.x.tolist()))
    assert not rows & set(map(tuple, broken.x.tolist()))


@pytest.mark.parametrize("name", ["digits", "wine", "iris", "autompg", "breast_cancer"])
def test_within_classes_each_class_keeps_its_marginals(name):
    split = data.load(name).test
    broken = data.dependence_break(split, 1, within_class=True)
    labels = dict(zip(split.row_ids.tolist(), split.y.tolist(), strict=True))
    classes = torch.tensor([labels[row] for row in broken.row_ids.tolist()])
    for label in set(split.y.tolist()):
        before, after = split.x[split.y == label], broken.x[classes == label]
        assert torch.equal(before.sort(dim=0).values, after.sort(dim=0).values)
    assert broken.y is None


def test_the_first_moments_agree_and_the_dependence_is_gone():
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    x = torch.from_numpy(np.stack([z, z + 0.1 * rng.normal(size=4000)], axis=1))
    split = Split(x, None, np.arange(4000), np.arange(4000))
    broken = data.dependence_break(split, blocks=[[0], [1]])
    assert np.corrcoef(x.numpy().T)[0, 1] > 0.99
    # Standard error of a correlation of independent columns: 1 / sqrt(4000).
    assert abs(np.corrcoef(broken.x.numpy().T)[0, 1]) < 5 / np.sqrt(4000)


def test_a_group_holds_every_row_that_a_row_was_made_with():
    groups = np.repeat(np.arange(10), 3)
    split = table(30, 4, groups=groups)
    broken = data.dependence_break(split, 2)
    for row, name in zip(givers(broken, 4), broken.groups, strict=True):
        # Both givers' groups are in the row's set, whose name is the smallest of them.
        assert set(broken.groups[np.isin(groups, groups[row])]) == {name}
        assert name <= groups[row].min()
    assert set(np.bincount(broken.groups)[np.unique(broken.groups)]) == {6}


def test_the_order_of_rows_does_not_matter_but_the_seed_does():
    split = table(20, 4)
    one, other = data.dependence_break(split, 0), data.dependence_break(split, 1)
    assert not torch.equal(one.x, other.x)
    backwards = data.dependence_break(split[np.arange(19, -1, -1)], 0)
    assert torch.equal(backwards.x.flip(0), one.x)
    assert np.array_equal(backwards.groups[::-1], one.groups)


def test_images_stay_images():
    digits = data.load("digits").test
    left = [[8 * row + column for row in range(8) for column in range(4)]]
    halves = [*left, sorted(set(range(64)) - set(left[0]))]
    broken = data.dependence_break(digits, blocks=halves)
    assert broken.x.shape == digits.x.shape
    assert torch.equal(broken.x[..., :4], digits.x[..., :4])
    as_bytes = dataclasses.replace(digits, x=ByteImages((digits.x * 16).to(torch.uint8)))
    made = data.dependence_break(as_bytes, blocks=halves)
    assert isinstance(made.x, ByteImages)
    assert torch.equal(made.x.data, (broken.x * 16).to(torch.uint8))


@pytest.mark.usefixtures("unchecked")
def test_errors():
    split = table(6, 4)
    with pytest.raises(ValueError, match=r"`blocks` should lie in \[2, 4\], got 5.*4 columns"):
        data.dependence_break(split, blocks=5)
    for wrong in ([[0, 1], [2]], [[0, 1, 2, 3]], [[0, 1], [1, 2, 3]], [[0, 1, 2, 3], []]):
        with pytest.raises(ValueError, match="each of the 4 columns once"):
            data.dependence_break(split, blocks=wrong)
    with pytest.raises(ValueError, match="at least 3 rows to exchange 3 blocks, got 2"):
        data.dependence_break(split[:2], blocks=3)
    one = dataclasses.replace(split, y=torch.tensor([0, 0, 0, 0, 0, 1]))
    with pytest.raises(ValueError, match="at least 2 rows of each class"):
        data.dependence_break(one, within_class=True)
    for y in (None, torch.zeros(6)):
        with pytest.raises(ValueError, match="should have class labels"):
            data.dependence_break(dataclasses.replace(split, y=y), within_class=True)
