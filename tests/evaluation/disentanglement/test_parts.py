"""Parts as arrays: the means over outputs, and what is refused."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, StudentT

from uncertain.evaluation.disentanglement import parts_of
from uncertain.predictive import GaussianMarginal, mixture


def test_outputs_of_a_row_are_averaged():
    one = torch.ones(5, 2)
    latent = torch.tensor([1.0, 2.0]).expand(5, 2)
    parts = parts_of(lambda x: Independent(GaussianMarginal(one, latent, one), 1), torch.zeros(5))
    np.testing.assert_allclose(parts.epistemic, np.full(5, 2.5))
    np.testing.assert_allclose(parts.aleatoric, np.ones(5))


def test_a_spread_without_variance_is_refused():
    heavy = mixture(StudentT(torch.ones(3, 2), torch.zeros(3, 2), torch.ones(3, 2)))
    with pytest.raises(ValueError, match="should be finite"):
        parts_of(lambda x: heavy, torch.zeros(3))
