"""What an audit found: each finding with its numbers and its remedy, as text, JSON and HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Severity = Literal["fail", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = ("fail", "warn", "note")
_COLOURS = {"fail": "bad", "warn": "soft", "note": "soft"}


@dataclass(frozen=True)
class Finding:
    """One thing that an audit saw.

    Attributes:
        severity: ``fail`` where figures can't be believed, ``warn`` where they may mislead, ``note``
            where something is only worth knowing.
        check: Which check, a short name.
        subject: What it is about: a source and split, a pair of files, a run.
        seen: What was seen, in a sentence.
        numbers: The numbers behind it.
        remedy: What to do.

    Example:
        >>> Finding("warn", "ties", "net", "All scores are equal.").severity
        'warn'
    """

    severity: Severity
    check: str
    subject: str
    seen: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True)
class AuditReport:
    """The findings, worst first, and the figures they rest on.

    Attributes:
        findings: What was seen.
        recomputed: Figure -> the judge's value and the oracle's.
        nulls: What a figure would be if nothing were to be found, by name.

    Example:
        >>> report = AuditReport((Finding("warn", "size", "net on test", "Only 12 rows."),))
        >>> report.failed, report.counts
        (False, {'fail': 0, 'warn': 1, 'note': 0})
    """

    findings: tuple[Finding, ...]
    recomputed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nulls: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ordered = sorted(self.findings, key=lambda f: SEVERITIES.index(f.severity))
        object.__setattr__(self, "findings", tuple(ordered))

    @property
    def failed(self) -> bool:
        """Whether any finding is a failure."""
        return any(finding.severity == "fail" for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES}

    def to_json(self) -> str:
        """Return the report as JSON text."""
        facts = {
            "format": "uncertain.audit",
            "version": 1,
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
            "recomputed": {k: {"judge": a, "oracle": b} for k, (a, b) in self.recomputed.items()},
            "nulls": dict(self.nulls),
        }
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Return a section of a page."""
        from uncertain.evaluation.report.html import data_table, element, text

        rows = [[f.severity, f.check, f.subject, f.seen, f.remedy] for f in self.findings] or [
            ["", "", "", "Nothing was found.", ""]
        ]
        header = ["severity", "check", "about", "what was seen", "what to do"]
        parts = [data_table("Findings", header, rows)]
        if self.nulls:
            parts.append(element("h3", text("Null levels")))
            parts.append(data_table("Null levels", ["figure", "level"], list(self.nulls.items())))
        if self.recomputed:
            parts.append(element("h3", text("Recomputed by other libraries")))
            shown = [[k, repr(a), repr(b)] for k, (a, b) in self.recomputed.items()]
            parts.append(data_table("Recomputed", ["figure", "judge", "oracle"], shown))
        return element("section", "".join(parts), {"id": "audit"})

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            remedy = f" {finding.remedy}" if finding.remedy else ""
            lines.append(
                f"{finding.severity.upper()} {finding.check}, {finding.subject}: "
                f"{finding.seen}{remedy}"
            )
        lines += [f"null level of {name}: {level}" for name, level in self.nulls.items()]
        agree = f"{len(self.recomputed)} figures recomputed by other libraries"
        counts = self.counts
        lines.append(
            f"{counts['fail']} failures, {counts['warn']} warnings, {counts['note']} notes; {agree}."
        )
        return "\n".join(lines)
