"""What the catalogue holds of a set: how it is read, and what has to be known before it is."""

from dataclasses import dataclass

from uncertain.data.card import TaskKind
from uncertain.data.sources import Reader

_COPIES = "rows with equal inputs"


@dataclass(frozen=True)
class Entry:
    """One data set that can be loaded."""

    title: str
    kind: TaskKind
    rows: int
    source: str
    licence: str
    read: Reader
    package: str = ""
    files: tuple[str, ...] = ()
    groups: str = _COPIES
    problems: tuple[str, ...] = ()
