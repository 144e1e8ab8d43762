"""What `uncertain.fit.fit` costs a step beside the same loop written by hand.

The hand-written loop shuffles, selects rows, takes the gradient of the mean negative log-likelihood
and steps Adam; it records the loss, and checks nothing. `fit` does that too, and seeds every step,
weighs rows, checks loss and gradient, and remembers the last good state. Both train the same
network on the same rows for the same number of steps.
"""

from __future__ import annotations

import harness
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain.fit import fit


class Classifier(nn.Module):
    """A softmax on a multilayer perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 10),
        )

    def forward(self, x: Tensor) -> Categorical:
        """Return the class distribution."""
        return Categorical(logits=self.net(x))


def by_hand(model: nn.Module, x: Tensor, y: Tensor, steps: int, batch_size: int) -> list[float]:
    """Train as a short script does."""
    optimizer = torch.optim.Adam(model.parameters())
    losses: list[float] = []
    while len(losses) < steps:
        for index in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            loss = -model(x[index]).log_prob(y[index]).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time both loops on a small, a middling and a large network."""
    steps = 10 if quick else 200
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4096, 64, generator=generator)
    y = torch.randint(10, (4096,), generator=generator)
    for name, width, batch_size in (("small", 32, 32), ("middling", 128, 64), ("large", 512, 128)):
        ours, theirs = Classifier(width), Classifier(width)
        times = harness.interleave(
            {
                "hand": lambda: by_hand(theirs, x, y, steps, batch_size),  # noqa: B023
                "fit": lambda: fit(ours, (x, y), steps=steps, batch_size=batch_size),  # noqa: B023
            }
        )
        figures.add_times(name, times, baseline="hand")
        extra = [(a - b) / steps for a, b in zip(times["fit"], times["hand"], strict=True)]
        figures.add(f"{name}_extra_microseconds_a_step", sorted(extra)[len(extra) // 2] * 1e6, "us")


if __name__ == "__main__":
    harness.main(__doc__, measure)
