"""Checked annotations that cost little: shapes where there are shapes, plain types elsewhere.

The import hook decorates every function of the library. jaxtyping's own decorator binds the arguments
and checks all of them twice a call, which a shape that is shared by an argument and the result needs;
most annotations have no shapes, and one pass of beartype is a tenth of that. Either is built on the
first call, as most functions that a process imports are never called in it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections import Counter
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping

MOST_NESTED = 100
"""How often a function inside another is checked: each call of the outer one makes it anew."""

_jaxtyped = jaxtyping.jaxtyped
_nested: Counter[CodeType] = Counter()
Decorator = Callable[[Any], Any]


def checked(fn: Any = None, *, typechecker: Decorator) -> Any:
    """Decorate as ``jaxtyping.jaxtyped`` does, which the import hook calls by that name."""
    if fn is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(fn):
        own = vars(fn).get("__init__")
        if dataclasses.is_dataclass(fn) and inspect.isfunction(own) and not _is_checked(own):
            fn.__init__ = checked(own, typechecker=typechecker)  # type: ignore[misc]
        return fn
    if not inspect.isfunction(fn):
        return _jaxtyped(fn, typechecker=typechecker)
    if not fn.__annotations__ or _is_made_often(fn):
        return fn
    # Now, as jaxtyping does: a class that is still being made is anything in its own methods.
    hints = {name: _resolved(hint, fn) for name, hint in fn.__annotations__.items()}
    built: list[Callable[..., Any]] = []

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        if not built:
            built.append(_build(fn, hints, typechecker))
        return built[0](*args, **kwargs)

    return call


def _is_checked(fn: Any) -> bool:
    return hasattr(fn, "__wrapped__")


def _is_made_often(fn: Any) -> bool:
    if "<locals>" not in fn.__qualname__:
        return False
    _nested[fn.__code__] += 1
    return _nested[fn.__code__] > MOST_NESTED


def _build(fn: Any, hints: dict[str, Any], typechecker: Decorator) -> Any:
    if any(_has_shape(hint) for hint in hints.values()):
        return _jaxtyped(fn, typechecker=typechecker)
    written = fn.__annotations__
    try:
        fn.__annotations__ = hints
        return typechecker(fn)
    finally:
        fn.__annotations__ = written


def _resolved(hint: Any, fn: Any) -> Any:
    """Return an annotation as an object; one that only type checkers see is anything."""

    def alone(value: Any) -> None: ...

    alone.__annotations__ = {"value": hint}
    try:
        return typing.get_type_hints(alone, fn.__globals__, include_extras=True)["value"]
    # Imported for type checkers only, or, like array.array[int], subscripted for them only.
    except (NameError, AttributeError, TypeError):
        return Any


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_shape(part) for part in typing.get_args(hint))
