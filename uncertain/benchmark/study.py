"""Develop and confirm: two halves of every study, fixed by a hash before the first run.

What is looked at while a method is built can't be what it is judged on. Data sets, class splits and
corruption families are each assigned to a half by SHA-256 of their names, and the seeds of the halves
differ. Nobody chose the halves, and nobody can change them without changing :data:`SALT`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

from uncertain import checks
from uncertain.benchmark.suites import SUITES
from uncertain.benchmark.tasks import Task

Half = Literal["develop", "confirm"]
HALVES: tuple[Half, Half] = ("develop", "confirm")

SALT = "uncertain: develop and confirm 7"
"""Hashed before each name. 7 is the smallest number that puts as many names of each list (the sets of
``tabular`` and of ``regression``, the class splits of each image set, the corruptions) into one half
as into the other, to within one. It was fixed before any model was trained on these suites."""

SEEDS: dict[Half, range] = {"develop": range(10), "confirm": range(100, 120)}

ORIGINS = {"diabetes_high": "diabetes", "flights_late": "flights", "flights_sample": "flights"}
"""Sets made of another's rows go to its half, so that no row is in both."""


def half_of(name: str) -> Half:
    """Return the half that a name falls into: that of its hash's first byte, even or odd.

    Args:
        name: ``data set/NAME``, ``class split/NAME/NUMBER`` or ``corruption/KIND``.

    Returns:
        ``develop`` or ``confirm``.

    Example:
        >>> half_of("data set/digits"), half_of("data set/iris")
        ('develop', 'confirm')
    """
    return HALVES[hashlib.sha256(f"{SALT}/{name}".encode()).digest()[0] % 2]


def unit_of(task: Task) -> str:
    """Return the name by which a task is assigned: its class split where that is fixed, else its data.

    Example:
        >>> unit_of(SUITES["images"][0]), unit_of(SUITES["tabular"][-1])
        ('class split/mnist5k/0', 'data set/flights')
    """
    source = task.data if isinstance(task.data, str) else task.name
    source = ORIGINS.get(source, source)
    if task.class_split is not None:
        return f"class split/{source}/{task.class_split}"
    return f"data set/{source}"


def tasks_of(suite: str, half: Half) -> tuple[Task, ...]:
    """Return a suite's tasks of one half, with the corruptions of that half.

    Args:
        suite: A key of ``SUITES``.
        half: ``develop`` or ``confirm``.

    Returns:
        The tasks. ``quick`` is a first look and no study: it is all in ``develop``.

    Raises:
        ValueError: An unknown suite or half, or the half of ``quick`` that is not there.

    Example:
        >>> [task.name for task in tasks_of("tabular", "confirm")]
        ['iris', 'autompg', 'breast_cancer']
    """
    checks.check_choice("suite", suite, SUITES)
    checks.check_choice("half", half, HALVES)
    if suite == "quick":
        if half == "confirm":
            raise ValueError(
                "`half` should be develop for the suite quick, got confirm: quick is a first look, "
                "and nothing is claimed from it; take images, tabular or regression."
            )
        return SUITES[suite]
    return tuple(
        dataclasses.replace(
            task, shifts=tuple(s for s in task.shifts if half_of(f"corruption/{s[0]}") == half)
        )
        for task in SUITES[suite]
        if half_of(unit_of(task)) == half
    )


def seeds_of(half: Half, count: int) -> range:
    """Return the seeds of so many trainings: from 0 to develop, from 100 to confirm.

    Raises:
        ValueError: More than the half has.

    Example:
        >>> list(seeds_of("confirm", 3))
        [100, 101, 102]
    """
    checks.check_choice("half", half, HALVES)
    known = SEEDS[half]
    checks.check_range("seeds", count, 1, len(known), hint=f"{half} has {len(known)} seeds")
    return known[:count]
