"""Rules that a judgement must keep, so that a build fails when a model got worse.

A rule names what is *not* allowed: ``ece_debiased > 0.03`` fails where the debiased ECE exceeds 0.03.

.. code-block:: text

    [surely | possibly] METRIC [ "[" VARIANT "]" ] [ "@" SPLIT ] [ of SUBGROUP ] ( > | >= | < | <= ) NUMBER
    METRIC [ "[" VARIANT "]" ] [ "@" SPLIT ] [ of SUBGROUP ] worse

A subgroup is one that figures are had by: ``accuracy of worst site < 0.8`` holds the worst of them,
``accuracy of site=B < 0.8`` that one, ``accuracy of every site < 0.8`` each; names with ``<``, ``>`` or
quotes in them stand in double quotes.

By default the figure itself is compared. ``surely`` fails only where the whole interval is beyond the
limit, ``possibly`` wherever any of it is. ``worse`` holds a figure against a baseline. An unknown
figure is an error and an undefined one fails: what can't be checked has not passed.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uncertain import checks
from uncertain.evaluation.formatting import decimals, interval, number
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_order import natural_key

_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_RULE = re.compile(
    r"\s*(?:(?P<certainty>surely|possibly)\s+)?(?P<metric>[A-Za-z]\w*)\s*"
    r"(?:\[(?P<variant>[^\]]*)\])?\s*(?:@\s*(?P<split>[^\s<>=]+))?\s*"
    r"(?:\bof\s+(?:\"(?P<quoted>[^\"]+)\"|(?P<subgroup>[^<>\"]+?))\s*)?"
    r"(?:(?P<worse>\bworse)|(?P<sign>>=|<=|>|<)\s*(?P<limit>\S+))\s*"
)
_MANY = ("worst", "every")
_WIDEST = {"both": 0, "trainings": 1, "items": 2}


@dataclass(frozen=True)
class Rule:
    """One thing that is not allowed.

    Attributes:
        text: The rule as it was written.
        metric: The figure's metric.
        variant: Its variant; the usual one where ``None``.
        split: On which rows.
        sign: ``>``, ``>=``, ``<`` or ``<=``; empty for ``worse``.
        limit: What the figure may not pass; NaN for ``worse``.
        certainty: Empty, ``surely`` or ``possibly``.
        subgroup: Which subgroup, ``worst COLUMN`` or ``every COLUMN``; all rows where empty.
    """

    text: str
    metric: str
    variant: str | None
    split: str
    sign: str
    limit: float
    certainty: str = ""
    subgroup: str = ""

    @property
    def is_relative(self) -> bool:
        """Whether the rule is about a baseline."""
        return not self.sign

    @property
    def column(self) -> str:
        """What its subgroups are of; empty where the rule is about all rows."""
        kind, _, column = self.subgroup.partition(" ")
        return column if kind in _MANY and column else self.subgroup.partition("=")[0]


@dataclass(frozen=True)
class Violation:
    """A rule that was not kept.

    Attributes:
        rule: As it was written, or ``worse`` where every figure is held against a baseline.
        row: The figure, or its difference from the baseline.
        message: One line: the figure, its interval and the limit.
    """

    rule: str
    row: Row
    message: str


class GateFailedError(Exception):
    """Rules were not kept. Everything that was asked for has been written.

    Attributes:
        results: The table of figures.
        violations: What was not kept.

    Example:
        >>> error = GateFailedError(Results([]), [])
        >>> error.violations
        ()
    """

    def __init__(self, results: Results, violations: Sequence[Violation]) -> None:
        super().__init__("\n".join(violation.message for violation in violations))
        self.results = results
        self.violations = tuple(violations)


def parse_rule(text: str) -> Rule:
    """Return a rule from its text.

    Raises:
        ValueError: The text is no rule.

    Example:
        >>> rule = parse_rule("surely auroc[msp]@ood:far < 0.9")
        >>> rule.certainty, rule.metric, rule.variant, rule.split, rule.sign, rule.limit
        ('surely', 'auroc', 'msp', 'ood:far', '<', 0.9)
        >>> rule = parse_rule("nll of worst site > 1.2")
        >>> rule.subgroup, rule.column
        ('worst site', 'site')
        >>> rule = parse_rule("nll of site=B worse")
        >>> rule.is_relative, rule.subgroup
        (True, 'site=B')
    """
    found = _RULE.fullmatch(text)
    relative = found is not None and bool(found["worse"])
    subgroup = (
        "" if found is None else " ".join((found["quoted"] or found["subgroup"] or "").split())
    )
    if found is None or (relative and found["certainty"]):
        raise ValueError(
            f"a rule should read METRIC > NUMBER, METRIC[VARIANT]@SPLIT < NUMBER, METRIC of worst "
            f"COLUMN > NUMBER, METRIC worse or METRIC of worst COLUMN worse, got {text!r}: the signs are "
            ">, >=, < and <=, and `surely` or `possibly` may come first where there is one."
        )
    if subgroup and "=" not in subgroup and subgroup.partition(" ")[0] not in _MANY:
        raise ValueError(
            f"a rule should name a subgroup as COLUMN=VALUE, worst COLUMN or every COLUMN, got "
            f"{subgroup!r} in {text!r}."
        )
    try:
        limit = math.nan if relative else float(found["limit"])
    except ValueError:
        limit = math.nan
    if math.isnan(limit) and not relative:
        raise ValueError(f"a rule should end in a number, got {found['limit']!r} in {text!r}.")
    return Rule(
        text.strip(),
        found["metric"],
        found["variant"],
        found["split"] or "test",
        found["sign"] or "",
        limit,
        found["certainty"] or "",
        subgroup,
    )


def check_rules(results: Results, rules: Sequence[str | Rule]) -> list[Violation]:
    """Return the rules about limits that the figures don't keep.

    Every source and task is held to a rule. Of several trainings the mean is, where there is one, by
    the interval over both trainings and rows where there is such a one.

    Args:
        results: The table of figures.
        rules: Rules; those about a baseline are left to :func:`~.baseline.check_baseline`.

    Raises:
        ValueError: A text is no rule, or names a figure that is not in the table.

    Example:
        >>> table = Results([Row("accuracy", 0.88, 0.85, 0.91, source="net", n=500)])
        >>> [violation.message for violation in check_rules(table, ["accuracy < 0.9"])]
        ['accuracy of net on test is 0.880 [0.850, 0.910]: the rule is accuracy < 0.9']
        >>> check_rules(table, ["surely accuracy < 0.9"])
        []
    """
    parsed = [rule if isinstance(rule, Rule) else parse_rule(rule) for rule in rules]
    return [
        Violation(rule.text, row, f"{describe(row)}{_lack(rule, row)}: the rule is {rule.text}")
        for rule in parsed
        if not rule.is_relative
        for row in rows_of(results, rule)
        if _is_broken(rule, row)
    ]


def parse_rules(texts: Sequence[str], *, has_baseline: bool, by: Sequence[str] = ()) -> list[Rule]:
    """Return rules from their texts, before anything else is done.

    Args:
        texts: The rules.
        has_baseline: Whether there is a baseline to hold figures against.
        by: The columns that figures are had by.

    Raises:
        ValueError: A text is no rule, is about a baseline where there is none, or about subgroups of
            a column that figures are not had by.
    """
    rules = [parse_rule(text) for text in texts]
    relative = next((rule for rule in rules if rule.is_relative), None)
    if relative is not None and not has_baseline:
        raise ValueError(
            f"the rule {relative.text!r} should come with a baseline, got none: name one with "
            "--baseline FILE."
        )
    for rule in rules:
        if rule.column and rule.column not in by:
            raise ValueError(
                f"the rule {rule.text!r} should be about subgroups that figures are had by, got "
                f"{rule.column!r} and figures by {', '.join(by) or 'none'}: add --by {rule.column}."
            )
    return rules


def hold(
    results: Results,
    predictions: Sequence[Predictions],
    rules: Sequence[Rule],
    *,
    baseline: str | Path | None = None,
    level: float = 0.95,
) -> None:
    """Raise :class:`GateFailedError` unless every rule is kept.

    Raises:
        ValueError: A rule names no figure, or the baseline can't be held against.
        GateFailedError: A rule was not kept.

    Example:
        >>> table = Results([Row("accuracy", 0.88, 0.85, 0.91, source="net", n=500)])
        >>> hold(table, [], [parse_rule("accuracy < 0.8")])
    """
    violations = check_rules(results, rules)
    if baseline is not None:
        from uncertain.evaluation.baseline import check_baseline

        _, worse = check_baseline(results, predictions, baseline, rules=rules, level=level)
        violations += worse
    if violations:
        raise GateFailedError(results, violations)


def rows_of(results: Results, rule: Rule) -> list[Row]:
    """Return the rows that a rule is about: one a task and source, or one a training without a mean.

    Of every subgroup of a column: one of each of them.

    Raises:
        ValueError: There is no such figure or subgroup, or several variants of which none is the usual
            one.
    """
    figures = [r for r in results if r.kind != "difference" and not r.other]
    if not rule.subgroup.startswith("every "):
        return _rows_of(figures, rule, rule.subgroup)
    columns = {r.subgroup.partition("=")[0] for r in figures if "=" in r.subgroup}
    checks.check_choice("the column of a rule", rule.column, columns)
    names = {r.subgroup for r in figures if r.subgroup.startswith(f"{rule.column}=")}
    return [row for name in sorted(names, key=natural_key) for row in _rows_of(figures, rule, name)]


def _rows_of(figures: Sequence[Row], rule: Rule, subgroup: str) -> list[Row]:
    if subgroup:
        named = {row.subgroup for row in figures if row.subgroup}
        checks.check_choice("the subgroup of a rule", subgroup, named)
    rows = [row for row in figures if row.subgroup == subgroup]
    checks.check_choice("the metric of a rule", rule.metric, {row.metric for row in rows})
    rows = [row for row in rows if row.metric == rule.metric]
    checks.check_choice(f"the split of {rule.metric}", rule.split, {row.split for row in rows})
    sources: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.split == rule.split and not row.source.startswith("control"):
            sources.setdefault((row.task, row.source), []).append(row)
    return [row for found in sources.values() for row in _standing(_of_variant(found, rule))]


def describe(row: Row) -> str:
    """Return one figure in words: where it was had, its value and its interval.

    Example:
        >>> describe(Row("nll", 0.31, 0.29, 0.33, source="net", task="iris"))
        'nll of net on iris, test is 0.310 [0.290, 0.330]'
    """
    name = f"{row.metric}[{row.variant}]" if row.variant else row.metric
    training = f" (training {row.training})" if row.training else ""
    where = f"{row.task}, {row.split}" if row.task else row.split
    where += f", {row.subgroup}" if row.subgroup else ""
    if math.isnan(row.value):
        return f"{name} of {row.source}{training} on {where} is undefined ({row.reason})"
    value = number(row.value, decimals(row.value, row.low, row.high))
    return f"{name} of {row.source}{training} on {where} is {value} {interval(row)}".rstrip()


def _lack(rule: Rule, row: Row) -> str:
    missing = rule.certainty and not row.has_interval and not math.isnan(row.value)
    return ", without an interval to be sure by" if missing else ""


def _of_variant(rows: Sequence[Row], rule: Rule) -> list[Row]:
    from uncertain.evaluation.report.material import PREFERRED, main_variant

    variants = {row.variant for row in rows}
    wanted = rule.variant
    if wanted is None:
        wanted = main_variant(rule.metric, variants)
        if len(variants) > 1 and wanted not in PREFERRED.get(rule.metric, ()):
            raise ValueError(
                f"`{rule.text}` should name a variant, as {rule.metric} on {rule.split} has several: "
                f"{', '.join(f'{rule.metric}[{v}]' for v in sorted(variants))}."
            )
    # `msp` is enough for `ood:far:msp`, where the split says which strange rows.
    longer = [variant for variant in variants if variant.endswith(f":{wanted}")]
    if wanted not in variants and len(longer) == 1:
        wanted = longer[0]
    if wanted and variants == {""}:
        raise ValueError(
            f"`{rule.text}` should name no variant, as {rule.metric} on {rule.split} has none, "
            f"got {wanted!r}."
        )
    checks.check_choice(f"the variant of {rule.metric}", wanted, variants)
    return [row for row in rows if row.variant == wanted]


def _standing(rows: Sequence[Row]) -> Sequence[Row]:
    means = [row for row in rows if not row.training]
    return [min(means, key=lambda row: _WIDEST[row.over])] if means else rows


def _is_broken(rule: Rule, row: Row) -> bool:
    compare = _COMPARED[rule.sign]
    beyond = rule.sign in (">", ">=")
    if rule.certainty:
        near, far = (row.low, row.high) if beyond else (row.high, row.low)
        end = near if rule.certainty == "surely" else far
    else:
        end = row.value
    # What is undefined has not passed, nor has an interval that is not there.
    return math.isnan(row.value) or math.isnan(end) or compare(end, rule.limit)
