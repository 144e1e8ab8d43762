"""One honest judge for all predictions: every figure with its interval, on plain arrays.

The core knows no model and no torch; names load on first use, so that judging a file starts fast.

>>> import uncertain.evaluation
>>> uncertain.evaluation.Results.__name__
'Results'
"""

import importlib
from typing import Any

_HOMES = {
    "Predictions": "predictions",
    "RepeatedRowsWarning": "predictions",
    "Results": "results",
    "Row": "results",
    "evaluate": "judge",
    "evaluate_files": "files",
    "from_distribution": "distributions",
    "read_predictions": "readers",
    "versions": "provenance",
    "write_report": "report",
    "write_rows": "rows",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value = getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
