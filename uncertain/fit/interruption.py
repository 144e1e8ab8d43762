"""Ctrl-C and SIGTERM: the step under way is finished first, so that what is saved is consistent."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_LOG = logging.getLogger("uncertain.fit")


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C between two steps; the message says how to go on."""


class Signals:
    """Which signal has come, if any; a second one acts at once, as if nobody listened."""

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            self._restore()
            os.kill(os.getpid(), number)
        self.received = number

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def deliver(self, message: str) -> None:
        """Pass the signal on, now that everything is saved.

        Raises:
            Interrupted: After Ctrl-C. SIGTERM goes to the handler that was there before, which by
                default ends the process.
        """
        number = self.received
        self._restore()
        if number == signal.SIGTERM:
            _LOG.warning(message)
            os.kill(os.getpid(), number)
            return
        raise Interrupted(message)


@contextmanager
def caught_signals() -> Iterator[Signals]:
    """Hold SIGINT and SIGTERM back while the block runs; only the main thread can."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        previous = signal.getsignal(number)
        # A handler set outside Python can not be put back, and an ignored signal stays ignored.
        if previous is None or previous == signal.SIG_IGN:
            continue
        signals._previous[number] = previous
        signal.signal(number, signals._handle)
    try:
        yield signals
    finally:
        signals._restore()
