"""What computed a figure: versions, processor, threads and time, found without importing anything."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("numpy", "scipy", "pyarrow", "torch", "gpytorch", "pyro", "sklearn")
_INSTALLED_AS = {"pyro": "pyro-ppl", "sklearn": "scikit-learn"}


def versions() -> dict[str, str]:
    """Return the versions of what this process runs on, its processor and its threads.

    Packages are listed only where this process has loaded them, apart from NumPy; nothing is
    imported to find out.

    Example:
        >>> found = versions()
        >>> found["numpy"] == importlib.metadata.version("numpy")
        True
    """
    import uncertain

    found = {"uncertain": uncertain.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        if name in sys.modules or name == "numpy":
            found[name] = _version(name)
    return {
        **found,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _processor(),
        "cores": str(os.cpu_count() or 1),
        "threads": os.environ.get("OMP_NUM_THREADS") or str(_usable_cores()),
    }


def short_text(found: Mapping[str, str]) -> str:
    """Return the packages of ``versions()`` in one line, for a column of the table.

    Example:
        >>> short_text({"uncertain": "1.0", "python": "3.12.1", "cpu": "x"})
        'uncertain 1.0, python 3.12.1'
    """
    names = ("uncertain", "python", *PACKAGES)
    return ", ".join(f"{name} {found[name]}" for name in names if name in found)


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(name: str) -> str:
    loaded = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(loaded, str):
        return loaded
    try:
        return importlib.metadata.version(_INSTALLED_AS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    # `platform.processor()` is empty on most Linux systems.
    info = Path("/proc/cpuinfo")
    try:
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
