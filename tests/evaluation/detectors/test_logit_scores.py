"""Scores of logits: saturation, ranges, limits and a gradient taken by autograd."""

import numpy as np
import pytest
import torch

from uncertain.evaluation.detectors import energy, gen, grad_norm, max_logit, msp

Z = np.random.default_rng(0).normal(size=(50, 6)) * 3


def test_saturated_rows_keep_their_order():
    z = np.zeros((60, 3))
    z[:, 0] = np.arange(60) * 10.0
    for score in (msp, gen):
        assert (np.diff(score(z)) < 0).all()


def test_msp_lies_between_certain_and_uniform():
    assert (msp(Z) >= 0).all()
    assert (msp(Z) <= 1 - 1 / 6).all()
    np.testing.assert_allclose(msp(np.zeros((1, 6))), 1 - 1 / 6)


def test_energy_nears_the_largest_logit_as_the_temperature_falls():
    np.testing.assert_allclose(energy(Z, temperature=1e-3), max_logit(Z), atol=1e-2)


@pytest.mark.parametrize("classes", [1, 3, 6, 100])
def test_gen_takes_the_most_probable_classes(classes):
    p = np.sort(np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True), axis=1)[:, ::-1][:, :classes]
    expected = (p**0.3 * (1 - p) ** 0.3).sum(axis=1)
    np.testing.assert_allclose(gen(Z, gamma=0.3, classes=classes), expected)


def test_two_classes_with_one_almost_certain():
    np.testing.assert_allclose(gen(np.array([[800.0, 0.0]])), [2 * np.exp(-80.0)])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_grad_norm_is_the_norm_of_the_gradient(temperature):
    rng = np.random.default_rng(1)
    features, weight = rng.normal(size=(5, 4)), torch.tensor(rng.normal(size=(6, 4)))
    logits = features @ weight.numpy().T
    norms = []
    for h in torch.tensor(features):
        w = weight.clone().requires_grad_()
        # The divergence from uniform but for its constant: the mean cross-entropy over classes.
        (-(w @ h / temperature).log_softmax(0).mean()).backward()
        norms.append(float(w.grad.abs().sum()))
    np.testing.assert_allclose(-grad_norm(features, logits, temperature=temperature), norms)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy(Z, temperature=0), r"`temperature` should lie in \(0, inf"),
        (lambda: grad_norm(Z, Z, temperature=-1), r"`temperature` should lie in \(0, inf"),
        (lambda: gen(Z, gamma=1), r"`gamma` should lie in \(0, 1\), got 1"),
        (lambda: gen(Z, classes=0), r"`classes` should lie in \[1, inf\], got 0"),
        (lambda: msp(Z[0]), r"`logits` should have shape \(N, C\), got \(6,\)"),
    ],
)
def test_arguments_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_rows_have_no_scores():
    for score in (msp, max_logit, energy, gen):
        assert score(Z[:0]).shape == (0,)


def test_one_class_is_always_certain():
    z = np.array([[3.0], [-2.0]])
    np.testing.assert_array_equal(msp(z), [0, 0])
    np.testing.assert_array_equal(gen(z), [0, 0])
    np.testing.assert_array_equal(max_logit(z), [-3, 2])
