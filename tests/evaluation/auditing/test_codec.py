"""JPEG on one side of a pair is found by its rounding, and on neither or both it is not."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from uncertain import data
from uncertain.evaluation.auditing import codec
from uncertain.evaluation.auditing.codec import check_codec, rounding
from uncertain.evaluation.auditing.inputs import check_inputs


def stored(images: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of whole grey levels after JPEG, and its table of steps, as its encoder wrote it."""
    out = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        with Image.open(stream) as read:
            table = np.array(read.quantization[0]).reshape(8, 8)
        out.append(decoded(stream.getvalue()))
    return np.stack(out), table


def decoded(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as read:
        return np.array(read)


def textured(n: int = 60, seed: int = 0, colours: int = 0) -> np.ndarray:
    """Return smooth images with fine noise, away from black and white."""
    shape = (n, 64, 64, *([colours] if colours else []))
    x = np.random.default_rng(seed).normal(size=shape)
    smooth = x.cumsum(axis=1).cumsum(axis=2)
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    grain = 3 * np.random.default_rng(seed + 1).normal(size=shape)
    return (60 + 130 * (smooth - low) / (high - low) + grain).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [50, 60, 75])
@pytest.mark.parametrize("colours", [0, 3])
def test_the_steps_are_those_that_the_encoder_wrote(quality, colours):
    images, table = stored(textured(colours=colours), quality)
    found = rounding(images)
    written = np.array([table[u, v] for u, v in codec._LOW])
    known = ~np.isnan(found.step) & (written >= codec.STEPS[0]) & (written < codec.STEPS[-1])
    assert known.sum() >= 10
    np.testing.assert_array_equal(found.step[known], written[known])


@pytest.mark.parametrize("scale", ["levels", "fractions", "standardised"])
@pytest.mark.parametrize("test_side", [True, False])
def test_one_side_through_a_codec_is_told(scale, test_side):
    plain, other = textured(seed=5), stored(textured(seed=7), 50)[0]
    pair = [x / np.float32(255) if scale == "fractions" else x for x in (plain, other)]
    if scale == "standardised":
        pair = [(x.astype(np.float64) - 120) / 37.5 for x in pair]
    (finding,) = check_codec("the pair", *(reversed(pair) if test_side else pair))
    assert (finding.severity, finding.check) == ("warn", "codec")
    assert ("test inputs, and not on these" in finding.seen) == test_side


def test_two_qualities_are_told_apart():
    low, high = stored(textured(seed=5), 50)[0], stored(textured(seed=7), 75)[0]
    (finding,) = check_codec("the pair", high, low)
    assert finding.seen.startswith("JPEG rounded test inputs to multiples of")
    # What was compressed twice has the steps of the second time.
    (again,) = check_codec("the pair", high, stored(high, 50)[0])
    assert again.seen.startswith("JPEG rounded test inputs to multiples of")


@pytest.mark.parametrize("quality", [None, 50, 75, 90])
def test_alike_pairs_are_not_told_apart(quality):
    pair = [textured(seed=5), textured(seed=7)]
    if quality:
        pair = [stored(x, quality)[0] for x in pair]
    assert list(check_codec("the pair", *pair)) == []


@pytest.fixture(scope="module")
def packaged() -> dict[str, np.ndarray]:
    """Return images of the packaged sets of one size, as whole grey levels (N, 28, 28)."""
    digits = data.load("mnist5k")
    sets = {"train": digits.train.x[:800], "test": digits.test.x[:], "glyphs": data.glyphs().x[:]}
    return {
        name: (255 * np.asarray(x).reshape(len(x), 28, 28)).round().astype(np.uint8)
        for name, x in sets.items()
    }


def test_no_pair_of_packaged_sets_is_called_of_two_codecs(packaged):
    for (a, x), (b, z) in itertools.combinations(packaged.items(), 2):
        assert list(check_codec(f"{a} and {b}", x, z)) == []
    for x in packaged.values():
        assert list(check_codec("halves", x[::2], x[1::2])) == []


def test_digits_stored_again_are_told_from_those_that_were_not(packaged):
    """Most pixels are black or white, where what JPEG adds is cut off."""
    digits = packaged["train"]
    (finding,) = check_codec("the pair", digits[::2], stored(digits[1::2], 50)[0])
    assert "these, and not on the others" in finding.seen
    halves = [stored(digits[start::2], 50)[0] for start in (0, 1)]
    assert list(check_codec("halves", *halves)) == []


@pytest.mark.parametrize(
    "inputs",
    [
        np.random.default_rng(0).normal(size=(50, 32, 32)),
        np.random.default_rng(0).normal(size=(50, 20)),
        np.zeros((50, 32, 32)),
        np.zeros((50, 4, 32, 32)),
        np.random.default_rng(0).integers(0, 2, (50, 32, 32)),
    ],
    ids=["more levels", "a table", "black", "four channels", "two levels"],
)
def test_nothing_is_said_of_what_has_no_levels(inputs):
    other = stored(textured(), 50)[0][:50, :32, :32]
    for pair in ((inputs, inputs), (inputs, inputs[::-1])):
        assert list(check_codec("the pair", *pair)) == []
    assert np.isnan(rounding(inputs).step).all() or (rounding(inputs).step[:1] == 1).all()
    assert not np.isnan(rounding(other).step).all()


def test_recompressed_photographs_are_told_apart(data_dir):
    table = parquet.read_table(data_dir("cifar10_test.parquet") / "cifar10_test.parquet")
    levels = np.stack([decoded(bytes_) for bytes_ in table["jpeg"][:600].to_pylist()])
    halves = levels[::2], levels[1::2]
    assert list(check_codec("halves", *halves)) == []
    again = stored(halves[1], 50)[0]
    found = [f for f in check_inputs({"test": halves[0], "far": again}) if f.check == "codec"]
    assert any("JPEG rounded test inputs" in f.seen for f in found)
