"""The whole battery on models whose parts are known: an honest one passes, fakes are caught."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal

from tests.evaluation.disentanglement.models import CellMeans, rows, train
from uncertain.evaluation import Retraining, disentangle
from uncertain.predictive import GaussianMarginal, mixture

X, Y = rows(3200)
ASKED = rows(400, seed=1)[0]


def plan(train=train, **changes):
    return Retraining(train, X, Y, **({"sizes": (200, 800, 3200), "seeds": (0, 1, 2)} | changes))


def figures(table):
    return {(row.metric, row.variant): row for row in table}


@pytest.fixture(scope="module")
def honest():
    return figures(disentangle(train(X, Y, 0), ASKED, retraining=plan(), source="cells"))


def test_ignorance_falls_like_one_over_n_and_noise_stays(honest):
    epistemic = honest["epistemic_slope", "N=200..3200"]
    assert epistemic.low <= -1 <= epistemic.high
    assert abs(honest["aleatoric_slope", "N=200..3200"].value) < 0.1
    assert epistemic.over == "trainings"
    assert epistemic.n == 3


def test_injected_noise_is_noticed_where_it_is_and_called_noise(honest):
    # The upper third of x gets a quarter of y's variance on top: one cell of it only in part.
    assert honest["noise_aleatoric_rise", "inside"].low > 0
    # A cell of n rows takes 1 / (n + 1) of the rise for ignorance.
    assert honest["noise_epistemic_share", "inside"].value < 1 / 200
    assert abs(honest["noise_spill", "outside"].value) < 0.25


def test_an_honest_model_has_no_red_row(honest):
    assert {row.reason for row in honest.values()} == {""}
    assert {row.source for row in honest.values()} == {"cells"}


def test_parts_that_rank_alike_are_red():
    def fake(x: Tensor) -> GaussianMarginal:
        noise = 1 + x[:, 0]
        return GaussianMarginal(x[:, 0], 0.1 * noise, noise)

    row = figures(disentangle(fake, ASKED))["parts_correlation", "spearman"]
    assert row.value == pytest.approx(1)
    assert row.reason.startswith("red: the parts rank rows alike")


def test_ignorance_that_does_not_shrink_is_red():
    def stubborn(x: Tensor, y: Tensor, seed: int):
        cells = CellMeans(x, y)
        return lambda rows: GaussianMarginal(
            cells(rows).mean,
            torch.full((len(rows),), 0.3 + 0.01 * seed).double(),
            cells(rows).noise_scale,
        )

    found = figures(disentangle(train(X, Y, 0), ASKED, retraining=plan(stubborn)))
    assert found["epistemic_slope", "N=200..3200"].reason.startswith("red:")


def test_noise_taken_for_ignorance_is_red():
    def swapped(x: Tensor, y: Tensor, seed: int):
        cells = CellMeans(x, y)

        def predictor(rows: Tensor) -> GaussianMarginal:
            parts = cells(rows)
            return GaussianMarginal(parts.mean, parts.noise_scale, parts.latent_scale)

        return predictor

    found = figures(disentangle(swapped(X, Y, 0), ASKED, retraining=plan(swapped)))
    assert found["noise_epistemic_share", "inside"].value > 0.99
    assert found["noise_epistemic_share", "inside"].reason.startswith("red: over 0.25")
    assert found["aleatoric_slope", "N=200..3200"].reason.startswith("red:")


def test_a_model_that_sees_no_noise_is_red_and_has_no_shares():
    def constant(x: Tensor, y: Tensor, seed: int):
        one = torch.ones(1, dtype=torch.float64)
        return lambda rows: GaussianMarginal(
            rows[:, 0], (one / len(x)).sqrt().expand(len(rows)), one.expand(len(rows))
        )

    found = figures(disentangle(train(X, Y, 0), ASKED, retraining=plan(constant)))
    assert found["noise_aleatoric_rise", "inside"].reason.startswith("red:")
    assert found["noise_epistemic_share", "inside"].kind == "undefined"


def members(noise: Tensor, ignorance: Tensor):
    """Two members a row, one at each side of a class probability."""
    p = torch.stack([noise - ignorance, noise + ignorance], dim=1).clamp(0, 1)
    return mixture(Categorical(probs=torch.stack([p, 1 - p], dim=-1)))


def test_noise_that_follows_the_raters_passes_and_ignorance_that_does_fails():
    share = torch.linspace(0.02, 0.5, 300, dtype=torch.float64)
    counts = torch.stack([share * 100, 100 - share * 100], dim=1).round()
    unrelated = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.02, 300))
    real = figures(
        disentangle(lambda i: members(share, unrelated), torch.arange(300), ratings=counts.numpy())
    )
    assert real["rating_correlation", "aleatoric"].value > 0.9
    assert real["rating_correlation", "aleatoric"].reason == ""
    assert real["rating_correlation_gain", "spearman"].low > 0
    half = torch.full_like(share, 0.5) - unrelated
    wrong = figures(
        disentangle(lambda i: members(half, share * 0.9), torch.arange(300), ratings=counts.numpy())
    )
    assert wrong["rating_correlation_gain", "spearman"].reason.startswith("red: ignorance follows")


def test_classes_are_made_noisy_too():
    labels = (X[:, 0] > 0.5).long()

    def shares(x: Tensor, y: Tensor, seed: int):
        cells = CellMeans(x, y.double())
        spread = 1 / (2 * cells.rows.double().sqrt())

        def predictor(rows: Tensor):
            cell = torch.bucketize(rows[:, 0].contiguous(), torch.linspace(0, 1, 9).double()[1:-1])
            return members(cells.mean[cell].clamp(0.01, 0.99), spread[cell] * 0.1)

        return predictor

    asked = figures(
        disentangle(
            shares(X, labels, 0),
            ASKED,
            retraining=Retraining(shares, X, labels, sizes=(800, 3200), seeds=(0, 1)),
        )
    )
    assert asked["noise_aleatoric_rise", "inside"].low > 0


def test_progress_counts_every_training():
    seen = []
    small = plan(sizes=(800, 3200), seeds=(0, 1))
    disentangle(train(X, Y, 0), ASKED, retraining=small, progress=lambda i, n: seen.append((i, n)))
    assert seen == [(i, 6) for i in range(1, 7)]


def test_a_distribution_without_parts_is_refused():
    with pytest.raises(TypeError, match="should know its parts"):
        disentangle(lambda x: Normal(x[:, 0], 1.0), ASKED)


def test_lengths_are_checked_before_anything_runs():
    with pytest.raises(ValueError, match="ratings"):
        disentangle(train(X, Y, 0), ASKED, ratings=np.ones((3, 2)))
