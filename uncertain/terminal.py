"""rich, without its trace: it draws from Python's global random generator when it is loaded.

Whoever seeds `random` and then imports this library gets the numbers they seeded for.
"""

import random

_state = random.getstate()

from rich.console import Console, Group  # noqa: E402
from rich.live import Live  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress_bar import ProgressBar  # noqa: E402
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

random.setstate(_state)

__all__ = [
    "BarColumn",
    "Console",
    "DownloadColumn",
    "Group",
    "Live",
    "MofNCompleteColumn",
    "Progress",
    "ProgressBar",
    "Table",
    "Text",
    "TextColumn",
    "TimeElapsedColumn",
    "TimeRemainingColumn",
    "TransferSpeedColumn",
]
