"""Can a judgement be trusted? Oracles, planted truths, null levels, and what is wrong with the data."""

from uncertain.evaluation.auditing.auditor import audit, audit_files
from uncertain.evaluation.auditing.findings import AuditReport, Finding

__all__ = ["AuditReport", "Finding", "audit", "audit_files"]
