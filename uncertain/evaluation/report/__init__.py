"""One self-contained page: what was judged, how surely, and what it means.

The page holds no script and asks for nothing from elsewhere. Drawings are inline SVG in colours that
follow the reader's light or dark scheme; every table cell and every mark carries the numbers that it
shows, in full, so that the page can be held against the table of results.
"""

from uncertain.evaluation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
