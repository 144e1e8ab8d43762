"""The audit as a page of its own, in the style of the report."""

from __future__ import annotations

from uncertain.evaluation.auditing.findings import AuditReport
from uncertain.evaluation.report.html import element, text
from uncertain.evaluation.report.page import document


def render_audit(report: AuditReport, *, title: str = "Audit", command: str = "") -> str:
    """Return a self-contained page.

    Example:
        >>> "Nothing was found" in render_audit(AuditReport(()))
        True
    """
    counts = report.counts
    said = f"{counts['fail']} failures, {counts['warn']} warnings, {counts['note']} notes"
    code = element("pre", element("code", text(command, longest=4000))) if command else ""
    body = element("h1", text(title)) + element("p", text(said)) + report.to_html() + code
    return document(title, element("main", body, {"id": "main"}))
