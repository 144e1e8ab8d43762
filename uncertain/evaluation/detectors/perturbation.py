"""ODIN: the input is moved to where the network is surer, and temperature flattens what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from uncertain import checks
from uncertain.evaluation.detectors.arrays import Scores
from uncertain.evaluation.detectors.logit_scores import msp
from uncertain.predictive.batches import Progress, modules_of, run_batches


def odin(
    network: Any,
    data: Any,
    *,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Scores:
    r"""Return one minus the maximum softmax probability of perturbed inputs at a high temperature.

    .. math:: \tilde x = x + \epsilon \operatorname{sign} \nabla_x \log p_{\hat c}(x; T), \qquad
              1 - \max_c p_c(\tilde x; T)

    Needs the network itself: a gradient with respect to its input. It runs in evaluation mode;
    modes, gradients of its parameters and random states are as before afterwards.

    Args:
        network: A module or callable that returns logits (N, C), or their distribution.
        data: N rows of floating inputs, as for `uncertain.predictive.predict`; a split's x.
        temperature: T, above 0.
        epsilon: At least 0, in the units of x as the network sees it.
        batch_size: Rows a call.
        device: Where batches are moved; by default where the network lies.
        progress: Called with the rows done and their number.

    Returns:
        (N,), larger is more out-of-distribution.

    Raises:
        TypeError: Inputs are no floating tensors, or the network returns neither logits nor a
            ``Categorical``.
        ValueError: An argument is out of range, or the network's logits are not (N, C).

    References:
        S. Liang, Y. Li and R. Srikant, "Enhancing the reliability of out-of-distribution image
        detection in neural networks", 2018, eq. 1 to 3; T = 1000 and epsilon = .0014 are theirs for
        DenseNet on CIFAR-10, chosen on strange rows.

    Example:
        >>> network = torch.nn.Linear(4, 3)
        >>> odin(network, torch.zeros(5, 4)).shape
        (5,)
    """
    checks.check_range("temperature", temperature, 0, open_low=True)
    checks.check_range("epsilon", epsilon, 0)
    if hasattr(data, "row_ids") and hasattr(data, "x"):
        data = data.x
    scores: list[Scores] = []

    def call(x: Any, home: Any, count: int) -> Scores:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"`data` should be floating inputs to take gradients of, got {what}.")
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            logits = _logits(network(x), count) / temperature
            # Rows do not meet in the network, so the gradient of the sum is that of each.
            total = logits.log_softmax(dim=1).amax(dim=1).sum()
            (gradient,) = torch.autograd.grad(total, x)
        moved = x.detach() + epsilon * gradient.sign()
        return msp(_logits(network(moved), count).double().cpu().numpy() / temperature)

    run_batches(
        call,
        data,
        [lambda part, _: scores.append(part)],
        modules=modules_of(network),
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    return np.concatenate(scores)


def _logits(output: Any, count: int) -> Tensor:
    # Normalised ones serve as well: the softmax at any temperature is the same.
    logits = output.logits if isinstance(output, Categorical) else output
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(
            f"`network` should return logits (N, C) or a Categorical, got {type(output).__name__}: "
            "ODIN is defined for one softmax."
        )
    checks.check_shape("network(x)", logits, (count, "C"), hint="one logit a class")
    return logits
