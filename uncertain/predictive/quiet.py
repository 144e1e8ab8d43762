"""Importing libraries that change the process when they are imported, and undoing that."""

import importlib
import logging
import sys
import warnings
from types import ModuleType

import torch
from torch.distributions import Distribution


def import_quietly(name: str) -> ModuleType:
    """Import gpytorch, pyro or another library, leaving torch's process-wide settings as they were.

    ``import pyro`` and some others switch the validation of every torch distribution on; a user who
    switched it off (or the reverse) would find it changed by our import. Restored are distribution
    validation, default dtype, gradient mode, thread count, warning filters and the levels of all
    loggers that were there before.

    Args:
        name: The module's full name.

    Returns:
        The module.

    Raises:
        ModuleNotFoundError: Where it is not installed.

    Example:
        >>> import_quietly("gpytorch").__name__
        'gpytorch'
    """
    if name in sys.modules:
        return sys.modules[name]
    validation, dtype = Distribution._validate_args, torch.get_default_dtype()
    gradients, threads = torch.is_grad_enabled(), torch.get_num_threads()
    filters, levels = warnings.filters[:], _log_levels()
    try:
        return importlib.import_module(name)
    finally:
        Distribution.set_default_validate_args(validation)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        warnings.filters[:] = filters  # type: ignore[index]
        for logger, level in levels.items():
            logger.setLevel(level)


def _log_levels() -> dict[logging.Logger, int]:
    known = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(one for one in known if isinstance(one, logging.Logger))]
    return {logger: logger.level for logger in loggers}
