"""The report's section on the two parts: every test stands there, and a failed one is tagged."""

from uncertain.evaluation import Results, Row
from uncertain.evaluation.report.page import render_report


def page(*rows):
    return render_report(Results(rows), [], title="Parts")


def test_a_failed_test_is_tagged_and_says_why():
    shown = page(Row("parts_correlation", 0.93, 0.9, 0.95, source="net", reason="red: too alike"))
    section = shown.split('id="parts"')[1].split("</section>")[0]
    assert "too alike" in section
    assert 'class="tag"' in section
    assert "red: " not in section


def test_a_passed_test_has_no_tag():
    shown = page(Row("epistemic_slope", -1.0, -1.1, -0.9, source="net", over="trainings"))
    section = shown.split('id="parts"')[1].split("</section>")[0]
    assert 'class="tag"' not in section
    assert "below 0" in section


def test_a_report_without_such_tests_has_no_section():
    assert 'id="parts"' not in page(Row("accuracy", 0.9, 0.88, 0.92))
