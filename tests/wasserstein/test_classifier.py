"""The classifier beside its formula: distances, objective, particles, soft labels, refusals."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from uncertain import predictive
from uncertain.baselines import PrototypeHead
from uncertain.discrepancy import gaussian_wasserstein2_squared, stein_squared
from uncertain.fit import Batch, NonFiniteError, fit
from uncertain.wasserstein import LabelMeasures, Perturbed, PointCloud, WassersteinClassifier

C, D, F = 3, 4, 6


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    return x + 0.3 * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def build(**settings: Any) -> WassersteinClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Linear(5, F), nn.Tanh())
    return WassersteinClassifier(backbone, F, C, label_dim=D, **settings).double().eval()


def whole(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.ones(len(x), dtype=torch.float64), torch.arange(len(x)), len(x))


def slow_distances(model: WassersteinClassifier, x: Tensor) -> Tensor:
    """One particle and one class after the other, with matrices."""
    mean, factor = model.measures(x)
    deviations = model.targets.deviations()
    rows = []
    for i in range(len(x)):
        row = []
        for k in range(C):
            each = []
            for j in range(mean.shape[1]):
                root = factor[i, j]
                cov = root @ root.T if root.ndim == 2 else torch.diag(root.expand(D) ** 2)
                target = torch.diag(deviations[k] ** 2)
                each.append(
                    gaussian_wasserstein2_squared(mean[i, j], cov, model.targets.means[k], target)
                )
                if model.centered:
                    each[-1] = each[-1] - mean[i, j].square().sum()
            row.append(torch.stack(each).mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


SETTINGS: dict[str, dict[str, Any]] = {
    "diagonal": {},
    "full": {"covariance": "full"},
    "none": {"covariance": "none"},
    "squared": {"logit": "squared"},
    "centered": {"centered": True},
    "centered full": {"centered": True, "covariance": "full"},
    "particles": {"inputs": Perturbed(jitter, particles=3)},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_distances_are_means_over_particles(settings: dict[str, Any]) -> None:
    model, x = build(**settings), points(4, 5)
    wanted = slow_distances(model, x)
    ours = model.class_distances(x)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.distance(x), ours.amin(1))
    assert torch.equal(model.score(x), model.distance(x))
    temperature = model.log_temperature.exp()
    logits = (
        -ours / temperature if model.logit == "squared" else -(ours + 0.01).sqrt() / temperature
    )
    torch.testing.assert_close(model(x).logits, logits - logits.logsumexp(1, keepdim=True))


@pytest.mark.parametrize(
    "settings",
    [{}, {"covariance": "full"}, {"centered": True}],
    ids=["diagonal", "full", "centered"],
)
def test_odds_are_bounded_by_how_far_the_label_measures_are_apart(settings: dict[str, Any]) -> None:
    model = build(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.backbone = nn.Linear(5, F).double()
    targets = model.targets
    both = torch.cat([targets.means, targets.deviations()], 1)
    apart = torch.cdist(both, both) / model.log_temperature.exp()
    for scale in (0.1, 1.0, 1e3):
        logits = model(scale * points(50, 5)).logits
        gaps = (logits[:, :, None] - logits[:, None]).abs()
        assert (gaps <= apart + 1e-9).all()
    assert (gaps > 0.5 * apart).any()  # It is nearly reached: the bound is no empty one.
    squared = build(logit="squared", **settings)
    squared.backbone = model.backbone
    logits = squared(1e3 * points(50, 5)).logits
    assert (logits.amax(1) - logits.amin(1) > 10 * apart.max()).any()


@pytest.mark.parametrize("soft", [False, True])
def test_every_particle_is_learnt_from_on_its_own(soft: bool) -> None:
    x, y = points(4, 5), torch.arange(4) % C
    labels = points(4, C, seed=1).softmax(1) if soft else y
    views = Perturbed(jitter, particles=3)
    model = build(inputs=views, pull=0.0, logit="squared")
    assert model.learn_from == "particles"
    assert build(inputs=PointCloud()).learn_from == build().learn_from == "measure"
    alone = build(pull=0.0, logit="squared")
    each = [alone.objective(whole(views(x)[:, j], labels)) for j in range(3)]
    torch.testing.assert_close(model.objective(whole(x, labels)), torch.stack(each).mean())
    pooled = build(inputs=views, pull=0.0, logit="squared", learn_from="measure")
    assert pooled.objective(whole(x, labels)) < model.objective(whole(x, labels))  # By convexity.


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_parts_make_up_the_distance(settings: dict[str, Any]) -> None:
    model, x = build(**settings), points(4, 5)
    parts = model.distance_parts(x)
    assert torch.equal(parts.nearest, model(x).logits.argmax(1))
    total = parts.shape if model.centered else parts.location + parts.shape
    torch.testing.assert_close(total, model.distance(x))
    mean = model.measures(x).mean
    if mean.shape[1] == 1:
        assert parts.between.isnan().all()
    else:
        biased = (mean - mean.mean(1, keepdim=True)).square().sum(-1).mean(1)
        number = mean.shape[1]
        torch.testing.assert_close(biased, (number - 1) / number * parts.between)
        centre = (mean.mean(1) - model.targets.means[parts.nearest]).square().sum(-1)
        torch.testing.assert_close(parts.location, centre + biased)
    assert (parts.within >= 0).all()


def test_without_covariance_it_is_a_prototype_head() -> None:
    model, x = build(covariance="none", logit="squared"), points(7, 5)
    head = PrototypeHead(model.targets.means.detach(), temperature=float(D))
    mean = model.measures(x).mean[:, 0]
    torch.testing.assert_close(model(x).logits, head(mean).logits)


def test_the_objective_is_its_formula() -> None:
    x, y = points(6, 5), torch.arange(6) % C
    model = build(pull=0.3, shape_weight=2.0, temperature=1.5, logit="squared")
    mean, factor = (part[:, 0] for part in model.measures(x))
    gap = (mean - model.targets.means[y]).square().sum(1)
    shape = (factor - model.targets.deviations()[y]).square().sum(1)
    cross = (slow_distances(model, x) / 1.5).neg().log_softmax(1).gather(1, y[:, None])[:, 0].neg()
    wanted = (cross + 0.3 * (gap + 2 * shape)).mean()
    torch.testing.assert_close(model.objective(whole(x, y)), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_invariance_term_is_the_discrepancy_of_each_rows_particles(covariance: str) -> None:
    x, y = points(3, 5), torch.tensor([2, 0, 1])
    settings: dict[str, Any] = {
        "covariance": covariance,
        "inputs": Perturbed(jitter, particles=8, train_particles=(8,)),
    }
    without, model = build(**settings), build(invariance_weight=0.7, **settings)
    extra = model.objective(whole(x, y)) - without.objective(whole(x, y))
    mean, factor = model.measures(x)
    noise = torch.randn((8, D), generator=torch.Generator().manual_seed(0)).double()
    values = []
    for i in range(3):
        root = factor[i] if covariance == "full" else torch.diag_embed(factor[i])
        drawn = mean[i] + (root @ noise[..., None])[..., 0]
        white = (drawn - model.targets.means[y[i]]) / model.targets.deviations()[y[i]]
        values.append(stein_squared(white, -white))
    torch.testing.assert_close(extra, 0.7 * torch.stack(values).mean())


def test_few_particles_leave_the_invariance_term_out() -> None:
    x, y = points(3, 5), torch.tensor([2, 0, 1])
    few = Perturbed(jitter, particles=4)
    with_term, without = build(inputs=few, invariance_weight=1.0), build(inputs=few)
    assert torch.equal(with_term.objective(whole(x, y)), without.objective(whole(x, y)))


def test_label_distributions_mix_the_objectives_of_their_labels() -> None:
    x, shares = points(5, 5), points(5, C, seed=1).softmax(1)
    model = build(
        inputs=Perturbed(jitter, particles=8, train_particles=(8,)), invariance_weight=0.5
    )
    rows = []
    for i in range(5):
        each = [model.objective(whole(x[i : i + 1], torch.tensor([k]))) for k in range(C)]
        rows.append((shares[i] * torch.stack(each)).sum())
    torch.testing.assert_close(model.objective(whole(x, shares)), torch.stack(rows).mean())
    sure = nn.functional.one_hot(torch.arange(5) % C, C).double()
    torch.testing.assert_close(
        model.objective(whole(x, sure)), model.objective(whole(x, torch.arange(5) % C))
    )


def test_the_mean_distance_does_not_depend_on_the_number_of_particles() -> None:
    x = points(4, 5).repeat(500, 1) + torch.arange(2000)[:, None] * 1e-9  # other views a row
    means, errors = [], []
    for particles in (1, 4, 16):
        model = build(inputs=Perturbed(jitter, particles=particles))
        with torch.no_grad():
            distances = model.class_distances(x).unflatten(0, (500, 4))
        means.append(distances.mean(0))
        errors.append(distances.std(0) / 500**0.5)
    for mean, error in zip(means[1:], errors[1:], strict=True):
        slack = 4.5 * (error.square() + errors[0].square()).sqrt()
        assert ((mean - means[0]).abs() < slack).all()
    assert (errors[2] < errors[0]).all()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_gradients_are_those_of_finite_differences(settings: dict[str, Any]) -> None:
    model, y = build(**settings), torch.tensor([1, 2])

    def loss(scaled: Tensor) -> Tensor:
        return model.objective(whole(scaled, y))

    if "inputs" in settings:  # Its views are keyed by what the row contains.
        model.inputs = None
    assert torch.autograd.gradcheck(loss, [points(2, 5).requires_grad_()], atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{}, {"covariance": "full"}, {"centered": True}],
    ids=["diagonal", "full", "centered"],
)
def test_it_learns_three_clusters(settings: dict[str, Any]) -> None:
    y = torch.arange(90) % C
    x = (3 * torch.eye(5)[y] + 0.3 * points(90, 5).float()).float()
    model = build(**settings).float()
    fit(
        model,
        (x, y),
        steps=150,
        batch_size=30,
        seed=0,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.02),
    )
    predicted = predictive.predict(model, x)
    assert (predicted.logits.argmax(1) == y).float().mean() > 0.95
    strange = model.eval().distance(-20 * torch.ones(4, 5))
    if not model.centered:
        assert strange.min() > model.distance(x).median()


def test_a_centred_distance_has_no_location() -> None:
    model, x = build(centered=True), points(4, 5)
    before = model.class_distances(x)
    model.head.mean.bias.data.add_(5.0)
    torch.testing.assert_close(model.class_distances(x), before)
    y = torch.arange(4) % C
    pulled = model.objective(whole(x, y))
    model.head.mean.bias.data.sub_(5.0)
    assert pulled > model.objective(whole(x, y))  # It is asked to stay small all the same.


@pytest.mark.parametrize("logit", ["distance", "squared"])
def test_likelihoods_of_views_are_averaged_and_far_views_have_no_say(logit: Any) -> None:
    views, x = Perturbed(jitter, particles=3), points(4, 5)
    model = build(inputs=views, pooling="likelihood", logit=logit)
    alone = build(logit=logit)
    each = torch.stack([alone.class_distances(views(x)[:, j]) for j in range(3)], 1)
    if logit == "distance":
        each = (each + 0.01).sqrt()
    likelihood = (-each / model.log_temperature.exp()).exp().mean(1)
    torch.testing.assert_close(model(x).probs, likelihood / likelihood.sum(1, keepdim=True))
    one = build(inputs=Perturbed(jitter, particles=1), pooling="likelihood", logit=logit)
    torch.testing.assert_close(one(x).probs, build(inputs=one.inputs, logit=logit)(x).probs)

    def thrown(rows: Tensor, generator: torch.Generator) -> Tensor:
        return torch.where(torch.arange(len(rows))[:, None] % 2 == 1, 1e4 * rows, rows)

    near = build(inputs=Perturbed(thrown, particles=2), pooling="likelihood", logit=logit)
    near.backbone = alone.backbone = nn.Linear(5, F).double()
    torch.testing.assert_close(near(x).probs, alone(x).probs)


def test_points_of_a_cloud_are_its_particles() -> None:
    backbone = nn.Sequential(nn.Linear(3, F), nn.Tanh())
    model = WassersteinClassifier(backbone, F, C, label_dim=D, inputs=PointCloud()).eval()
    cloud = points(2, 10, 3).float()
    assert model.measures(cloud).mean.shape == (2, 10, D)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(cloud).logits, model(cloud[:, order]).logits)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"`covariance` should be 'diagonal' or 'full' .*point mass"
    ):
        build(centered=True, covariance="none")
    with pytest.raises(ValueError, match=r"`targets.centered` should be False"):
        build(targets=LabelMeasures.code_book(C, D))
    with pytest.raises(ValueError, match=rf"`targets.means` should have shape \({C}, {D}\)"):
        build(targets=LabelMeasures.random(C + 1, D))
    with pytest.raises(ValueError, match=r"`label_dim` should lie in .* noise in more dimensions"):
        WassersteinClassifier(nn.Identity(), 9, C, label_dim=9, invariance_weight=1.0)
    for name in ("logit", "learn_from", "pooling"):
        with pytest.raises(ValueError, match=f"`{name}` should be one of .*, got 'mean'"):
            build(**{name: "mean"})
    with pytest.raises(ValueError, match="for an invariance term, got 'none'"):
        build(covariance="none", invariance_weight=1.0)
    for inputs, most in ((None, 1), (Perturbed(jitter, train_particles=(2, 7)), 7)):
        with pytest.raises(ValueError, match=f"at least 8 particles .* got {most} at most"):
            build(inputs=inputs, invariance_weight=1.0)
    for name in ("pull", "shape_weight", "invariance_weight"):
        with pytest.raises(ValueError, match=f"`{name}` should lie in"):
            build(**{name: -1.0})
    with pytest.raises(ValueError, match="`temperature` should lie in"):
        build(temperature=0.0)
    for few in (0, 1):
        with pytest.raises(ValueError, match="`num_classes` should lie in"):
            WassersteinClassifier(nn.Identity(), F, few)
    model, x = build(), points(2, 5)
    with pytest.raises(ValueError, match="`y` should be class indices from 0 to 2, got 3"):
        model.objective(whole(x, torch.tensor([0, 3])))
    with pytest.raises(TypeError, match=r"integer dtype, got torch.float32: y.long\(\)"):
        model.objective(whole(x, torch.tensor([0.0, 1.0])))
    with pytest.raises(ValueError, match="`y` should have rows that sum to 1"):
        model.objective(whole(x, torch.full((2, C), 0.5)))
    with pytest.raises(ValueError, match=r"`y` should have shape \(N, 3\)"):
        model.objective(whole(x, torch.full((2, 2), 0.5)))
    with pytest.raises(ValueError, match=r"`backbone\(x\)` should have shape \(2, 7\)"):
        WassersteinClassifier(nn.Linear(5, F).double(), 7, C)(x)
    with pytest.raises(TypeError, match=r"`backbone` should return floating features .* got tuple"):
        WassersteinClassifier(nn.LSTM(5, F).double(), F, C)(x)
    with pytest.raises(TypeError, match=r"`x` should be a tensor, got ndarray: torch.as_tensor"):
        model(x.numpy())
    with pytest.raises(TypeError, match=r"`num_classes` should be a whole number, got 2.5"):
        WassersteinClassifier(nn.Identity(), F, 2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`label_dim` should be a whole number, got 2.5"):
        WassersteinClassifier(nn.Identity(), F, C, label_dim=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`targets` should be LabelMeasures, got str"):
        build(targets="x")
    with pytest.raises(TypeError, match="`inputs` should be a module, got str"):
        build(inputs="x")
    with pytest.raises(ValueError, match=r"`pull` should lie in \[0, inf\), got inf"):
        build(pull=torch.inf)
    with pytest.raises(ValueError, match=r"`x` and `y` should have as many rows .* got 2 and 1"):
        model.objective(whole(x, torch.tensor([0])))
    with pytest.raises(ValueError, match=r"got \(2, 1\): `y.squeeze\(1\)` makes labels of it"):
        model.objective(whole(x, torch.zeros(2, 1).long()))


def spoil_x(model: WassersteinClassifier, x: Tensor) -> None:
    x[2, 1] = torch.nan


def spoil_the_backbone(model: WassersteinClassifier, x: Tensor) -> None:
    model.backbone[0].bias.data[1] = torch.inf  # type: ignore[index]
    model.backbone[1] = nn.Identity()  # type: ignore[operator]


def enlarge_x(model: WassersteinClassifier, x: Tensor) -> None:
    model.backbone[1] = nn.Identity()  # type: ignore[operator]
    x[2:] *= 1e200


SPOILT: dict[str, tuple[Any, str]] = {
    "x": (spoil_x, r"`x` should be finite, got NaN or infinity at row 2 \(1 of 4 rows\)"),
    "backbone": (spoil_the_backbone, r"`backbone\(x\)` should be finite, .* at row 0 \(4 of 4"),
    "overflow": (
        enlarge_x,
        r"`distance` should be finite, .* at row 2 \(2 of 4 .*too large to be sq",
    ),
}


@pytest.mark.parametrize("call", ["forward", "distance", "score", "distance_parts", "objective"])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_what_is_not_finite_is_named_with_its_row(
    spoil: Any, message: str, covariance: str, call: str
) -> None:
    model, x = build(covariance=covariance), points(4, 5)
    given = whole(x, torch.arange(4) % C) if call == "objective" else x
    getattr(model, call)(given)  # As it stands, it is fine.
    spoil(model, x)
    with pytest.raises(ValueError, match=message):
        getattr(model, call)(given)


def test_a_centred_distance_hides_no_infinite_feature() -> None:
    model, x = build(centered=True), points(4, 5)
    spoil_the_backbone(model, x)
    with pytest.raises(ValueError, match=r"`backbone\(x\)` should be finite"):
        model.distance(x)


class Spoils(nn.Module):
    """Divide by 0 in training, or in evaluation."""

    def __init__(self, *, training: bool) -> None:
        super().__init__()
        self.spoilt = training

    def forward(self, x: Tensor) -> Tensor:
        return x / 0 if self.training == self.spoilt else x


def test_fit_says_at_which_step_and_of_which_rows() -> None:
    x, y = points(6, 5).float(), torch.arange(6) % C
    model = build().float()
    model.backbone = nn.Sequential(model.backbone, Spoils(training=True))
    with pytest.raises(NonFiniteError, match=r"`backbone\(x\)` is not finite at step 1 .*row 0"):
        fit(model, (x, y), steps=2, batch_size=6, seed=0)
    model.backbone[1] = Spoils(training=False)
    with pytest.raises(NonFiniteError, match=r"`validation` is not finite .*backbone\(x\)"):
        fit(model, (x, y), validation=(x, y), steps=2, batch_size=6, seed=0)


@pytest.mark.parametrize("layer", ["linear", "convolution"])
def test_another_dtype_than_the_weights_is_told(layer: str) -> None:
    made = nn.Linear(5, F) if layer == "linear" else nn.Conv1d(5, F, 1)
    backbone = made if layer == "linear" else nn.Sequential(made, nn.Flatten())
    model, x = WassersteinClassifier(backbone, F, C), points(2, 5, 1)
    x = x[..., 0] if layer == "linear" else x
    with pytest.raises(TypeError, match=r"`x` .* torch.float32, got torch.float64: cast one of"):
        model(x)
    for dtype in (torch.uint8, torch.int64):
        with pytest.raises(TypeError, match=rf"got {dtype}: make it floating, as `x / 255`"):
            model(x.to(dtype))


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [
        (nn.Linear(5, F), (2, 4)),
        (nn.Linear(5, F), (4,)),
        (nn.Conv1d(5, F, 1), (2, 4, 1)),
        (nn.Conv1d(5, F, 1), (2, 4, 1, 1)),
        (nn.Conv1d(5, F, 3), (2, 5, 2)),
        (nn.Flatten(2), (2, 5)),
        (nn.LSTM(5, F), (2, 4)),
    ],
    ids=["width", "row", "channels", "rank", "kernel", "flatten", "recurrent"],
)
def test_a_shape_that_the_backbone_refuses_is_told(
    backbone: nn.Module, shape: tuple[int, ...]
) -> None:
    model = WassersteinClassifier(backbone, F, C)
    with pytest.raises(ValueError, match=r"`x` should have a shape .* backbone refused") as caught:
        model(torch.zeros(shape))
    assert f"got {shape}: " in str(caught.value)
    assert isinstance(caught.value.__cause__, (RuntimeError, IndexError))
    assert str(caught.value.__cause__).splitlines()[0][:40] in str(caught.value)


def test_the_shape_told_is_that_of_the_rows() -> None:
    model = WassersteinClassifier(nn.Linear(5, F), F, C, inputs=PointCloud())
    with pytest.raises(ValueError, match=r"got \(2, 6, 4\), which reaches it as \(12, 4\)"):
        model(torch.zeros(2, 6, 4))
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, ...\)"):
        build()(torch.tensor(1.0))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("expected all tensors to be on one device"),
        NotImplementedError("of this size"),
        IndexError("index out of range in self"),
        KeyError("shape"),
    ],
    ids=["device", "not-implemented", "embedding", "key"],
)
def test_other_errors_of_the_backbone_are_its_own(error: Exception) -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    with pytest.raises(type(error)) as caught:
        WassersteinClassifier(Fails(), F, C)(torch.zeros(2, 5))
    assert caught.value is error


def test_whole_numbers_are_for_embeddings() -> None:
    backbone = nn.Sequential(nn.EmbeddingBag(10, F))
    model = WassersteinClassifier(backbone, F, C)
    assert model(torch.zeros(2, 5).long()).probs.shape == (2, C)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_no_rows_give_no_rows(settings: dict[str, Any]) -> None:
    model, x = build(**settings), points(4, 5)[:0]
    assert model(x).logits.shape == (0, C)
    assert model.distance(x).shape == (0,)


@pytest.mark.slow
def test_the_pages_example_learns_and_is_saved_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "wasserstein.md").read_text()
    views, main = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[:2]
    (tmp_path / "wasserstein_page_views.py").write_text(views)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(main.replace("from views import", "from wasserstein_page_views import"), names)
    assert float(names["accuracy"]) > 0.92
    x = names["digits"].test.x[:20]
    again = predictive.load(tmp_path / "labels.pt")
    assert torch.equal(again(x).logits, names["model"](x).logits)
    assert names["parts"].between.isnan().all()
