"""How long a fit may take: CPU time, shared out among its parts."""

from __future__ import annotations

import time

from uncertain.fit import Callback, Hooks, Run
from uncertain.fit.run import INTERRUPTED


class Limit:
    """CPU time of this process, all of its threads, from now on.

    Args:
        seconds: How much; ``None`` for any.

    Example:
        >>> Limit(None).done, Limit(0.0).done, Limit(1e9).over
        (0.0, 1.0, False)
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._begin = seconds, time.process_time()

    @property
    def done(self) -> float:
        """The share that is used up, from 0 to 1; always 0 without a limit."""
        if self._seconds is None:
            return 0.0
        spent = time.process_time() - self._begin
        return 1.0 if spent >= self._seconds else spent / self._seconds

    @property
    def over(self) -> bool:
        """Whether it is time to end."""
        return self.done >= 1

    def part(self, share: float) -> Limit:
        """Return a limit from now on that is a share of what is left."""
        if self._seconds is None:
            return self
        return Limit(share * (1 - self.done) * self._seconds)


def until(limit: Limit) -> Callback:
    """Return a callback that ends a training in time; the same training may go on later."""

    def start(run: Run) -> Hooks:
        def step() -> None:
            if limit.over:
                run.stop(INTERRUPTED)

        return Hooks(step=step)

    return start
