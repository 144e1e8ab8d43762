"""The adapter from torch: dtypes, columns of any kind, and everything that predictions hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Gamma, Independent, Normal

from uncertain import predictive
from uncertain.evaluation.distributions import from_distribution
from uncertain.evaluation.judge import evaluate

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def test_every_field_is_passed_on():
    images = {i: np.zeros((2, 2)) for i in range(6)}
    found = from_distribution(
        Categorical(logits=LOGITS),
        Y,
        row_ids=list(range(6)),
        groups=torch.arange(6) // 2,
        weights=torch.ones(6),
        scores={"distance": torch.arange(6.0)},
        class_names=["a", "b", "c"],
        inputs=images,
        source="net",
        split="shift:blur:2",
        training="3",
        task="pets",
    )
    assert (found.source, found.split, found.training, found.task) == (
        "net",
        "shift:blur:2",
        "3",
        "pets",
    )
    np.testing.assert_array_equal(found.target, Y)
    np.testing.assert_array_equal(found.groups, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(found.scores["distance"], np.arange(6))
    assert found.class_names == ("a", "b", "c")
    assert found.inputs is images


@pytest.mark.parametrize("kind", [torch.Tensor, np.asarray, list])
def test_columns_are_tensors_arrays_or_lists(kind):
    weights = kind([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    found = from_distribution(Categorical(logits=LOGITS), Y, weights=weights)
    np.testing.assert_array_equal(found.weights, [1, 2, 1, 1, 1, 1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    distribution = Normal(LOGITS[:, 0].to(dtype), torch.ones(6, dtype=dtype))
    found = from_distribution(
        distribution, LOGITS[:, 1].to(dtype), scores={"d": LOGITS[:, 2].to(dtype)}
    )
    assert found.scores["d"].dtype == found.target.dtype == np.float32
    assert found.distribution.parameters["loc"].dtype == np.float32
    evaluate(found, replicates=100)


def test_gradients_are_left_behind():
    logits = LOGITS.clone().requires_grad_()
    found = from_distribution(Categorical(logits=logits), Y, scores={"d": logits[:, 0]})
    assert found.scores["d"].flags.owndata or found.scores["d"].base is not None
    assert logits.grad is None


def test_strange_rows_need_no_target():
    assert from_distribution(Categorical(logits=LOGITS), split="ood:x").target is None


def test_several_targets_and_joint_ones():
    loc = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    each = from_distribution(Independent(Normal(loc, torch.ones(5, 2)), 1), loc)
    assert each.distribution.event_shape == (2,)
    joint = torch.distributions.MultivariateNormal(loc, torch.eye(2))
    for case in (each, from_distribution(joint, loc)):
        assert evaluate(case, replicates=100).select(metric="nll").rows[0].kind == "estimate"


@pytest.mark.parametrize(
    ("arguments", "facts", "message"),
    [
        ((Categorical(logits=LOGITS), Y[:3]), {}, "6 and 3"),
        ((Categorical(logits=LOGITS), Y + 1), {}, "from 0 to 2, got 3"),
        ((Normal(LOGITS[:, 0], torch.ones(6)), LOGITS[:, 0] * torch.nan), {}, "`target`"),
        ((Categorical(logits=LOGITS), Y), {"weights": -torch.ones(6)}, "`weights`"),
        ((Categorical(logits=LOGITS), Y), {"scores": {"d": torch.full((6,), torch.nan)}}, "scores"),
        ((Categorical(logits=LOGITS), Y), {"inputs": {0: 1}}, "`row_ids`"),
    ],
)
def test_bad_columns_are_refused(arguments, facts, message):
    with pytest.raises(ValueError, match=message):
        from_distribution(*arguments, **facts)


def test_a_family_outside_the_table_is_refused():
    with pytest.raises(TypeError, match="Gamma"):
        from_distribution(Gamma(torch.ones(3), torch.ones(3)), torch.ones(3))


def test_the_round_trip_keeps_the_distribution():
    mixture = predictive.mixture(Categorical(logits=torch.stack([LOGITS, -LOGITS], 1)))
    found = from_distribution(mixture, Y).distribution
    back = predictive.from_arrays(found)
    torch.testing.assert_close(predictive.class_probs(back), predictive.class_probs(mixture))
