"""The suites: which sets, what is held out of them, and how long each training is.

How each set is used and why some are left out is written down in ``docs/protocols.md``, with a hash
of the rows of every split.
"""

from __future__ import annotations

from uncertain.benchmark.tasks import HeldOut, Task
from uncertain.data.severities import Corruption

_IMAGE_SHIFTS: tuple[tuple[Corruption, tuple[int, ...]], ...] = (
    ("rotation", (1, 3, 5)),
    ("gaussian_noise", (1, 3, 5)),
    ("blur", (1, 3, 5)),
    ("contrast", (1, 3, 5)),
    ("translation", (1, 3, 5)),
)
_BROKEN = ("dependence_break", "dependence_break_within_class")
_LEFT_AND_RIGHT = tuple(
    tuple(8 * row + column for row in range(8) for column in columns)
    for columns in (range(4), range(4, 8))
)
"""The halves of the 8 x 8 digits: the left half of one digit beside the right half of another."""


def _images(split: int) -> tuple[Task, Task]:
    digits = Task(
        f"mnist5k-classes{split}",
        "classification",
        "mnist5k",
        "convolutional",
        600,
        3000,
        held_out="classes",
        class_split=split,
        ood=("glyphs", "noise", "notmnist"),
        shifts=_IMAGE_SHIFTS,
    )
    photographs = Task(
        f"cifar10-classes{split}",
        "classification",
        "cifar10",
        "resnet",
        1500,
        20000,
        batch_size=128,
        held_out="classes",
        class_split=split,
        ood=("noise",),
        shifts=_IMAGE_SHIFTS,
    )
    return digits, photographs


def _tabular(
    name: str,
    held_out: HeldOut,
    *,
    blocks: tuple[tuple[int, ...], ...] | None = None,
    steps: int = 400,
    ood: tuple[str, ...] = _BROKEN,
) -> Task:
    return Task(
        name,
        "classification",
        name,
        "mlp",
        steps,
        5 * steps,
        held_out=held_out,
        ood=ood,
        blocks=blocks,
        split_by_seed=True,
    )


def _regression(name: str, *, steps: int, breaks: bool) -> tuple[Task, Task]:
    """Return a set's standard task, and the one whose training inputs end at a quantile."""
    short = name.removeprefix("uci/")
    whole = Task(
        short,
        "regression",
        name,
        "mlp",
        steps,
        5 * steps,
        ood=("dependence_break",) if breaks else (),
        split_by_seed=True,
    )
    ending = Task(
        f"{short}-extrapolation",
        "regression",
        name,
        "mlp",
        steps,
        5 * steps,
        held_out="extrapolation",
        split_by_seed=True,
    )
    return whole, ending


SUITES: dict[str, tuple[Task, ...]] = {
    "quick": (
        Task(
            "mnist5k",
            "classification",
            "mnist5k",
            "convolutional",
            240,
            1200,
            held_out="classes",
            class_split=0,
            ood=("glyphs",),
            shifts=(("rotation", (1, 3, 5)),),
        ),
        Task("diabetes", "regression", "diabetes", "mlp", 300, 1500),
    ),
    "images": tuple(task for split in range(5) for task in _images(split)),
    "tabular": (
        _tabular("digits", "classes", blocks=_LEFT_AND_RIGHT, steps=600),
        _tabular("wine", "classes"),
        _tabular("iris", "classes"),
        _tabular("autompg", "classes"),
        _tabular("breast_cancer", "cluster"),
        _tabular("diabetes_high", "cluster"),
        _tabular("flights_late", "cluster", steps=800),
    ),
    # In `energy` the inputs are a full grid and in `kin8nm` they are drawn independently: there is
    # no dependence to break.
    "regression": (
        *_regression("diabetes", steps=400, breaks=True),
        *_regression("uci/concrete", steps=800, breaks=True),
        *_regression("uci/energy", steps=800, breaks=False),
        *_regression("uci/kin8nm", steps=1000, breaks=False),
        *_regression("uci/power-plant", steps=1000, breaks=True),
        *_regression("flights_sample", steps=800, breaks=True),
    ),
}
