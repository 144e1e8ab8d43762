"""What every baseline owes: the laws of a predictor, over all of them.

A new predictor adds one line to ``CASES`` (or ``FITTED``, ``TREES``) and inherits every test.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import baselines, evaluation, gp, predictive
from uncertain.baselines import (
    DeepEnsemble,
    GaussianRegression,
    MonteCarloDropout,
    OnFeatures,
    Softmax,
)
from uncertain.evaluation.distributions import from_distribution
from uncertain.fit import Batch, fit
from uncertain.wasserstein import Perturbed, WassersteinClassifier

N, C = 12, 3


@dataclass(frozen=True)
class Case:
    """How to build a predictor from a seed, and what it predicts."""

    build: Callable[[int], Any]
    image: bool = False
    cloud: bool = False
    targets: int | None = None  # None: classes; 0: one number; T: a vector.
    passes: int | None = None  # Of the network a row; None: as many as members.

    def x(self, rows: int = N, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        shape = (1, 8, 8) if self.image else (20, 3) if self.cloud else (5,)
        return torch.randn(rows, *shape, generator=generator, dtype=torch.float64).to(dtype)

    def y(self, rows: int = N, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(8)
        if self.targets is None:
            return torch.arange(rows) % C
        shape = (rows, self.targets) if self.targets else (rows,)
        return (3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def net(seed: int, outputs: int = C) -> nn.Module:
    return baselines.mlp(5, outputs, hidden=(8, 8), dropout=0.3, seed=seed)


def gaussian(seed: int, targets: int = 0) -> GaussianRegression:
    case = Case(net, targets=targets)
    return GaussianRegression.from_data(net(seed, 2 * max(targets, 1)), case.y())


CASES: dict[str, Case] = {
    "softmax": Case(lambda s: Softmax(net(s))),
    "softmax_convolutional": Case(
        lambda s: Softmax(baselines.convolutional((1, 8, 8), C, width=4, hidden=8, seed=s)),
        image=True,
    ),
    "softmax_pointnet": Case(
        lambda s: Softmax(baselines.pointnet(C, widths=(8, 16), hidden=8, seed=s)),
        cloud=True,
    ),
    "softmax_resnet": Case(
        lambda s: Softmax(baselines.resnet((1, 8, 8), C, width=4, blocks=(1, 1), seed=s)),
        image=True,
    ),
    "mc_dropout": Case(lambda s: MonteCarloDropout(net(s), members=4, seed=s)),
    "mc_dropout_convolutional": Case(
        lambda s: MonteCarloDropout(
            baselines.convolutional((1, 8, 8), C, width=4, hidden=8, seed=s), members=4, seed=s
        ),
        image=True,
    ),
    "mc_dropout_regression": Case(
        lambda s: MonteCarloDropout(gaussian(s), members=4, seed=s), targets=0
    ),
    "deep_ensemble": Case(lambda s: DeepEnsemble([Softmax(net(10 * s + j)) for j in range(3)])),
    "ensemble_of_dropout": Case(
        lambda s: DeepEnsemble(
            [MonteCarloDropout(net(10 * s + j), members=2, seed=j) for j in range(2)]
        )
    ),
    "gaussian": Case(gaussian, targets=0),
    "gaussian_vector": Case(lambda s: gaussian(s, 2), targets=2),
    "gaussian_ensemble": Case(
        lambda s: DeepEnsemble([gaussian(10 * s + j) for j in range(3)]), targets=0
    ),
    "gaussian_vector_ensemble": Case(
        lambda s: DeepEnsemble([gaussian(10 * s + j, 2) for j in range(3)]), targets=2
    ),
}


class Noise(nn.Module):
    """A perturbation that a file can name."""

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)


def _wasserstein(seed: int, **settings: Any) -> WassersteinClassifier:
    body, _ = baselines.split_network(net(seed))
    return WassersteinClassifier(body, 8, C, label_dim=4, seed=seed, **settings)


CASES |= {
    "wasserstein": Case(lambda s: _wasserstein(s)),
    "wasserstein_full": Case(lambda s: _wasserstein(s, covariance="full")),
    "wasserstein_particles": Case(
        lambda s: _wasserstein(
            s,
            inputs=Perturbed(Noise(), particles=8, train_particles=(8,), seed=s),
            invariance_weight=0.1,
        ),
        passes=8,
    ),
}


def _head(kind: type[Any], seed: int, **settings: Any) -> OnFeatures:
    """A head on the body of a network, fitted to features of a few rows."""
    case = Case(net)
    body, _ = baselines.split_network(net(seed))
    with torch.no_grad():
        features = body.eval()(case.x(30))
    return OnFeatures(body, kind.from_data(features, case.y(30), **settings))


def _process(seed: int, targets: int | None) -> OnFeatures:
    case = Case(net, targets=targets)
    body, _ = baselines.split_network(net(seed))
    with torch.no_grad():
        features = body.eval()(case.x(30))
    head = baselines.GaussianProcessHead.from_data(features, case.y(30), inducing=6, seed=seed)
    return OnFeatures(body, head)


def _last_layer_laplace(seed: int, targets: int | None) -> OnFeatures:
    case = Case(net, targets=targets)
    model = net(seed) if targets is None else gaussian(seed, targets)
    body, last = baselines.split_network(model)
    with torch.no_grad():
        features = body.eval()(case.x(30))
    if isinstance(model, GaussianRegression):
        return OnFeatures(body, baselines.LaplaceRegressionHead.from_data(model, features))
    return OnFeatures(body, baselines.LaplaceClassificationHead.from_data(last, features))


def evidential(seed: int, targets: int) -> baselines.EvidentialRegression:
    case = Case(net, targets=targets)
    return baselines.EvidentialRegression.from_data(net(seed, 4 * max(targets, 1)), case.y())


def _sngp(seed: int) -> baselines.SNGP:
    body, _ = baselines.split_network(net(seed))
    model = baselines.SNGP(body, features=8, classes=C, random_features=16, seed=seed)
    model.fit_covariance(Case(net).x())
    return model


def _thin_deep(seed: int, targets: int | None = 0, **settings: Any) -> gp.ThinDeepGP:
    case = Case(net, targets=targets)
    return gp.ThinDeepGP.from_data(
        case.x(), case.y(), num_inducing=6, members=8, seed=seed, **settings
    )


def _other_process(kind: str, seed: int, **settings: Any) -> Any:
    case = Case(net, targets=0)
    return getattr(gp, kind).from_data(case.x(), case.y(), **settings, seed=seed)


def _exact_thin_deep(seed: int, **settings: Any) -> gp.ExactThinDeepGP:
    model = _other_process("ExactThinDeepGP", seed, num_inducing=6, members=4, **settings)
    # Away from the optimum, which for these targets has next to no noise and matrices to match.
    with torch.no_grad():
        model.likelihood.log_noise.fill_(0.0)
        model.hidden.log_inverse_lengthscale.fill_(-1.0)
        model.log_amplitude.fill_(0.0)
    model.condition(Case(net).x(), Case(net, targets=0).y())
    return model


def _swag(predictor: nn.Module, seed: int, targets: int | None) -> baselines.SWAG:
    case = Case(net, targets=targets)
    return baselines.swag(
        predictor,
        (case.x(), case.y()),
        steps=6,
        batch_size=4,
        learning_rate=0.05,
        iterates=3,
        members=4,
        seed=seed,
    )


CASES |= {
    "prototype_head": Case(lambda s: _head(baselines.PrototypeHead, s)),
    "cosine_head": Case(lambda s: _head(baselines.CosineHead, s)),
    "gaussian_process_head": Case(lambda s: _process(s, None), passes=1),
    "gaussian_process_head_regression": Case(lambda s: _process(s, 0), targets=0),
    "evidential": Case(lambda s: baselines.EvidentialClassification(net(s))),
    "evidential_regression": Case(lambda s: evidential(s, 0), targets=0),
    "evidential_vector": Case(lambda s: evidential(s, 2), targets=2),
    "batch_ensemble": Case(lambda s: baselines.BatchEnsemble(Softmax(net(s)), members=3, seed=s)),
    "batch_ensemble_convolutional": Case(
        lambda s: baselines.BatchEnsemble(
            Softmax(baselines.convolutional((1, 8, 8), C, width=4, hidden=8, seed=s)),
            members=2,
            seed=s,
        ),
        image=True,
    ),
    "batch_ensemble_regression": Case(
        lambda s: baselines.BatchEnsemble(gaussian(s), members=3, seed=s), targets=0
    ),
    "packed_ensemble": Case(
        lambda s: baselines.PackedEnsemble(
            Softmax(baselines.packed_mlp(5, C, members=3, hidden=(12, 12), seed=s)), members=3
        ),
        passes=1,
    ),
    "packed_ensemble_regression": Case(
        lambda s: baselines.PackedEnsemble(
            baselines.GaussianRegression(baselines.packed_mlp(5, 2, members=3, seed=s)), members=3
        ),
        targets=0,
        passes=1,
    ),
    "sngp": Case(lambda s: _sngp(s)),
}
CASES |= {
    "thin_deep_gp": Case(lambda s: _thin_deep(s), targets=0, passes=1),
    "encoded_inputs": Case(
        lambda s: gp.EncodedInputs(_thin_deep(s), gp.Columns(5)), targets=0, passes=1
    ),
    "thin_deep_gp_two_layers": Case(
        lambda s: _thin_deep(s, hidden_layers=2, bias=True, learned_mean=True),
        targets=0,
        passes=1,
    ),
    "thin_deep_gp_matern_heteroscedastic": Case(
        lambda s: _thin_deep(s, likelihood="heteroscedastic", kernel="matern_5_2"),
        targets=0,
        passes=1,
    ),
    "thin_deep_gp_vector": Case(
        lambda s: _thin_deep(s, 2, likelihood="student_t"), targets=2, passes=1
    ),
    "thin_deep_gp_classes": Case(lambda s: _thin_deep(s, None, likelihood="softmax"), passes=1),
}
CASES |= {
    "exact_gp": Case(
        lambda s: gp.ExactGP.from_data(Case(net).x(), Case(net, targets=0).y()), targets=0
    ),
    "exact_thin_deep_gp": Case(
        lambda s: _exact_thin_deep(s),
        targets=0,
        passes=1,
    ),
    "exact_thin_deep_gp_two_layers_student_t": Case(
        lambda s: _exact_thin_deep(s, hidden_layers=2, likelihood="student_t"),
        targets=0,
        passes=1,
    ),
    "sparse_gp": Case(lambda s: _other_process("SparseGP", s, num_inducing=6), targets=0),
    "deep_kernel": Case(
        lambda s: _other_process("DeepKernelGP", s, num_inducing=6, hidden=(8,)), targets=0
    ),
    "nonstationary_gp": Case(
        lambda s: _other_process("NonstationaryGP", s, num_inducing=6, members=4),
        targets=0,
        passes=1,
    ),
    "compositional_deep_gp": Case(
        lambda s: _other_process("CompositionalDeepGP", s, num_inducing=6, members=4),
        targets=0,
        passes=1,
    ),
}


@functools.cache
def _chain(seed: int) -> gp.SampledThinDeepGP:
    case = Case(net, targets=0)
    return gp.sample_posterior(
        _thin_deep(0),
        (case.x(), case.y()),
        draws=4,
        warmup=2,
        chains=1,
        members=4,
        max_r_hat=None,
        seed=seed,
    ).model


FITTED: dict[str, Case] = {
    "thin_deep_gp_sampled": Case(lambda s: copy.deepcopy(_chain(s)), targets=0, passes=1),
    "mahalanobis_head": Case(lambda s: _head(baselines.MahalanobisHead, s)),
    "knn_head": Case(lambda s: _head(baselines.KNNHead, s, neighbours=5)),
    "last_layer_laplace": Case(lambda s: _last_layer_laplace(s, None), passes=1),
    "last_layer_laplace_regression": Case(lambda s: _last_layer_laplace(s, 0), targets=0),
    "last_layer_laplace_vector": Case(lambda s: _last_layer_laplace(s, 2), targets=2),
    "kronecker_laplace": Case(
        lambda s: baselines.KroneckerLaplace.from_data(Softmax(net(s)).eval(), Case(net).x()),
        passes=1 + C,
    ),
    "kronecker_laplace_convolutional": Case(
        lambda s: baselines.KroneckerLaplace.from_data(
            Softmax(baselines.convolutional((1, 8, 8), C, width=4, hidden=8, seed=s)).eval(),
            Case(net, image=True).x(),
        ),
        image=True,
        passes=1 + C,
    ),
    "kronecker_laplace_regression": Case(
        lambda s: baselines.KroneckerLaplace.from_data(gaussian(s).eval(), Case(net).x()),
        targets=0,
        passes=2,
    ),
    "kronecker_laplace_vector": Case(
        lambda s: baselines.KroneckerLaplace.from_data(gaussian(s, 2).eval(), Case(net).x()),
        targets=2,
        passes=3,
    ),
    "swag": Case(lambda s: _swag(Softmax(net(s)), s, None)),
    "swag_regression": Case(lambda s: _swag(gaussian(s), s, 0), targets=0),
}
"""Modules that are fitted in closed form: they have no gradient to follow."""


def _forest(seed: int, targets: int | None) -> Any:
    case = Case(net, targets=targets)
    return baselines.random_forest(case.x(60), case.y(60), seed=seed, trees=10)


def _boosting(seed: int, targets: int | None) -> Any:
    case = Case(net, targets=targets)
    settings = {"max_iter": 10, "min_samples_leaf": 5}
    return baselines.gradient_boosted_trees(case.x(60), case.y(60), seed=seed, settings=settings)


TREES: dict[str, Case] = {
    "random_forest": Case(lambda s: _forest(s, None)),
    "random_forest_regression": Case(lambda s: _forest(s, 0), targets=0),
    "gradient_boosted_trees": Case(lambda s: _boosting(s, None)),
    "gradient_boosted_trees_regression": Case(lambda s: _boosting(s, 0), targets=0),
}

MODULES = CASES | FITTED
EVERY = MODULES | TREES
every = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
module = pytest.mark.parametrize("case", MODULES.values(), ids=MODULES.keys())
trained = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def tensors(dist: Distribution) -> dict[str, Tensor]:
    return dict(predictive.parts(dist).tensors)


def same(a: Distribution, b: Distribution, **tolerance: float) -> None:
    one, other = tensors(a), tensors(b)
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, **({"rtol": 0, "atol": 0} | tolerance))


def batch(case: Case, weight: Tensor, rows: Tensor, *, dtype: torch.dtype = torch.float64) -> Batch:
    x, y = case.x(dtype=dtype)[rows], case.y(dtype=dtype)[rows]
    return Batch(x, y, weight.to(dtype), rows, total=float(N))


@every
def test_a_call_returns_a_distribution_with_one_entry_a_row(case: Case) -> None:
    dist = predictive.predict(case.build(0), case.x())
    assert isinstance(dist, Distribution)
    assert dist.batch_shape == (N,)
    assert dist.event_shape == ((case.targets,) if case.targets else ())
    assert predictive.log_prob(dist, case.y()).shape == (N,)
    assert predictive.log_prob(dist, case.y()).isfinite().all() or case in TREES.values()


@every
def test_one_row_is_a_batch_too_and_so_is_none(case: Case) -> None:
    predictor = case.build(0)
    for rows in (2, 1, 0):
        if not rows and case in TREES.values():
            with pytest.raises(ValueError, match="at least one row, got none: scikit-learn"):
                predictor(case.x(rows))
        else:
            assert predictor(case.x(rows)).batch_shape == (rows,)


@module
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_dtype_and_device_follow_x(case: Case, dtype: torch.dtype, device: str) -> None:
    predictor = case.build(0).to(dtype=dtype, device=device)
    dist = predictor(case.x(dtype=dtype).to(device))
    for value in tensors(dist).values():
        assert value.dtype == dtype
        assert value.device.type == device


@pytest.mark.parametrize("case", TREES.values(), ids=TREES.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_trees_follows_x(case: Case, dtype: torch.dtype) -> None:
    values = tensors(case.build(0)(case.x(dtype=dtype))).values()
    assert {value.dtype for value in values} == {dtype}


@module
def test_half_precision_networks_predict_in_float32(case: Case) -> None:
    predictor = case.build(0).to(dtype=torch.bfloat16).eval()
    dist = predictor(case.x(dtype=torch.bfloat16))
    assert {value.dtype for value in tensors(dist).values()} == {torch.float32}


@every
def test_chunks_and_order_do_not_change_a_row(case: Case) -> None:
    predictor = case.build(0)
    x = case.x()
    whole = predictive.predict(predictor, x)
    halves = [predictive.predict(predictor, part) for part in (x[:5], x[5:])]
    tight = {"rtol": 1e-5, "atol": 1e-6}  # Matrix products round by the shape they are given.
    same(predictive.concat(halves), whole, **tight)
    same(predictive.predict(predictor, x, batch_size=1), whole, **tight)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    same(predictive.predict(predictor, x[order]), predictive.select(whole, order), **tight)


@every
def test_asking_again_gives_the_same_bits_and_moves_no_global_state(case: Case) -> None:
    predictor = case.build(0)
    if isinstance(predictor, nn.Module):
        predictor.eval()
    before = torch.random.get_rng_state()
    first = predictor(case.x())
    second = predictor(case.x())
    assert torch.equal(torch.random.get_rng_state(), before)
    same(first, second)


@every
def test_the_seed_decides(case: Case) -> None:
    a, b, c = (predictive.predict(case.build(seed), case.x()) for seed in (1, 1, 2))
    same(a, b)
    different = [
        not torch.equal(v, tensors(c)[k]) for k, v in tensors(a).items() if "weight" not in k
    ]
    # Boosting without subsampling has nothing to draw, and neither has the exact process.
    if "boosted" not in _name(case) and "exact" not in _name(case):
        assert any(different)


def _name(case: Case) -> str:
    return next(name for name, other in EVERY.items() if other is case)


@trained
def test_a_weight_of_k_counts_as_k_copies(case: Case) -> None:
    predictor = case.build(0).double().eval()
    copies = torch.tensor([3, 1, 2, 1, 1, 4])
    rows = torch.arange(6)
    weight = copies / copies.double().mean()
    weighted = predictor.objective(batch(case, weight, rows))
    repeated = rows.repeat_interleave(copies)
    copied = predictor.objective(batch(case, torch.ones(len(repeated)), repeated))
    torch.testing.assert_close(weighted, copied, rtol=1e-12, atol=0)
    gradients = [
        torch.autograd.grad(value, list(predictor.parameters())) for value in (weighted, copied)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@trained
def test_a_row_of_weight_zero_is_not_there(case: Case) -> None:
    predictor = case.build(0).double().eval()
    rows = torch.arange(6)
    weight = torch.tensor([1.0, 1, 0, 1, 1, 0], dtype=torch.float64)
    kept = rows[weight > 0]
    with_zeros = predictor.objective(batch(case, weight * 6 / 4, rows))
    without = predictor.objective(batch(case, torch.ones(4), kept))
    torch.testing.assert_close(with_zeros, without, rtol=1e-12, atol=0)


@trained
def test_gradients_reach_every_parameter(case: Case) -> None:
    torch.manual_seed(0)
    predictor = case.build(0).double().train()
    for ask in ("objective", "forward"):
        predictor.zero_grad()
        if ask == "objective":
            loss = predictor.objective(batch(case, torch.ones(N), torch.arange(N)))
        else:
            x, y = case.x(dtype=torch.float64), case.y(dtype=torch.float64)
            loss = -predictive.log_prob(predictor(x), y).mean()
        assert loss.shape == ()
        loss.backward()
        for name, parameter in predictor.named_parameters():
            assert parameter.grad is not None, f"{ask} does not reach {name}"
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0, f"{ask} does not reach {name}"


@trained
@pytest.mark.usefixtures("unchecked")  # the other tests check the annotations of what is called
def test_fit_lowers_the_objective(case: Case) -> None:
    predictor = case.build(0)
    x, y = case.x(), case.y()
    everything = Batch(x, y, torch.ones(N), torch.arange(N), float(N))
    before = float(predictor.eval().objective(everything).detach())
    fit(
        predictor,
        (x, y),
        steps=20,
        batch_size=N,
        seed=0,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=2e-2),
    )
    assert float(predictor.eval().objective(everything).detach()) < before


@module
def test_saved_and_loaded_it_predicts_the_same_bits(case: Case, tmp_path: Any) -> None:
    predictor = case.build(3).eval()
    predictive.save(predictor, tmp_path / "predictor.pt")
    again = predictive.load(tmp_path / "predictor.pt")
    assert type(again) is type(predictor)
    assert torch.load(tmp_path / "predictor.pt", weights_only=True)
    same(again(case.x()), predictor(case.x()))
    assert again.state_dict().keys() == predictor.state_dict().keys()


@every
def test_predictions_are_saved_without_loss(case: Case, tmp_path: Any) -> None:
    dist = predictive.predict(case.build(0), case.x())
    predictive.save_predictions(tmp_path / "predictions.parquet", dist, case.y())
    stored = predictive.load_predictions(tmp_path / "predictions.parquet")
    one, other = predictive.to_arrays(dist), predictive.to_arrays(stored.distribution)
    assert (one.family, one.event_ndim) == (other.family, other.event_ndim)
    for name, value in one.parameters.items():
        np.testing.assert_array_equal(other.parameters[name], value)
    if one.mixture_weights is not None:
        np.testing.assert_allclose(other.mixture_weights, one.mixture_weights, rtol=1e-6)
    assert stored.target is not None
    assert torch.equal(stored.target, case.y())


@every
def test_evaluation_accepts_it(case: Case) -> None:
    dist = predictive.predict(case.build(0), case.x())
    results = evaluation.evaluate([from_distribution(dist, case.y())], replicates=100)
    metrics = {row.metric for row in results.rows}
    assert ({"accuracy", "nll", "brier"} if case.targets is None else {"crps", "rmse"}) <= metrics


@module
def test_members_know_what_is_epistemic(case: Case) -> None:
    dist = predictive.predict(case.build(0), case.x())
    inner = dist
    while isinstance(inner, torch.distributions.Independent):
        inner = inner.base_dist
    if type(inner) in (torch.distributions.Categorical, torch.distributions.Normal):
        with pytest.raises(TypeError):
            predictive.decompose(dist)
        return
    total, aleatoric, epistemic = predictive.decompose(dist)
    torch.testing.assert_close(total, aleatoric + epistemic, rtol=1e-4, atol=1e-5)
    assert (epistemic > 0).all()


@module
def test_cost_counts_parameters_and_passes(case: Case) -> None:
    predictor = case.build(0)
    cost = baselines.cost(predictor)
    assert cost.parameters == sum(p.numel() for p in predictor.parameters())
    dist = predictor.eval()(case.x())
    members = case.passes or 1
    if case.passes is None and isinstance(dist, torch.distributions.MixtureSameFamily):
        members = dist.component_distribution.batch_shape[-1]
    assert cost.forward_passes == members
