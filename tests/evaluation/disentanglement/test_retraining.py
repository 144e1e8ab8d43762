"""Plans of trainings: their defaults, what they refuse, regions and slopes."""

import numpy as np
import pytest
import torch

from tests.evaluation.disentanglement.models import rows, train
from uncertain.evaluation.disentanglement import Retraining, disentangle, leading_third
from uncertain.evaluation.disentanglement.retraining import slopes

X, Y = rows(320)


def test_default_sizes_end_at_all_rows():
    assert Retraining(train, X, Y).sizes == (20, 50, 127, 320)
    assert Retraining(train, X, Y).trainings == 25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (10,)}, "`sizes` should be at least two"),
        ({"sizes": (10, 10)}, "`sizes` should be at least two, all different"),
        ({"seeds": (0,)}, "`seeds` should be at least two"),
        ({"sizes": (10, 1000)}, "`sizes`"),
        ({"noise": 0.0}, "`noise`"),
        ({"y": Y[:3]}, "as many rows as each other"),
        ({"y": torch.full((320,), torch.nan)}, "`y` should be finite"),
        ({"y": torch.zeros(320, dtype=torch.long), "noise": 2.0}, "`noise`"),
    ],
)
def test_bad_plans_are_refused(changes, message):
    facts = {"train": train, "x": X, "y": Y} | changes
    with pytest.raises(ValueError, match=message):
        Retraining(**facts)


def test_a_region_is_a_part_of_the_rows():
    plan = Retraining(
        train, X, Y, region=lambda x: np.ones(len(x), bool), sizes=(200, 320), seeds=(0, 1)
    )
    with pytest.raises(ValueError, match="true for some rows"):
        disentangle(train(X, Y, 0), X, retraining=plan)


def test_the_leading_third_ignores_units():
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(300, 3)) @ generator.normal(size=(3, 3)))
    scaled = x * torch.tensor([1.0, 1000.0, 0.01], dtype=torch.float64) + 5
    one, other = leading_third(x)(x), leading_third(scaled)(scaled)
    assert one.sum() == 100
    assert (one == other).all() or (one == ~other).sum() == 0


def test_a_constant_column_is_no_direction():
    x = torch.stack([torch.arange(30.0), torch.zeros(30)], dim=1)
    assert leading_third(x)(x).sum() == 10


def test_slopes_are_least_squares_on_logs():
    sizes = [10, 30, 100]
    means = np.exp(np.random.default_rng(0).normal(size=(4, 3)))
    expected = [np.polyfit(np.log(sizes), np.log(row), 1)[0] for row in means]
    np.testing.assert_allclose(slopes(means, sizes), expected)
