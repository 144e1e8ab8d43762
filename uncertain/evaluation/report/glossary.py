"""What every metric is: its convention, which other libraries differ in, and its known bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "zero", "nominal", "context"]
ARROWS: dict[Better, tuple[str, str]] = {
    "higher": ("↑", "higher is better"),
    "lower": ("↓", "lower is better"),
    "zero": ("→ 0", "nearest to zero is best"),
    "nominal": ("→ level", "nearest to its nominal level is best"),
    "context": ("", ""),
}


@dataclass(frozen=True)
class Entry:
    """One metric in words.

    Attributes:
        label: Short name, for a column.
        better: Which way is better.
        meaning: What it is.
        convention: Which of the usual definitions, and how its interval is made.
        caution: Its known bias, or how it misleads.
    """

    label: str
    better: Better
    meaning: str
    convention: str
    caution: str


_CORP: tuple[tuple[str, Better, str, str, str], ...] = (
    (
        "miscalibration",
        "lower",
        "What the score of the top label (or positive class) would gain by isotonic recalibration.",
        "CORP (Dimitriadis et al. 2021): score = miscalibration − discrimination + uncertainty.",
        "Isotonic recalibration fits noise: above 0 at a calibrated model, and without an interval.",
    ),
    (
        "discrimination",
        "higher",
        "What the recalibrated confidences score better than the base rate.",
        "CORP; the order of the rows alone decides it.",
        "Too large by what recalibration fits of the noise; no interval.",
    ),
    (
        "uncertainty",
        "context",
        "Score of predicting the base rate: how hard the question is.",
        "CORP; the interval is that of the base rate.",
        "",
    ),
)

GLOSSARY: dict[str, Entry] = {
    "accuracy": Entry(
        "Accuracy",
        "higher",
        "Share of rows whose most probable class is the label.",
        "Wilson interval; with groups, the interval of a ratio over groups.",
        "Says nothing of how sure the model was.",
    ),
    "nll": Entry(
        "NLL",
        "lower",
        "Mean negative log-likelihood of the targets, −log p(y), in nats.",
        "Never clamped: a target of probability zero makes it infinite. For densities it depends on "
        "the target's unit. Student's t interval over rows or groups.",
        "A few confident mistakes can dominate it.",
    ),
    "brier": Entry(
        "Brier",
        "lower",
        "Mean squared distance between the probabilities and the label's one-hot vector.",
        "Summed over classes, from 0 to 2; halved or averaged over classes elsewhere.",
        "Mixes calibration with accuracy.",
    ),
    "ece": Entry(
        "ECE, plug-in",
        "lower",
        "Expected calibration error: mean gap between confidence and accuracy over bins.",
        "The variant names the bins, the norm and whether top labels or all classes are meant.",
        "Biased upwards: a perfectly calibrated model does not get 0 but its null level, which is "
        "shown beside it. No percentile bootstrap of it covers the truth, so it has no interval over items.",
    ),
    "ece_null": Entry(
        "ECE if calibrated",
        "context",
        "What the plug-in ECE would be if labels were drawn from the stated probabilities.",
        "Mean and 95 % point under y ~ p, with the same bins and rows.",
        "An ECE below the 95 % point is no evidence of miscalibration.",
    ),
    "ece_debiased": Entry(
        "ECE, debiased",
        "lower",
        "Calibration error with the bias of finite bins taken out.",
        "The interval belongs to this estimate and respects zero.",
        "Still blind to gaps that cancel within a bin.",
    ),
    "rms_calibration_error_debiased": Entry(
        "RMS calibration",
        "lower",
        "Root of the mean squared gap between confidence and accuracy, debiased.",
        "The squared gap less acc(1 − acc)/(n − 1) a bin (Bröcker 2012; Kumar et al. 2019); a "
        "negative sum counts as 0.",
        "Blind to gaps within a bin.",
    ),
    "squared_calibration_error_debiased": Entry(
        "Squared calibration",
        "lower",
        "Mean squared gap between confidence and accuracy, debiased, before the root.",
        "Compared in pairs because, unlike its root, its estimate is unbiased; it may be negative.",
        "Blind to gaps within a bin.",
    ),
    "smooth_ece": Entry(
        "ECE, smooth",
        "lower",
        "Calibration error without bins: the gap smoothed along the confidences, at the one bandwidth "
        "that equals the error (Błasiok and Nakkiran 2024).",
        "The authors' reflected Gaussian kernel; its bandwidth is the value itself.",
        "Biased upwards like every plug-in error: read it beside its null level.",
    ),
    "smooth_ece_null": Entry(
        "Smooth ECE if calibrated",
        "context",
        "What the smooth ECE would be if outcomes were drawn from the stated confidences.",
        "Mean and 95 % point, with the same rows.",
        "",
    ),
    "adaptive_calibration_error": Entry(
        "Adaptive calibration",
        "lower",
        "Mean gap over all classes and fifteen ranges of equal counts of each (Nixon et al. 2019).",
        "Of every class's probability, not the top label's; no interval.",
        "Biased upwards, and of the order 1/C with C classes.",
    ),
    "calibration_ks": Entry(
        "Calibration, Kolmogorov-Smirnov",
        "lower",
        "Largest cumulative gap between confidence and accuracy, rows in order of confidence.",
        "Read at the ends of ties; p-value of a calibrated model from Brownian motion, interval valid "
        "whatever the truth.",
        "Above 0 at a calibrated model, by about 0.4/√n.",
    ),
    "calibration_kuiper": Entry(
        "Calibration, Kuiper",
        "lower",
        "Largest gap between confidence and accuracy over any stretch of confidences, times its share.",
        "As Kolmogorov-Smirnov, with the range in place of the maximum.",
        "Above 0 at a calibrated model.",
    ),
    "spiegelhalter_z": Entry(
        "Spiegelhalter's z",
        "zero",
        "Whether the Brier score is what the confidences promise, in standard errors.",
        "Two-sided p-value; cluster-robust with groups.",
        "Blind to gaps at a confidence of a half, and grows with the number of rows.",
    ),
    **{
        f"{score}_{term}": Entry(f"{name}: {term}", better, meaning, convention, caution)
        for score, name in (("brier", "Brier"), ("log", "Log score"))
        for term, better, meaning, convention, caution in _CORP
    },
    "crps": Entry(
        "CRPS",
        "lower",
        "Continuous ranked probability score, in the target's unit; absolute error if certain.",
        "Closed form where there is one; the ecdf form for predictions that are samples.",
        "Comparable between models on the same rows, not between data sets.",
    ),
    "rmse": Entry(
        "RMSE",
        "lower",
        "Root mean squared error of the predictive mean, in the target's unit.",
        "Interval of the mean square, through the root.",
        "Outliers dominate it, and it ignores the spread.",
    ),
    "mae": Entry(
        "MAE",
        "lower",
        "Mean absolute error of the predictive median, in the target's unit.",
        "Student's t interval over rows or groups.",
        "Ignores the spread.",
    ),
    "coverage": Entry(
        "Coverage",
        "nominal",
        "Share of targets inside the central predictive interval of the level in the variant.",
        "Wilson interval.",
        "Right on average does not mean right for every row.",
    ),
    "coverage_null": Entry(
        "Coverage if right",
        "context",
        "What share of targets those intervals would hold if targets came from the predictions.",
        "Whole numbers: P(lower ≤ Y ≤ upper). S draws: their order statistics. Else the level itself.",
        "A right model's coverage is near this, not near the level.",
    ),
    "interval_score": Entry(
        "Interval score",
        "lower",
        "Width of the central interval plus 2/α times the distance of targets outside it.",
        "Winkler's score at the level in the variant, in the target's unit (Gneiting and Raftery "
        "2007).",
        "One level only; CRPS looks at all of them.",
    ),
    "sharpness": Entry(
        "Sharpness",
        "context",
        "How wide the predictions are: mean predictive spread, in the target's unit.",
        "Looks at no target.",
        "Small is good only where coverage holds.",
    ),
    "pit_ks": Entry(
        "PIT distance",
        "lower",
        "Largest distance between the PIT values' distribution and the uniform one.",
        "PIT is the predictive cdf at the target; randomised for discrete predictions.",
        "Above zero even for perfect predictions, by about 0.9/√n.",
    ),
    "quantile_calibration_error": Entry(
        "Quantile calibration",
        "lower",
        "How far the share of targets below a p-quantile is from p: root mean square over all p.",
        "Nothing is binned; for counts the non-randomised PIT (Czado, Gneiting and Held 2009). "
        "Interval valid for any truth.",
        "Above zero even for perfect predictions: its null level is shown beside it.",
    ),
    "quantile_calibration_error_null": Entry(
        "Quantile calibration if calibrated",
        "context",
        "What the quantile calibration error would be if targets came from the predictions.",
        "Mean and 95 % point, from the Cramér–von Mises law or from drawn targets.",
        "An error below the 95 % point is no evidence of miscalibration.",
    ),
    "rps": Entry(
        "RPS",
        "lower",
        "Ranked probability score: squared distance of cumulative probabilities, over the order.",
        "Summed over the thresholds between classes, or between the cells of the target's grid.",
        "Depends on the number of classes.",
    ),
    "joint_nll": Entry(
        "Joint NLL",
        "lower",
        "Mean −log P of the targets of a block of rows together, in nats a block.",
        "Members' likelihoods are multiplied within each and then mixed (Osband et al. 2022); the "
        "variant names blocks and their size.",
        "On blocks of unrelated rows it says little more than the NLL.",
    ),
    "energy_score": Entry(
        "Energy score",
        "lower",
        "The CRPS of several targets together, in their unit.",
        "Fair estimate from draws of the prediction (Gneiting and Raftery 2007).",
        "Sees errors of the marginals better than those of the dependence; mixes the targets' units.",
    ),
    "grid_nll": Entry(
        "NLL of the cell",
        "lower",
        "Mean −log P(cell): the probability of the grid cell that holds the target, in nats.",
        "The log score of the prediction rounded to the target's grid; the spacing is the variant.",
        "Comparable only at one spacing.",
    ),
    "auroc": Entry(
        "AUROC",
        "higher",
        "Chance that a positive row gets a higher uncertainty score than a negative one.",
        "Ties count half; scores are not transformed. Logit-DeLong interval, one-sided at exactly 1. "
        "For errors the mistakes are positive, for strange inputs the out-of-distribution rows.",
        "Independent of class balance, so a high value can still mean many false alarms.",
    ),
    "aupr_ood_positive": Entry(
        "AUPR, OOD positive",
        "higher",
        "Average precision in finding out-of-distribution rows.",
        "Step-wise average precision, no interpolation; bootstrap interval.",
        "Depends on the ratio of the two sets' sizes.",
    ),
    "aupr_id_positive": Entry(
        "AUPR, ID positive",
        "higher",
        "Average precision in finding in-distribution rows.",
        "Step-wise average precision with the score reversed; bootstrap interval.",
        "Depends on the ratio of the two sets' sizes.",
    ),
    "fpr95_ood_positive": Entry(
        "FPR at 95 % TPR",
        "lower",
        "Share of in-distribution rows flagged when 95 % of the strange ones are.",
        "Out-of-distribution is positive; a group of ties is finished before it is read.",
        "With the in-distribution rows as positive the same scores give another number.",
    ),
    "scod_cost": Entry(
        "SCOD cost",
        "lower",
        "Half the share of test rows accepted and wrong plus half the share of strange rows "
        "accepted, where 5 % of the test rows are rejected (Narasimhan et al. 2024).",
        "Each share is of its own side; ties accepted in part; bootstrap interval, never narrower "
        "than the two Wilson intervals combined.",
        "Another budget or another price of a strange row can order models otherwise.",
    ),
    "aupr_error_positive": Entry(
        "AUPR, error positive",
        "higher",
        "Average precision in finding the model's mistakes.",
        "Step-wise average precision; bootstrap interval.",
        "Depends on the error rate: an accurate model looks worse.",
    ),
    "aupr_correct_positive": Entry(
        "AUPR, correct positive",
        "higher",
        "Average precision in finding the rows the model gets right.",
        "Step-wise average precision; bootstrap interval.",
        "Near 1 for any accurate model.",
    ),
    "fpr95_error_positive": Entry(
        "FPR at 95 % TPR, errors",
        "lower",
        "Share of correct rows flagged when 95 % of the mistakes are.",
        "Mistakes are positive; a group of ties is finished before it is read.",
        "Rests on the few hardest mistakes.",
    ),
    "augrc": Entry(
        "AUGRC",
        "lower",
        "Share of all rows that is accepted and wrong, averaged over all coverages.",
        "Equals (1 − AUROC) a (1 − a) + (1 − a)²/2 at accuracy a (Traub et al. 2024); from 0 to 0.5, "
        "ties averaged, bootstrap interval.",
        "The figure to rank models by at abstaining: it weighs every mistake alike.",
    ),
    "excess_aurc": Entry(
        "Excess AURC",
        "lower",
        "AURC less that of an oracle that accepts all mistakes last.",
        "The oracle's own area is exact, not its integral; bootstrap interval.",
        "Not free of accuracy: what a misplaced mistake costs depends on how many there are.",
    ),
    **{
        f"risk_at_{percent}_coverage": Entry(
            f"Risk at {percent} %",
            "lower",
            f"Share of mistakes among the {percent} % of rows that are most certain.",
            "A tie group that the coverage ends in counts in part; bootstrap interval, never "
            "narrower than Wilson's of the accepted rows.",
            "One point of the curve; AUGRC looks at all of them.",
        )
        for percent in (80, 90, 95)
    },
    **{
        f"coverage_at_{percent}_risk": Entry(
            f"Coverage at {percent} % risk",
            "higher",
            f"Largest share of rows that can be accepted with at most {percent} % mistakes.",
            "At the last crossing of the risk-coverage curve, 0 where there is none; bootstrap "
            "interval, never narrower than the score test's of the risk.",
            "Jumps where the curve is flat near that risk.",
        )
        for percent in (1, 5)
    },
    "aurc": Entry(
        "AURC",
        "lower",
        "Mean error rate when the most certain rows are kept, over all coverages.",
        "Mean of risks with ties averaged, not a trapezoid over one ordering.",
        "Falls with the error rate too, not only with better ranking.",
    ),
    "parts_correlation": Entry(
        "Rank correlation of the parts",
        "context",
        "Spearman's correlation over rows of the aleatoric and the epistemic part.",
        "Jackknife interval on Fisher's scale, over rows or groups.",
        "Red above 0.8: the two rank rows alike, so one of them says nothing of its own.",
    ),
    "epistemic_slope": Entry(
        "Ignorance against rows",
        "context",
        "Slope of the log mean epistemic part against the log number of training rows.",
        "Least squares a seed; Student's t interval over seeds.",
        "About -1 is usual for a variance; red where the interval reaches 0.",
    ),
    "aleatoric_slope": Entry(
        "Noise against rows",
        "context",
        "Slope of the log mean aleatoric part against the log number of training rows.",
        "As for ignorance.",
        "Red where it is surely not 0 and over half of ignorance's.",
    ),
    "noise_aleatoric_rise": Entry(
        "Noise noticed",
        "context",
        "Rise of the aleatoric part where label noise was injected.",
        "Noisy less clean training of the same seed; Student's t interval over seeds.",
        "Red where it is not surely above 0.",
    ),
    "noise_epistemic_share": Entry(
        "Noise taken for ignorance",
        "context",
        "Share of the whole rise that the epistemic part took, where noise was injected.",
        "Student's t interval over seeds.",
        "Noise makes even a perfect learner a little more ignorant. Red above 0.25.",
    ),
    "noise_spill": Entry(
        "Noise spilled",
        "context",
        "Rise of the aleatoric part outside the region over the rise inside it.",
        "Student's t interval over seeds.",
        "Red above 0.25 in size.",
    ),
    "rating_correlation": Entry(
        "Agreement with raters",
        "context",
        "Spearman's correlation of a part with the entropy of several people's ratings.",
        "Ratings' entropy with Miller's correction; jackknife interval.",
        "Few raters a row blur it: compare models on the same rows only.",
    ),
    "rating_correlation_gain": Entry(
        "Raters: noise less ignorance",
        "context",
        "How much better noise follows the raters' disagreement than ignorance does.",
        "Difference of two rank correlations on the same rows; jackknife interval.",
        "Red where it is not above 0.",
    ),
    "conformal_coverage": Entry(
        "Conformal coverage",
        "nominal",
        "Share of targets inside a conformal set or interval; the variant has method and goal.",
        "Wilson interval. The p-value is that of the Beta-binomial law which the coverage follows where "
        "rows are exchangeable, so that calibration sets of any size are judged fairly.",
        "Says nothing of any one kind of row, and nothing is promised where inputs have shifted.",
    ),
    "set_size": Entry(
        "Set size",
        "lower",
        "Mean number of classes in a conformal set.",
        "Student's t interval over rows or groups; empty sets count as 0.",
        "Compare only at equal coverage.",
    ),
    "interval_width": Entry(
        "Interval width",
        "lower",
        "Mean width of a conformal interval, in the target's unit.",
        "Student's t interval over rows or groups; infinite where calibration rows were too few.",
        "Compare only at equal coverage.",
    ),
    "conformal_coverage_by_size": Entry(
        "Coverage by size",
        "nominal",
        "Conformal coverage of the rows whose set has one size, or whose width is in one quarter.",
        "Wilson interval; parts of fewer than 20 rows are left out.",
        "A method that adapts to the row keeps its coverage at every size.",
    ),
    "conformal_coverage_by_class": Entry(
        "Coverage by class",
        "nominal",
        "Conformal coverage of the rows of one true class.",
        "Wilson interval; parts of fewer than 20 rows are left out.",
        "Not promised: one class may pay for the others.",
    ),
    "conformal_coverage_by_group": Entry(
        "Coverage by group",
        "nominal",
        "Conformal coverage of the rows of one group that had a threshold of its own.",
        "Wilson interval; parts of fewer than 20 rows are left out.",
        "",
    ),
    "train_seconds": Entry(
        "Training, CPU s",
        "lower",
        "CPU seconds one training took, from nothing: a shared network is counted in full.",
        "Process time on the machine named below.",
        "Compare only figures of the same machine.",
    ),
    "own_train_seconds": Entry(
        "Of that its own",
        "lower",
        "CPU seconds that are paid by who has the shared network already: a head's fit, say.",
        "Process time; all of the training where nothing is shared.",
        "0 where a model only reads a network that another trained.",
    ),
    "parameters": Entry(
        "Parameters", "context", "How many numbers the model learns.", "All members together.", ""
    ),
    "stored_numbers": Entry(
        "Also stored",
        "context",
        "Numbers that are kept beside the parameters: a covariance, a bank of features.",
        "Buffers of the module.",
        "",
    ),
    "forward_passes": Entry(
        "Passes a row", "context", "Network passes one prediction takes.", "", ""
    ),
}
COSTS = (
    "train_seconds",
    "own_train_seconds",
    "predict_seconds",
    "parameters",
    "stored_numbers",
    "forward_passes",
)
"""Metrics that are costs, shown beside quality rather than in it."""

CONFORMAL = (
    "conformal_coverage", "set_size", "interval_width", "conformal_coverage_by_size",
    "conformal_coverage_by_class", "conformal_coverage_by_group",
)  # fmt: skip
"""Metrics of conformal sets, which have a section of their own."""

PARTS = {
    "parts_correlation": "well below 0.8",
    "epistemic_slope": "below 0",
    "aleatoric_slope": "near 0",
    "noise_aleatoric_rise": "above 0",
    "noise_epistemic_share": "near 0",
    "noise_spill": "near 0",
    "rating_correlation": "above 0 for noise",
    "rating_correlation_gain": "above 0",
}
"""Tests of the split into noise and ignorance, and what each should be."""
DIAGNOSTICS = frozenset(
    {
        "ece",
        "ece_debiased",
        "rms_calibration_error_debiased",
        "squared_calibration_error_debiased",
        "smooth_ece",
        "adaptive_calibration_error",
        "calibration_ks",
        "calibration_kuiper",
        "brier_miscalibration",
        "brier_discrimination",
        "log_miscalibration",
        "log_discrimination",
        "pit_ks",
    }
)
"""Metrics that say what is wrong and rank nothing: a model can be calibrated and know nothing."""

TERMS = {
    "Diagnostic": "A figure that says what is wrong with a model, not which model is better. "
    "Calibration errors are: predicting the base rate for every row makes them 0. Models are "
    "ranked by proper scores and, for abstaining, by AUGRC.",
    "Interval": "The range that would contain the true figure in the stated share of repetitions. "
    "Over items: other test rows; over trainings: other seeds; both: either.",
    "Rank group": "Models that share a letter are not told apart by the data; a is the best group.",
    "Null": "The level a figure would have if nothing were wrong.",
    "Holm": "Correction of p-values for the number of comparisons made.",
    "Groups": "Rows that belong together (one patient, one image) count as one when intervals are "
    "made.",
    "Subgroup": "Rows that share a value of a column. The worst one is picked for its noise too, so its "
    "interval holds for all subgroups of the column together.",
    "Control": "A score that looks at no model. Where one tells the two sets apart, the pair is "
    "trivial and supports no claim about models.",
}


def entry(metric: str) -> Entry:
    """Return a metric's entry; an unknown one is shown under its own name.

    Example:
        >>> entry("auroc").label, entry("my_metric").label
        ('AUROC', 'my metric')
    """
    return GLOSSARY.get(metric) or Entry(metric.replace("_", " "), "context", "", "", "")
