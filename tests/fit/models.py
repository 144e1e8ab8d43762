"""Small predictors that the tests train."""

import functools

import torch
from torch import nn
from torch.distributions import Categorical, Normal

sgd = functools.partial(torch.optim.SGD, lr=0.1)


class Line(nn.Linear):
    """A linear regression with unit noise."""

    def forward(self, x):
        return Normal(super().forward(x)[..., 0], torch.ones((), dtype=x.dtype))


class Classes(nn.Module):
    """A small classifier with dropout and batch normalisation, so that a step draws and keeps state."""

    def __init__(self, inputs=3, classes=4, seed=0, dropout=0.3):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                nn.Linear(inputs, 8),
                nn.BatchNorm1d(8),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(8, classes),
            )

    def forward(self, x):
        return Categorical(logits=self.net(x))


def line(inputs=2, dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Line(inputs, 1, dtype=dtype)


def regression(n=40, inputs=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, generator=generator, dtype=dtype)
    y = x.sum(1) + 0.3 * torch.randn(n, generator=generator, dtype=dtype)
    return x, y


def classification(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    return x, torch.randint(4, (n,), generator=generator)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
