"""All detectors that apply to a bank, fitted at once, and their scores by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from uncertain import checks
from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import Detector, Scores
from uncertain.evaluation.detectors.boundaries import FDBD
from uncertain.evaluation.detectors.logit_scores import energy, gen, grad_norm, max_logit, msp
from uncertain.evaluation.detectors.mahalanobis import Mahalanobis, RelativeMahalanobis
from uncertain.evaluation.detectors.neighbours import KNN, NNGuide
from uncertain.evaluation.detectors.patterns import SHE
from uncertain.evaluation.detectors.shaping import ASH, SCALE, ReAct
from uncertain.evaluation.detectors.virtual_logit import ViM
from uncertain.evaluation.uncertainty import DETECTOR

DETECTORS: dict[str, Callable[[Collected], Detector]] = {
    "msp": lambda bank: lambda features, logits: msp(logits),
    "max_logit": lambda bank: lambda features, logits: max_logit(logits),
    "energy": lambda bank: lambda features, logits: energy(logits),
    "gen": lambda bank: lambda features, logits: gen(logits),
    "grad_norm": lambda bank: grad_norm,
    "mahalanobis": Mahalanobis.fit,
    "relative_mahalanobis": RelativeMahalanobis.fit,
    "knn": KNN.fit,
    "nnguide": NNGuide.fit,
    "vim": ViM.fit,
    "react": ReAct.fit,
    "ash_p": partial(ASH.fit, variant="p"),
    "ash_b": partial(ASH.fit, variant="b"),
    "ash_s": partial(ASH.fit, variant="s"),
    "scale": SCALE.fit,
    "she": SHE.fit,
    "fdbd": FDBD.fit,
}
"""Name -> fit, each with its paper's settings: nothing is tuned."""


class Battery(NamedTuple):
    """Detectors fitted to one bank.

    Attributes:
        detectors: Name -> detector.
        skipped: Name -> why it does not apply to this bank.
        network: The hash of the bank's network, empty where unknown.
    """

    detectors: Mapping[str, Detector]
    skipped: Mapping[str, str]
    network: str


def fit_detectors(bank: Collected, names: tuple[str, ...] = tuple(DETECTORS)) -> Battery:
    """Fit every detector that applies, with its paper's settings.

    Only training rows are seen: there is no argument for strange ones.

    Args:
        bank: Training rows, with labels where possible.
        names: Which detectors.

    Returns:
        The detectors by name, and why others do not apply (too few rows, negative activations, no
        labels, ...).

    Raises:
        ValueError: An unknown name.
        TypeError: The bank holds log-probabilities instead of logits.

    Example:
        >>> import numpy as np
        >>> h = np.random.default_rng(0).normal(size=(60, 4))
        >>> battery = fit_detectors(Collected(h, h, np.eye(4), np.zeros(4)))
        >>> sorted(battery.detectors)[:4], battery.skipped["ash_s"][:31]
        (['energy', 'fdbd', 'gen', 'grad_norm'], '`features` should lie in [0, in')
    """
    fitted: dict[str, Detector] = {}
    skipped: dict[str, str] = {}
    for name in names:
        checks.check_choice("names", name, DETECTORS)
        try:
            fitted[name] = DETECTORS[name](bank)
        except ValueError as error:
            skipped[name] = str(error)
    return Battery(fitted, skipped, str(bank.facts.get("network", "")))


def detector_scores(battery: Battery, rows: Collected) -> dict[str, Scores]:
    """Return each detector's scores of collected rows, by ``detector:NAME``.

    They go into ``scores`` of :class:`uncertain.evaluation.Predictions` as they are.

    Args:
        battery: Detectors fitted to the training rows of the same network.
        rows: Test or strange rows.

    Returns:
        Name -> (N,), larger is more out-of-distribution.

    Raises:
        ValueError: The rows come from another network than the bank.

    Example:
        >>> import numpy as np
        >>> h = np.random.default_rng(0).normal(size=(60, 4))
        >>> rows = Collected(h, h, np.eye(4), np.zeros(4))
        >>> list(detector_scores(fit_detectors(rows, ("msp", "knn")), rows))
        ['detector:msp', 'detector:knn']
    """
    network = str(rows.facts.get("network", ""))
    if network and battery.network and network != battery.network:
        raise ValueError(
            "`rows` should come from the network that the bank came from, got features of another "
            f"({network[:12]} instead of {battery.network[:12]}): collect both with one network."
        )
    return {
        f"{DETECTOR}{name}": detector(rows.features, rows.logits)
        for name, detector in battery.detectors.items()
    }
