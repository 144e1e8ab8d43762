"""One look for every figure of the gallery."""

from typing import Any

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Hues that all eyes tell apart (Okabe, Ito 2008)."""


def quiet_figures(gallery: dict[str, Any], name: str) -> None:
    """Draw without box or background, so that a figure sits well on a light page and a dark one."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 120,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "axes.titlelocation": "left",
            "axes.prop_cycle": plt.cycler(color=COLOURS),
        }
    )


class ReadingOrder:
    """Sort the examples as a reader meets the questions, not by name."""

    NAMES = (
        "plot_judge_your_predictions.py",
        "plot_compare_under_shift.py",
        "plot_perturbed_inputs.py",
        "plot_when_to_abstain.py",
        "plot_label_measures.py",
        "plot_thin_deep_surface.py",
        "plot_bathymetry.py",
    )

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return "ReadingOrder"

    def __call__(self, name: str) -> tuple[int, str]:
        """Return where a file stands; one that is not listed comes last."""
        known = name in self.NAMES
        return (self.NAMES.index(name) if known else len(self.NAMES), name)
