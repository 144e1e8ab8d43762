"""Pictures: what is drawn is what was asked of the model."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution, Normal

from uncertain.gp import Deformation, ThinDeepGP, plots
from uncertain.gp.plots.latents import used_rows
from uncertain.gp.plots.maps import ellipses
from uncertain.predictive import GaussianMarginal


def panel() -> Any:
    return Figure().subplots()


def linear(matrix: Tensor) -> ThinDeepGP:
    latent, inputs = matrix.shape
    layer = Deformation(torch.zeros(1, inputs), latent_dim=latent, lengthscale=1e8, jitter=0.0)
    with torch.no_grad():
        layer.mean.copy_(matrix[:, None])
        layer.root.fill_(-40.0)
    return ThinDeepGP(layer, torch.zeros(1, latent), rows=1, members=4)


def plane() -> Tensor:
    return torch.tensor([[0.0, 10.0], [1.0, 40.0]]).double()


def parts(rows: Tensor) -> Distribution:
    return GaussianMarginal(rows.sum(1), rows[:, 0] + 1, torch.full_like(rows[:, 0], 2.0))


def test_bands_are_quantiles() -> None:
    x = torch.tensor([[0.0], [1.0]]).double()
    found = plots.bands(lambda rows: Normal(rows[:, 0], 2.0), x, axes=panel(), levels=(0.9,))
    (band,) = found.collections
    corners = band.get_paths()[0].vertices
    above = corners[:, 1] - corners[:, 0]
    expected = 2 * Normal(0.0, 1.0).icdf(torch.tensor(0.95)).item()
    np.testing.assert_allclose(np.abs(above), expected, rtol=1e-6)


def test_a_linear_map_has_one_lengthscale_and_no_latent_doubt() -> None:
    model, x = linear(torch.tensor([[2.0]]).double()), torch.tensor([[0.0], [3.0]]).double()
    (line,) = plots.local_lengthscale(model, x, axes=panel()).lines
    np.testing.assert_allclose(line.get_ydata(), 0.5)
    (latent,) = plots.latent_curves(model, x, axes=panel()).lines
    np.testing.assert_allclose(latent.get_ydata(), 2 * latent.get_xdata())
    flat = plots.local_lengthscale(linear(torch.zeros(1, 1)), x, axes=panel())
    assert np.isnan(flat.lines[0].get_ydata()).all()


def test_maps_have_the_first_input_across() -> None:
    image = plots.prediction_map(parts, plane(), axes=panel(), side=7).images[0]
    assert image.get_extent() == [0, 1, 10, 40]
    np.testing.assert_allclose(image.get_array()[0], np.linspace(10, 11, 7))
    np.testing.assert_allclose(image.get_array()[:, 0], np.linspace(10, 40, 7))


@pytest.mark.parametrize("part", ["total", "aleatoric", "epistemic"])
def test_the_uncertainty_map_is_of_its_part(part: Any) -> None:
    axes = plots.uncertainty_map(
        parts, plane(), part=part, axes=panel(), side=5, limits=(0, 3), show=plane()
    )
    across = 1 + np.linspace(0, 1, 5)
    expected = {"total": np.hypot(across, 2), "aleatoric": across * 0 + 2, "epistemic": across}
    np.testing.assert_allclose(axes.images[0].get_array()[2], expected[part])
    assert axes.images[0].get_clim() == (0, 3)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_an_ellipse_is_equally_far_everywhere_but_where_it_is_cut(seed: int) -> None:
    root = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(seed)).double()
    metric, cell = root.mT @ root, torch.tensor([1.0, 20.0]).double()
    outlines, reach = ellipses(metric, cell)
    distance = torch.einsum("npi,nij,npj->np", outlines, metric, outlines).sqrt()
    size = (outlines / cell).norm(dim=2)
    assert (distance <= reach * (1 + 1e-6)).all()
    whole = size.amax(1) < 0.619
    torch.testing.assert_close(
        distance[whole], torch.full_like(distance[whole], reach), rtol=1e-6, atol=0
    )
    assert size.max() <= 0.62 + 1e-9


def test_the_metric_map_draws_in_the_inputs_units_and_survives_a_flat_model() -> None:
    model = linear(torch.tensor([[1.0, 0.0], [0.0, 0.05]]).double())
    axes = plots.metric_map(model, plane(), axes=panel(), side=3)
    shapes = axes.collections[0]
    np.testing.assert_allclose(shapes.get_array(), 20**0.5)
    shortest = plots.metric_map(model, plane(), axes=panel(), side=3, colour="shortest")
    np.testing.assert_allclose(shortest.collections[0].get_array(), 1.0)
    one = linear(torch.tensor([[1.0, 0.0]]).double())
    drawn = plots.metric_map(one, plane(), axes=panel(), side=3).collections[0]
    assert all(np.isfinite(path.vertices).all() for path in drawn.get_paths())


def test_the_latent_is_shown_in_as_many_dimensions_as_are_used() -> None:
    x, y = plane(), torch.tensor([1.0, 2.0])
    pruned = linear(torch.tensor([[1e-3, 0.0], [0.0, 2.0]]).double())
    assert used_rows(pruned, x) == [1]
    (dots,) = plots.latent_scatter(pruned, x, y, axes=panel()).lines
    np.testing.assert_allclose(dots.get_xdata(), 2 * x[:, 1])
    both = linear(torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double())
    scatter = plots.latent_scatter(both, x, y, axes=panel()).collections[0]
    np.testing.assert_allclose(scatter.get_offsets(), x.numpy()[:, ::-1] * [2, 1])


def test_relevance_is_shown_as_shares_most_used_first() -> None:
    model = linear(torch.tensor([[1.0, 0.0], [0.0, 3.0]]).double())
    bars = plots.relevance_bars(model, plane(), axes=panel())
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [0.9, 0.1])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["row 2", "row 1"]


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="this picture is of one input"):
        plots.bands(parts, plane(), axes=panel())
    for picture in (plots.prediction_map, plots.metric_map):
        with pytest.raises(ValueError, match="this picture is of two inputs"):
            picture(parts, plane()[:, :1], axes=panel())  # type: ignore[operator]
    with pytest.raises(ValueError, match="`part` should be one of"):
        plots.uncertainty_map(parts, plane(), part="both", axes=panel())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`colour` should be one of"):
        plots.metric_map(parts, plane(), colour="red", axes=panel())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[benchmark\]"):
        plots.prediction_map(parts, plane())
