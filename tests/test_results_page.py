"""Only counted confirming runs reach the page, and the page says what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import results_page  # noqa: E402  (found through the line above)
import results_tables  # noqa: E402

from uncertain.evaluation import Results, Row  # noqa: E402

CONFIRMED = {
    "half": "confirm",
    "confirm_runs": "2",
    "tasks": "tabular",
    "budget": "desk",
    "command": "uncertain benchmark --half confirm",
    "created": "2026-01-02T03:04:05Z",
    "uncertain": "1.2.3",
    "splits": '{"iris/100": {"train": "aa", "test": "bb"}}',
}
SANITY = "sanity: this pair shows only whether something is broken"


def rows() -> list[Row]:
    made = []
    for source, value in (("softmax", 0.25), ("forest", 0.5)):
        named = {"source": source, "task": "iris"}
        for over, width in (("items", 0.1), ("trainings", 0.05), ("both", 0.2)):
            made.append(Row("nll", value, value - width, value + width, over=over, n=20, **named))
        made.append(Row("nll", value, training="100", n=20, **named))
        for partner, reason in (("held_out", ""), ("noise", SANITY)):
            split = f"ood:{partner}"
            made.append(
                Row(
                    "auroc",
                    0.75,
                    0.5,
                    1.0,
                    variant=f"{split}:msp",
                    split=split,
                    reason=reason,
                    **named,
                )
            )
        found = {"variant": "ood:held_out:detector:knn", "split": "ood:held_out"}
        made.append(Row("auroc", 0.875, 0.75, 1.0, **found, **named))
        made.append(Row("accuracy", 0.5, 0.25, 0.75, split="shift:blur:3", **named))
        made.append(Row("aurc", 0.125, **named))
    return made


def run(folder: Path, **changes: str) -> Path:
    folder.mkdir()
    Results(rows(), CONFIRMED | changes).write(folder / "results.parquet")
    looks = [{"number": 1, "suite": "tabular"}, {"number": 2, "suite": "tabular"}]
    (folder / "confirm.json").write_text(json.dumps({"run": "x", "looks": looks}))
    return folder


def test_a_confirming_run_is_stored_and_shown(tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    path = results_page.store(run(tmp_path / "run"), out)
    assert path == out / "tabular-desk.json"
    shown = results_tables.page(out)
    assert "## tabular-desk" in shown
    assert "version 1.2.3, 2026-01-02" in shown
    assert "had been run twice" in shown
    assert "seeds 100" in shown
    # Over rows and trainings, where there is such an interval.
    assert "| softmax | 0.25 [0.05, 0.45] |" in shown
    assert "| model, score | held_out | noise (sanity) |" in shown
    assert "| forest, msp | 0.75 [0.50, 1.00] | 0.75 [0.50, 1.00] |" in shown
    assert "| forest, knn | 0.88 [0.75, 1.00] |  |" in shown
    assert "blur, severity 3:" in shown
    assert "iris/100 `bb`" in shown
    assert "aurc" not in path.read_text()


def test_where_the_run_lay_is_not_told(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", command=f"uncertain benchmark --out {tmp_path / 'run'}")
    results_page.store(folder, tmp_path)
    assert "`uncertain benchmark --out run`" in results_tables.page(tmp_path)


def test_looks_are_added_once(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    for _ in range(2):
        results_page.store(folder, tmp_path)
    lines = (tmp_path / "confirm.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]


@pytest.mark.parametrize("changes", [{"half": "develop"}, {"half": ""}])
def test_a_run_of_the_other_half_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"only those of `uncertain benchmark --half confirm`"):
        results_page.store(run(tmp_path / "run", **changes), tmp_path)
    Results(rows(), CONFIRMED | changes).write(tmp_path / "sneaked.json")
    with pytest.raises(ValueError, match=r"sneaked.json holds results of the half"):
        results_tables.page(tmp_path)


def test_a_run_that_was_not_counted_is_refused(tmp_path: Path) -> None:
    facts = {key: value for key, value in CONFIRMED.items() if key != "confirm_runs"}
    Results(rows(), facts).write(tmp_path / "a.json")
    with pytest.raises(ValueError, match="holds results of the half"):
        results_tables.page(tmp_path)


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    assert results_tables.page(tmp_path) == results_tables.NONE
    assert results_tables.MARK in (ROOT / "docs" / "results.md").read_text()


def test_what_is_stored_in_the_documentation_may_be_shown() -> None:
    assert results_tables.page(ROOT / "docs" / "results")


def test_the_command_says_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", half="develop")
    script = str(ROOT / "docs" / "results_page.py")
    failed = subprocess.run(
        [sys.executable, script, str(folder), "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "only those of" in failed.stderr
