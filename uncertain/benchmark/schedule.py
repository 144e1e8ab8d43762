"""Which job is next: each waits for those it names, and what leads to most work comes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """One call of a picklable function: ``function(*arguments, report)``.

    Attributes:
        name: Unique; shown while it runs.
        function: What to call.
        arguments: Its arguments before ``report``.
        after: Names of the jobs it waits for; names that are not among the jobs don't count.
        seconds: About how long it takes: what leads to more work is started first.
    """

    name: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    after: tuple[str, ...] = ()
    seconds: float = 1.0


class Queue:
    """Jobs in the order they can be started: those with most work behind them first."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = {job.name: job for job in jobs}
        if len(self._jobs) < len(jobs):
            raise ValueError("`jobs` should have different names.")
        self._places = {name: place for place, name in enumerate(self._jobs)}
        self._waits = {job.name: {name for name in job.after if name in self._jobs} for job in jobs}
        self._behind = longest_chains(jobs)
        self._ready = [job for job in jobs if not self._waits[job.name]]

    def take(self) -> Job | None:
        """Return the next job, ``None`` where every other one has to wait."""
        if not self._ready:
            return None
        best = min(self._ready, key=lambda job: (-self._behind[job.name], self._places[job.name]))
        self._ready.remove(best)
        return best

    def finish(self, job: Job) -> None:
        """Free the jobs that waited for this one."""
        for name, waits in self._waits.items():
            if job.name in waits:
                waits.remove(job.name)
                if not waits:
                    self._ready.append(self._jobs[name])


def longest_chains(jobs: Sequence[Job]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that starts with it.

    Example:
        >>> first, last = Job("a", print, (), seconds=2), Job("b", print, ("a",), after=("a",))
        >>> longest_chains([first, last])
        {'a': 3.0, 'b': 1.0}
    """
    behind = {job.name: 0.0 for job in jobs}
    # A job stands after those it waits for, so one pass from the end is enough.
    for job in reversed(jobs):
        behind[job.name] += job.seconds
        for name in job.after:
            if name in behind:
                behind[name] = max(behind[name], behind[job.name])
    return behind


def expected_seconds(jobs: Sequence[Job], workers: int) -> float:
    """Return about how long the jobs take: as the work is shared out, but no less than a chain.

    Example:
        >>> jobs = [Job("a", print, (), seconds=2), Job("b", print, (), seconds=2)]
        >>> expected_seconds(jobs, workers=2), expected_seconds(jobs, workers=9)
        (2.0, 2.0)
    """
    total = sum(job.seconds for job in jobs)
    return max(total / workers, max(longest_chains(jobs).values(), default=0.0))
