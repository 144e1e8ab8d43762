"""Letters and signs that are no digits, drawn from fonts and prepared as MNIST prepared digits.

notMNIST's letters touch the border, so a border pixel tells them from MNIST. These don't: they went
through MNIST's own pipeline, with MNIST's own stroke widths.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data import stroke
from uncertain.data.dataset import Split
from uncertain.data.partition import duplicate_groups, row_hashes

LATIN = "ACEFHKLMNPRTUVWXYadefhjmnrty"
GREEK = "ΓΔΛΞΠΣΦΨΩαγηλμπτω"
CYRILLIC = "ДЖИЛЦШЩЫЮЯ"
HEBREW = "אמעצקש"
SIGNS = "#%@*+<=>~^€£¥†‡±×÷√∞∇≈≠≤≥←→↑↓↔∈∀⊃⊕⊗⊥∠Ææ«»"

GLYPHS = LATIN + GREEK + CYRILLIC + HEBREW + SIGNS
"""Every character drawn; a row's group is its place in here.

Left out is what a careful reader may take for a digit (B D G I J O Q S Z b g i l o q s z ? & $ | { }
and their like in other scripts), and what would repeat a shape: small letters that are scaled capitals,
capitals that two scripts share, signs that are letters.
"""

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmss10", "cmtt10", "cmti10", "cmb10"),
)
"""Fonts that ship with matplotlib, all free to use (Bitstream Vera, SIL OFL and AMS licences)."""

# The longer side of the ink when drawn, so five pixels become one; and the room for thicker strokes.
_PIXELS = 100
_MARGIN = 14
_STEPS = 4


def glyphs() -> Split:
    """Return glyph images, one for each character of ``GLYPHS`` and font of ``FONTS`` that has it.

    Each is drawn large, its strokes are thickened or thinned, it is scaled into MNIST's 20x20 box
    with grey edges, and centred by its mass in 28x28. Widths are matched by rank: the glyph with the
    k-th thinnest strokes gets MNIST's k-th quantile, which matches the distribution with the least
    change; the change stops where it would close a hole or lose a stroke. Fonts that come out equal to
    the last bit are kept once.

    Drawn once a process, in some seconds; the same wherever matplotlib draws the same outlines.

    Returns:
        Unlabelled rows of (1, 28, 28) float32 images in steps of 1/255; ``groups`` holds the
        character's place in ``GLYPHS``: the fonts' versions of one letter are not independent.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> strange = glyphs()
        >>> strange.x.shape[1:], len(set(strange.groups.tolist())) == len(GLYPHS)
        (torch.Size([1, 28, 28]), True)
    """
    images, groups, row_ids = _drawn()
    x = torch.from_numpy(images).to(torch.float32)[:, None] / 255
    return Split(x, None, row_ids.copy(), groups.copy())


@functools.lru_cache(maxsize=1)
def _drawn() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Draw every glyph; a row's id is its place in the table of all fonts by all characters."""
    drawings = {
        font * len(GLYPHS) + place: drawing
        for font, name in enumerate(FONTS)
        for place, drawing in _outlines(name).items()
    }
    row_ids = np.array(list(drawings), np.int64)
    distances = [stroke.signed_distance(d, margin=_MARGIN) for d in drawings.values()]
    natural = stroke.stroke_width(np.stack([_prepared(d, 0.0) for d in distances]))
    ranks = (natural.argsort(kind="stable").argsort(kind="stable") + 0.5) / len(natural)
    levels = np.linspace(0, 1, len(stroke.MNIST_STROKE_WIDTHS))
    widths = np.interp(ranks, levels, stroke.MNIST_STROKE_WIDTHS)
    changes = map(_change, distances, natural.tolist(), widths.tolist())
    made = np.stack([_prepared(d, c) for d, c in zip(distances, changes, strict=True)])
    images = np.round(made * 255).astype(np.uint8)
    # MNIST has no image off its centre, so the few drawings too lopsided for it are left out.
    centred = np.abs(stroke.centre_of_mass(images) - stroke.CENTRE).max(axis=1) <= 0.51
    first = duplicate_groups(row_hashes(images)) == np.arange(len(images))
    kept = np.flatnonzero(centred & first)
    return images[kept], row_ids[kept] % len(GLYPHS), row_ids[kept]


def _outlines(name: str) -> dict[int, NDArray[np.bool_]]:
    """Draw the characters that a font has, by their place in ``GLYPHS``."""
    matplotlib: Any = checks.require("matplotlib", "benchmark")
    font2d: Any = checks.require("matplotlib.ft2font", "benchmark")
    font = font2d.FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"))
    known = font.get_charmap()
    # Computer Modern's signs stand at other codes: only its letters are what their codes say.
    wanted = LATIN if name.startswith("cm") else GLYPHS
    return {
        place: _outline(font, character)
        for place, character in enumerate(wanted)
        if ord(character) in known
    }


def _outline(font: Any, character: str) -> NDArray[np.bool_]:
    """Draw a character so that the longer side of its ink is about 100 pixels."""
    points = float(_PIXELS)
    for _ in range(2):
        # At 72 dots an inch a point is a pixel.
        font.set_size(points, 72)
        font.set_text(character, 0.0)
        font.draw_glyphs_to_bitmap(antialiased=True)
        ink = np.asarray(font.get_image()) >= 128
        points *= _PIXELS / max(np.ptp(axis) + 1 for axis in np.nonzero(ink))
    return ink


def _change(distance: NDArray[Any], natural: float, wanted: float) -> float:
    """Return by how much the outline moves outwards for strokes of the wanted width."""
    # No more than two pixels of the final image, and never the better half of a stroke.
    high = float(_MARGIN - 2)
    low = max(-high, -0.6 * float(distance.max()))
    # Secant steps; at first, a pixel outwards on both sides widens strokes by two of 100 / 20.
    change, width, slope = 0.0, natural, 2 * stroke.BOX / _PIXELS
    for _ in range(_STEPS):
        moved = min(max(change + (wanted - width) / slope, low), high)
        if abs(moved - change) < 0.1:
            break
        found = float(stroke.stroke_width(stroke.fit_to_box(_ink(distance, moved))[None])[0])
        slope = max((found - width) / (moved - change), 0.1)
        change, width = moved, found
    while abs(change) > 0.25 and not _keeps_shape(distance, change):
        change *= 0.8
    return change if abs(change) > 0.25 else 0.0


def _prepared(distance: NDArray[Any], change: float) -> NDArray[np.float64]:
    return stroke.centre_by_mass(stroke.fit_to_box(_ink(distance, change)))


def _ink(distance: NDArray[Any], change: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(distance + (change + 0.5), 0, 1))


def _keeps_shape(distance: NDArray[Any], change: float) -> bool:
    """Return whether no stroke is lost or joined to another by moving the outline."""
    from scipy.ndimage import distance_transform_edt, label

    before, after = distance > 0, distance > -change
    # Strokes that hang together, and holes (with the outside).
    counts = [(label(ink, np.ones((3, 3)))[1], label(~ink)[1]) for ink in (before, after)]
    if counts[0] != counts[1]:
        return False
    # Moved back, the outline must come near all old ink (else a thin stroke has gone) and near all
    # old gaps (else a narrow one was filled).
    # Every second pixel tells as much.
    before, after, reach = before[::2, ::2], after[::2, ::2], abs(change) / 2 + 1
    if change < 0:
        gone = before & (distance_transform_edt(~after) > reach)
    else:
        gone = ~before & (distance_transform_edt(after) > reach)
    return bool(gone.sum() <= 0.03 * before.sum())
