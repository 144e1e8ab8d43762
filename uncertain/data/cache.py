"""Where fetched files and the record of confirming runs are kept, below the user's home."""

import os
import sys
from pathlib import Path

VARIABLE = "UNCERTAIN_CACHE"
"""The environment variable that names another folder."""


def cache_folder() -> Path:
    r"""Return the folder that ``UNCERTAIN_CACHE`` names, else the system's usual place for caches.

    Nothing is created. The usual place is ``~/.cache/uncertain`` (or below ``XDG_CACHE_HOME``),
    ``~/Library/Caches/uncertain`` on macOS and ``%LOCALAPPDATA%\uncertain`` on Windows.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "uncertain"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "uncertain"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "uncertain"
