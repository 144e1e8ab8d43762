"""The worst subgroup: named, and with an interval that covers although it was picked."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation import Predictions, evaluate
from uncertain.evaluation.results import Row
from uncertain.evaluation.subgroups import Subgroup, subgroups
from uncertain.evaluation.worst import worst_name, worst_rows
from uncertain.families import ArrayDistribution
from uncertain.intervals import clopper_pearson, proportion


def judged(hits: np.ndarray) -> tuple[list[Subgroup], list[Row]]:
    """Make subgroups, one a row of ``hits``, whose accuracy is the mean of the row."""
    groups, each = hits.shape
    d = ArrayDistribution("categorical", {"probs": np.tile([0.8, 0.2], (hits.size, 1))})
    columns = {"g": np.repeat(np.arange(groups), each)}
    case = Predictions(d, 1 - hits.reshape(-1).astype(int), groups=None, columns=columns)
    members = subgroups([case], ["g"])[0]
    rows = [
        Row.from_estimate("accuracy", proportion(h), source="m", subgroup=m.name)
        for h, m in zip(hits, members, strict=True)
    ]
    return members, rows


@pytest.mark.filterwarnings("ignore::uncertain.evaluation.RepeatedRowsWarning")
def test_the_interval_of_the_worst_covers_though_the_worst_was_picked():
    rng = np.random.default_rng(0)
    truth, covered, naive = 0.8, 0, 0
    draws = 40
    for _ in range(draws):
        members, rows = judged(rng.random((10, 50)) < truth)
        (worst,) = worst_rows(members, rows)
        covered += worst.low <= truth <= worst.high
        picked = min(rows, key=lambda row: row.value)
        naive += picked.low <= truth <= picked.high
    # The picked subgroup's own interval misses far more often than 1 in 20.
    assert covered / draws > 0.95 > 0.9 > naive / draws


@pytest.mark.filterwarnings("ignore::uncertain.evaluation.RepeatedRowsWarning")
def test_the_worst_is_named_with_those_not_told_apart_from_it():
    hits = np.zeros((3, 100), dtype=bool)
    hits[0, :99], hits[1, :60], hits[2, :55] = True, True, True
    (worst,) = worst_rows(*judged(hits))
    assert worst_name(worst) == "2"
    assert "2 is the worst of 3; not told apart from 1; simultaneous 95 %" in worst.reason
    each = [clopper_pearson(int(h.sum()), 100, level=1 - 0.05 / 3) for h in hits]
    assert worst.low == pytest.approx(min(e.low for e in each))
    assert worst.high == pytest.approx(min(e.high for e in each))


def test_the_worst_error_is_the_largest():
    case = regressor(90)
    site = np.repeat(["a", "b", "c"], 30)
    target = np.where(site == "b", case.target + 3, case.target)
    case = dataclasses.replace(case, target=target, columns={"site": site})
    found = evaluate(case, by=["site"])
    for metric in ("nll", "crps", "rmse", "mae", "coverage"):
        (worst,) = found.select(metric=metric, subgroup="worst site", variant=["", "0.9"])
        assert worst_name(worst) == "b"
        (itself,) = found.select(metric=metric, subgroup="site=b", variant=["", "0.9"])
        assert worst.value == itself.value
        assert worst.n == 30


def test_small_subgroups_take_no_part_and_are_named():
    site = np.repeat(["big", "tiny", "large"], [40, 4, 40])
    case = dataclasses.replace(regressor(84), columns={"site": site})
    (worst,) = evaluate(case, by=["site"]).select(metric="crps", subgroup="worst site")
    assert worst.reason.endswith("left out: tiny (fewer than 10 rows)")


def test_where_all_are_small_there_is_no_worst():
    case = dataclasses.replace(regressor(9), columns={"site": np.repeat(["a", "b", "c"], 3)})
    (worst,) = evaluate(case, by=["site"]).select(metric="crps", subgroup="worst site")
    assert worst.kind == "undefined"
    assert worst.reason.startswith("no subgroup of 10 rows has an interval; left out: a, b, c")


def test_an_infinite_loss_is_the_worst():
    p = np.tile([0.3, 0.7], (40, 1))
    p[5] = [1.0, 0.0]
    case = Predictions(
        ArrayDistribution("categorical", {"probs": p}),
        np.r_[np.ones(20, int), np.resize([0, 1, 1], 20)],
        groups=np.arange(40) // 2,
        columns={"site": np.repeat(["a", "b"], 20)},
    )
    (worst,) = evaluate(case, by=["site"], replicates=100).select(
        metric="nll", subgroup="worst site"
    )
    assert worst.value == np.inf
    assert worst_name(worst) == "a"


def test_the_plug_in_calibration_error_has_no_worst():
    case = dataclasses.replace(classifier(60), columns={"site": np.repeat(["a", "b"], 30)})
    found = evaluate(case, by=["site"], replicates=100)
    assert not len(found.select(metric="ece", subgroup="worst site"))
    (debiased,) = found.select(
        metric="ece_debiased", subgroup="worst site", variant="equal_width,15,l1,top_label"
    )
    each = found.select(
        metric="ece_debiased", variant=debiased.variant, subgroup=["site=a", "site=b"]
    )
    assert debiased.value == max(row.value for row in each)
    assert debiased.high > max(row.high for row in each)
    assert debiased.low >= 0
