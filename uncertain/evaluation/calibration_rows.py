r"""What every calibration figure shares: rows of one binary question, their bins, their estimates.

Axis letters: ``N`` rows, ``C`` classes, ``B`` bins.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation.calibration_bins import (
    BINNINGS,
    Binning,
    BinTable,
    ClasswiseState,
    bin_index,
    bin_table,
    equal_mass_edges,
    equal_width_edges,
    stacked,
)
from uncertain.evaluation.calibration_sorted import SortedRows, classwise_sorted
from uncertain.evaluation.classification import check_classification
from uncertain.intervals import Estimate

Mode = Literal["top_label", "positive", "classwise"]

MODES: tuple[Mode, ...] = ("top_label", "positive", "classwise")


class Rows(NamedTuple):
    """Rows of one binary question, sorted by group where there are groups."""

    confidence: NDArray[Any]
    outcome: NDArray[np.bool_]
    weights: NDArray[np.float64] | None
    ids: NDArray[np.intp] | None
    order: NDArray[np.intp] | None

    @classmethod
    def read(
        cls,
        probabilities: ArrayLike,
        labels: ArrayLike,
        mode: Mode,
        weights: ArrayLike | None,
        groups: ArrayLike | None,
        level: float,
    ) -> Rows:
        """Ask ``mode``'s question of probabilities (N, C), checked."""
        intervals.check_level(level)
        checks.check_choice("mode", mode, MODES)
        p, y = check_classification(probabilities, labels)
        if mode == "positive":
            checks.check_shape("probabilities", p, ("N", 2), hint="mode='positive' has two classes")
            return cls.of(p[:, 1], y == 1, weights, groups)
        best = p.argmax(axis=1)
        return cls.of(p[np.arange(len(p)), best], best == y, weights, groups)

    @classmethod
    def of(
        cls,
        confidence: NDArray[Any],
        outcome: NDArray[np.bool_],
        weights: ArrayLike | None,
        groups: ArrayLike | None,
    ) -> Rows:
        """Keep outcomes and their confidences; with groups, sorted."""
        w = None if weights is None else intervals.check_weights(weights, len(outcome))
        if groups is None:
            return cls(confidence, outcome, w, None, None)
        ids = intervals.group_ids(groups)
        checks.check_same_length(labels=outcome, groups=ids)
        # Sorted by all they hold, so that sums over groups have the same bits in any order.
        keys = [outcome, confidence, ids] if w is None else [w, outcome, confidence, ids]
        order = np.lexsort(keys)
        sorted_w = None if w is None else w[order]
        return cls(confidence[order], outcome[order], sorted_w, ids[order], order)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    @property
    def n_groups(self) -> int | None:
        """Number of groups, where there are any."""
        return None if self.ids is None else int(self.ids[-1]) + 1


def edges_of(confidence: NDArray[Any], binning: Binning, bins: int) -> NDArray[np.float64]:
    """Return the edges of a binning, (B + 1,)."""
    checks.check_choice("binning", binning, BINNINGS)
    checks.check_range("bins", bins, 1)
    if binning == "equal_width":
        return equal_width_edges(bins)
    return equal_mass_edges(confidence, bins)


def gap_model(
    rows: Rows, binning: Binning, bins: int, *, cluster: bool = True
) -> inversion.GapModel:
    """Bin the rows; with groups, also the covariance of the bins."""
    if rows.weights is None:
        ordered = SortedRows.of(rows.confidence, rows.outcome)
        return model_of(rows, binned(ordered, binning, bins), cluster=cluster)
    edges = edges_of(rows.confidence, binning, bins)
    table = bin_table(rows.confidence, rows.outcome, edges, weights=rows.weights)
    return model_of(rows, table, cluster=cluster)


def binned(ordered: SortedRows, binning: Binning, bins: int) -> BinTable:
    """Return the table of sorted rows without weights."""
    checks.check_choice("binning", binning, BINNINGS)
    wide = binning == "equal_width"
    return ordered.table(equal_width_edges(bins) if wide else ordered.equal_mass_edges(bins))


def model_of(rows: Rows, table: BinTable, *, cluster: bool = True) -> inversion.GapModel:
    """Return the law of a table's gaps; with groups, also the covariance of the bins."""
    edges, filled = table.edges, table.filled()
    n_groups = rows.n_groups
    if rows.ids is None or n_groups is None or n_groups < 2 or not cluster:
        return inversion.GapModel(filled)
    number = np.cumsum(table.weight > 0) - 1
    weights = np.ones(rows.n) if rows.weights is None else rows.weights
    # Rows of weight 0 may lie in a bin that is left out; they add 0 wherever they are counted.
    index = np.maximum(number[bin_index(rows.confidence, edges)], 0)
    residual = rows.confidence.astype(np.float64) - rows.outcome
    law = inversion.clusters(filled, index, residual, weights, rows.ids)
    return inversion.GapModel(filled, law)


def inverted(
    model: inversion.GapModel,
    draws: inversion.Draws,
    rows: Rows,
    level: float,
    norm: inversion.Norm,
) -> Estimate:
    """Return the debiased error with the interval of the true one."""
    n_groups = rows.n_groups
    kumar = _kumar(model, plain=rows.weights is None and rows.ids is None)
    if n_groups == 1:
        value = (
            kumar if norm == "l2" else inversion.bounds(model, draws, norm=norm, level=level).value
        )
        reason = "one group has no spread"
        return intervals.undefined(reason, value=value, n=rows.n, level=level, n_groups=1)
    value, low, high = inversion.bounds(model, draws, norm=norm, level=level)
    if norm == "l2":
        value = kumar
    return Estimate(value, min(low, value), max(high, value), rows.n, level, n_groups)


def _kumar(model: inversion.GapModel, *, plain: bool) -> float:
    """The debiased l2 error of Kumar et al., or its like with the model's variances."""
    t = model.table
    several = t.count > 1
    if plain:
        noise = t.frequency * (1 - t.frequency) / np.maximum(t.count - 1, 1)
    else:
        noise = (model.deviation(np.abs(t.gap)) / t.share) ** 2
    squared = np.where(several, (t.confidence - t.frequency) ** 2 - noise, 0.0)
    return float(np.sqrt(max(0.0, float(t.share @ squared))))


def null_estimate(
    model: inversion.GapModel, draws: inversion.Draws, rows: Rows, level: float, seed: int
) -> Estimate:
    """Return mean and ``level`` point of a calibrated model's ECE, and the observed one's p-value."""
    errors = inversion.null_errors(model, draws, norm="l1", seed=seed)
    return _null_summary(errors, model.statistic("l1"), rows, level)


def _null_summary(
    errors: NDArray[np.float64], observed: float, rows: Rows, level: float
) -> Estimate:
    p_value = (1 + int(np.count_nonzero(errors >= observed))) / (1 + len(errors))
    high = float(np.quantile(errors, level))
    value = float(errors.mean())
    return Estimate(value, 0.0, high, rows.n, level, rows.n_groups, p_value)


def classwise_tables(
    probabilities: ArrayLike,
    labels: ArrayLike,
    rows: Rows,
    bins: int,
    binnings: tuple[Binning, ...] = BINNINGS,
) -> dict[Binning, list[BinTable]]:
    """Return a table a class and binning, of the probabilities whose labels ``rows`` came from."""
    checks.check_range("bins", bins, 1)
    p, y = np.asarray(probabilities), np.asarray(labels).astype(np.intp, copy=False)
    if p.dtype.kind != "f":
        p = p.astype(np.float64)
    if rows.weights is None:
        of = zip(*classwise_sorted(p, y, bins, binnings), strict=True)
        return {name: list(tables) for name, tables in zip(binnings, of, strict=True)}
    if rows.order is not None:
        p, y = p[rows.order], y[rows.order]
    return {name: _weighted_tables(p, y, rows.weights, bins, name) for name in binnings}


def _weighted_tables(
    p: NDArray[Any], y: NDArray[np.intp], weights: NDArray[np.float64], bins: int, binning: Binning
) -> list[BinTable]:
    if binning == "equal_width":
        state = ClasswiseState(p.shape[1], equal_width_edges(bins))
        return state.update(p, y, weights=weights).compute()
    return [
        bin_table(column, y == c, equal_mass_edges(column, bins), weights=weights)
        for c, column in enumerate(p.T)
    ]


def adaptive_error(tables: list[BinTable]) -> float:
    """Return the mean over classes and their equal-mass ranges of the absolute gap."""
    return float(
        np.mean([np.abs(t.frequency - t.confidence).mean() for t in (x.filled() for x in tables)])
    )


def classwise_error(tables: list[BinTable]) -> float:
    """Return the mean over classes of the plug-in error."""
    return float(np.mean([np.abs(table.gap).sum() for table in tables]))


_CLASSES = 100
"""How many classes' bins are drawn at a time."""


def classwise_null(
    tables: list[BinTable], rows: Rows, level: float, seed: int, replicates: int
) -> Estimate:
    """Return the null of the classwise ECE, classes drawn independently.

    The mean over many classes varies little, so each of them is drawn less often: ten classes
    take the full number of draws, a thousand a tenth of it each.
    """
    share = max(0.1, min(1.0, 10 / len(tables)))
    drawn = max(1, round(replicates * share))
    errors = np.zeros(2 * drawn)
    for first in range(0, len(tables), _CLASSES):
        some = tables[first : first + _CLASSES]
        model = inversion.GapModel(stacked([table.filled() for table in some]))
        stream = int(np.random.SeedSequence([seed, first]).generate_state(1)[0])
        draws = inversion.draw(model, seed=stream, replicates=drawn)
        # The bins of several classes are one table, whose error is the mean over the classes.
        found = inversion.null_errors(model, draws, norm="l1", seed=stream)
        errors += found * (len(some) / len(tables))
    null = _null_summary(errors, classwise_error(tables), rows, level)
    # Classes share rows, and so do the rows of a group: the tail of the null is not known.
    return null._replace(p_value=None) if rows.ids is None else _no_group_null(null)


def _no_group_null(found: Estimate) -> Estimate:
    reason = "the null treats the rows of a group as independent"
    return found._replace(p_value=None, high=np.nan, low=np.nan, reason=reason)


BIASED = "the plug-in error is biased upwards, at a calibrated model too"


def plug_in(
    value: float,
    rows: Rows,
    level: float,
    *,
    reason: str = "the plug-in error is biased upwards: see ece_null and ece_debiased",
) -> Estimate:
    """Return the plug-in error, which has no interval of its own."""
    return intervals.undefined(reason, value=value, n=rows.n, level=level, n_groups=rows.n_groups)


def check_draws(replicates: int) -> None:
    """Raise ``ValueError`` unless ``replicates`` is at least 1."""
    checks.check_range("replicates", replicates, 1)
