"""The order in which jobs are started."""

from __future__ import annotations

import pytest

from uncertain.benchmark.schedule import Job, Queue, expected_seconds, longest_chains


def order(jobs: list[Job]) -> list[str]:
    """Return the order in which one worker would run the jobs."""
    queue = Queue(jobs)
    names = []
    while (job := queue.take()) is not None:
        names.append(job.name)
        queue.finish(job)
    return names


def job(name: str, *after: str, seconds: float = 1.0) -> Job:
    return Job(name, print, (), after=after, seconds=seconds)


def test_what_leads_to_most_work_is_started_first() -> None:
    jobs = [job("short"), job("long", seconds=3), job("root"), job("leaf", "root", seconds=9)]
    assert longest_chains(jobs) == {"short": 1, "long": 3, "root": 10, "leaf": 9}
    assert order(jobs) == ["root", "leaf", "long", "short"]


def test_equals_keep_their_order() -> None:
    assert order([job(name) for name in "cab"]) == ["c", "a", "b"]


def test_a_job_waits_for_all_it_names_and_for_nothing_unknown() -> None:
    queue = Queue([job("a"), job("b"), job("c", "a", "b", "done long ago", seconds=9)])
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    assert queue.take() is None
    queue.finish(first)
    assert queue.take() is None
    queue.finish(second)
    last = queue.take()
    assert last is not None
    assert last.name == "c"


def test_the_expected_time_is_shared_out_but_no_less_than_a_chain() -> None:
    jobs = [job("a", seconds=4), job("b", "a", seconds=4), job("c", seconds=4)]
    assert expected_seconds(jobs, workers=1) == 12
    assert expected_seconds(jobs, workers=9) == 8
    assert expected_seconds([], workers=2) == 0


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="different names"):
        Queue([job("a"), job("a")])
