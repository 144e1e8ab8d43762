"""The halves of a study: fixed by a hash, disjoint, and of about the same size."""

from __future__ import annotations

import hashlib

import pytest

from uncertain.benchmark import SUITES, Task
from uncertain.benchmark.study import HALVES, SALT, half_of, seeds_of, tasks_of, unit_of

STUDIES = sorted(set(SUITES) - {"quick"})


def by_hand(name: str) -> str:
    digest = hashlib.sha256(f"{SALT}/{name}".encode()).hexdigest()
    return "confirm" if int(digest[1], 16) % 2 else "develop"


@pytest.mark.parametrize("suite", STUDIES)
def test_the_halves_are_disjoint_complete_and_what_the_hash_says(suite: str) -> None:
    develop, confirm = (tasks_of(suite, half) for half in HALVES)
    assert {t.name for t in develop} | {t.name for t in confirm} == {t.name for t in SUITES[suite]}
    assert not {unit_of(t) for t in develop} & {unit_of(t) for t in confirm}
    for half, tasks in zip(HALVES, (develop, confirm), strict=True):
        for task in tasks:
            assert half_of(unit_of(task)) == by_hand(unit_of(task)) == half
            assert {by_hand(f"corruption/{kind}") for kind, _ in task.shifts} <= {half}


def lists() -> list[set[str]]:
    images = SUITES["images"]
    classes = [
        {unit_of(t) for t in images if t.data == name}
        for name in sorted({str(t.data) for t in images})
    ]
    corruptions = {f"corruption/{kind}" for task in images for kind, _ in task.shifts}
    tables = [{unit_of(t) for t in SUITES[name]} for name in ("tabular", "regression")]
    return [*classes, corruptions, *tables]


def test_every_list_is_halved_to_within_one_and_the_salt_is_the_first_that_does() -> None:
    def even(salt: str, names: set[str]) -> bool:
        odd = sum(hashlib.sha256(f"{salt}/{name}".encode()).digest()[0] % 2 for name in names)
        return abs(2 * odd - len(names)) <= 1

    stem, number = SALT.rsplit(" ", 1)
    tried = [
        all(even(f"{stem} {n}", names) for names in lists()) for n in range(1, int(number) + 1)
    ]
    assert tried == [False] * (int(number) - 1) + [True]


def test_no_row_is_in_both_halves_of_tables_made_of_the_same_rows() -> None:
    for one, other in (("diabetes", "diabetes_high"), ("flights_sample", "flights_late")):
        tasks = [task for suite in STUDIES for task in SUITES[suite] if task.data in (one, other)]
        assert len(tasks) >= 2
        assert len({unit_of(task) for task in tasks}) == 1


def test_a_task_s_own_data_go_by_its_name() -> None:
    def own(seed: int) -> None: ...

    assert unit_of(Task("mine", "classification", own, "mlp", 1, 2)) == "data set/mine"  # type: ignore[arg-type]


def test_quick_is_no_study() -> None:
    assert tasks_of("quick", "develop") == SUITES["quick"]
    with pytest.raises(ValueError, match="quick is a first look"):
        tasks_of("quick", "confirm")


def test_seeds_differ_between_the_halves() -> None:
    assert list(seeds_of("develop", 10)) == list(range(10))
    assert list(seeds_of("confirm", 20)) == list(range(100, 120))
    with pytest.raises(
        ValueError, match=r"`seeds` should lie in \[1, 10\], got 11: develop has 10"
    ):
        seeds_of("develop", 11)
    with pytest.raises(
        ValueError, match=r"`seeds` should lie in \[1, 20\], got 21: confirm has 20"
    ):
        seeds_of("confirm", 21)


@pytest.mark.usefixtures("unchecked")
def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="did you mean confirm"):
        tasks_of("tabular", "confrim")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`half` should be one of"):
        seeds_of("both", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean tabular"):
        tasks_of("tabula", "develop")
