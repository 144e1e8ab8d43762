"""How a tree of modules was made, as plain values: classes by import path and their arguments."""

import importlib
import inspect
import types
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from uncertain.checks import check_choice

# What a stored reference to a function or class, other than a module's class, may point into.
_FUNCTION_ROOTS = ("torch", "uncertain")
_TORCH = ("torch", "torch.nn.functional", "torch.special")
_PLAIN = (bool, int, float, complex, str, bytes, Tensor, torch.dtype, torch.device)


class Arguments(NamedTuple):
    """What a module's constructor was called with."""

    positional: tuple[Any, ...] = ()
    keyword: Mapping[str, Any] = types.MappingProxyType({})


@dataclass(frozen=True)
class Recipe:
    """Records of modules, arguments before those who take them; the last is the whole.

    Attributes:
        records: Each ``{"class": "package:Name", "positional": [...], "keyword": {...}}``, whose
            values refer to earlier records as ``{"module": index}``.
    """

    records: list[dict[str, Any]]


def describe(module: nn.Module) -> Recipe:
    """Return how to build ``module``.

    Raises:
        TypeError: Where a class can't be imported, or an argument can't be told or stored.
    """
    records: list[dict[str, Any]] = []
    _Writer(records, {}, {id(m) for m in module.modules()}).module(module)
    return Recipe(records)


def build(recipe: Recipe) -> nn.Module:
    """Build the module that a recipe describes, with fresh parameters.

    Raises:
        ValueError: Where a class can't be imported, is no module, or takes other arguments.
    """
    made: list[nn.Module] = []
    for record in recipe.records:
        cls = _module_class(record["class"])
        positional = [_decode(value, made) for value in record["positional"]]
        keyword = {name: _decode(value, made) for name, value in record["keyword"].items()}
        try:
            made.append(cls(*positional, **keyword))
        except (TypeError, AttributeError, RuntimeError) as error:
            given = ", ".join([*(f"#{i}" for i in range(len(positional))), *keyword])
            raise ValueError(
                f"`{record['class']}` should take the arguments it was saved with ({given}), got "
                f"{type(error).__name__}: {error}. Its code has changed."
            ) from error
    return made[-1]


@singledispatch
def constructor_arguments(module: nn.Module) -> Arguments:
    """Arguments that build ``module`` again, apart from its state.

    A method ``constructor_arguments() -> dict`` of the module is asked first; otherwise every
    argument is the attribute of its name. Containers of torch are known.

    Args:
        module: Any module.

    Returns:
        Positional and keyword `Arguments`.

    Raises:
        TypeError: Where an argument has no attribute of its name.

    Example:
        >>> dict(constructor_arguments(nn.Dropout(0.25)).keyword)
        {'p': 0.25, 'inplace': False}
    """
    own = getattr(module, "constructor_arguments", None)
    return Arguments((), dict(own())) if callable(own) else _by_attributes(module)


@constructor_arguments.register
def _(module: nn.Sequential) -> Arguments:
    if type(module).__init__ is not nn.Sequential.__init__:
        return _by_method_or_attributes(module)
    return Arguments((OrderedDict(module.named_children()),))


@constructor_arguments.register
def _(module: nn.ModuleList) -> Arguments:
    if type(module).__init__ is not nn.ModuleList.__init__:
        return _by_method_or_attributes(module)
    return Arguments((list(module),))


@constructor_arguments.register
def _(module: nn.ModuleDict) -> Arguments:
    if type(module).__init__ is not nn.ModuleDict.__init__:
        return _by_method_or_attributes(module)
    return Arguments((OrderedDict(module.items()),))


@constructor_arguments.register
def _(module: nn.MultiheadAttention) -> Arguments:
    names = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
    extra = {"bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None}
    return Arguments((), {name: getattr(module, name) for name in names} | extra)


@constructor_arguments.register
def _(module: nn.RNNBase) -> Arguments:
    if not type(module).__module__.startswith("torch.nn."):
        return _by_method_or_attributes(module)
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"]
    names += ["bidirectional"]
    names += {nn.LSTM: ["proj_size"], nn.RNN: ["nonlinearity"]}.get(type(module), [])
    return Arguments((), {name: getattr(module, name) for name in names})


@constructor_arguments.register
def _(module: nn.TransformerEncoderLayer) -> Arguments:
    return Arguments(
        (),
        {
            "d_model": module.self_attn.embed_dim,
            "nhead": module.self_attn.num_heads,
            "dim_feedforward": module.linear1.out_features,
            "dropout": module.dropout.p,
            "activation": module.activation,
            "layer_norm_eps": module.norm1.eps,
            "batch_first": module.self_attn.batch_first,
            "norm_first": module.norm_first,
            "bias": module.linear1.bias is not None,
        },
    )


@constructor_arguments.register
def _(module: nn.TransformerEncoder) -> Arguments:
    names = ("num_layers", "norm", "enable_nested_tensor", "mask_check")
    keyword = {name: getattr(module, name) for name in names}
    return Arguments((), {"encoder_layer": module.layers[0]} | keyword)


def _by_method_or_attributes(module: nn.Module) -> Arguments:
    return constructor_arguments.dispatch(nn.Module)(module)


def _by_attributes(module: nn.Module) -> Arguments:
    """Read every argument from the attribute of its name."""
    if type(module).__init__ is nn.Module.__init__:
        return Arguments()
    of_torch = type(module).__module__.startswith("torch.nn.")
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for parameter in inspect.signature(type(module).__init__).parameters.values():
        name, kind = parameter.name, parameter.kind
        if name == "self" or (of_torch and name in ("device", "dtype")):
            continue
        many = kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if kind is parameter.VAR_KEYWORD or not hasattr(module, name):
            # torch's own layers derive or ignore what they do not keep; saving checks the result.
            if of_torch and (many or parameter.default is not parameter.empty):
                continue
            raise TypeError(_untold(module, name))
        value = getattr(module, name)
        if of_torch and (value is None or isinstance(value, Tensor)) and _is_flag(parameter):
            value = value is not None  # nn.Linear(bias=True) keeps the tensor under the name.
        if kind is parameter.VAR_POSITIONAL:
            positional += list(value)
        elif kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            keyword[name] = value
    return Arguments(tuple(positional), keyword)


def _is_flag(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, bool)


def _untold(module: nn.Module, name: str) -> str:
    cls = type(module).__name__
    return (
        f"`{cls}` should keep its constructor argument `{name}` as an attribute of that name to be "
        f"saved, got none: set `self.{name}`, or give {cls} a method `constructor_arguments()` that "
        "returns its arguments as a dict."
    )


class _Writer:
    """Turns modules into records, each once."""

    def __init__(
        self, records: list[dict[str, Any]], index: dict[int, int], registered: set[int]
    ) -> None:
        self.records, self.index, self.registered = records, index, registered

    def module(self, module: nn.Module) -> int:
        known = self.index.get(id(module))
        if known is not None:
            return known
        path = _import_path(type(module))
        if id(module) not in self.registered:
            raise TypeError(
                f"`{path}` should be registered in the predictor (an attribute, ModuleList or "
                "ModuleDict), got one that is out of reach of its `state_dict`."
            )
        arguments = constructor_arguments(module)
        record = {
            "class": path,
            "positional": [
                self.value(v, path, f"#{i}") for i, v in enumerate(arguments.positional)
            ],
            "keyword": {name: self.value(v, path, name) for name, v in arguments.keyword.items()},
        }
        self.records.append(record)
        self.index[id(module)] = len(self.records) - 1
        return self.index[id(module)]

    def value(self, value: Any, owner: str, name: str) -> Any:
        """Plain values as they are; the rest as a dict with one telling key."""
        if isinstance(value, nn.Module):
            return {"module": self.module(value)}
        if isinstance(value, Tensor):
            return value.detach().cpu().clone()
        if value is None or type(value) in _PLAIN:
            return value
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple, torch.Size):
            items = [self.value(item, owner, name) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping) and all(isinstance(key, (str, int)) for key in value):
            return {"dict": [[key, self.value(v, owner, name)] for key, v in value.items()]}
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return {"code": _code_path(value, owner, name)}
        raise TypeError(
            f"`{owner}` should be built from plain values, tensors, modules and functions of torch "
            f"to be saved, got `{name}` of type {type(value).__name__}: pass plain values and make "
            "the object inside the constructor."
        )


def _decode(value: Any, made: list[nn.Module]) -> Any:
    if isinstance(value, list):
        return [_decode(item, made) for item in value]
    if not isinstance(value, dict):
        return value
    (tag, content), *_ = value.items()
    check_choice("tag", tag, ("module", "tuple", "dict", "code"))
    if tag == "module":
        return made[content]
    if tag == "tuple":
        return tuple(_decode(item, made) for item in content)
    if tag == "dict":
        return OrderedDict((key, _decode(item, made)) for key, item in content)
    return _code(content)


def _import_path(cls: type) -> str:
    """``package:Name``, by the shortest package that exports the class."""
    module, name = cls.__module__, cls.__qualname__
    if "<locals>" in name or module == "__main__":
        raise TypeError(
            f"`{name}` should be importable to be saved, got a class defined in "
            f"{'a function' if '<locals>' in name else '__main__'}: move it to a module."
        )
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        package = ".".join(parts[:length])
        if _lookup(package, name) is cls:
            return f"{package}:{name}"
    raise TypeError(
        f"`{name}` should be importable from `{module}` to be saved, got another object there."
    )


def _code_path(value: Any, owner: str, name: str) -> str:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return _import_path(value)
    label = getattr(value, "__qualname__", "")
    # torch.relu and its like are built in and know no module: they are looked for by name.
    for package in (getattr(value, "__module__", None), *_TORCH):
        path = f"{package}:{value.__name__ if package in _TORCH else label}"
        if package and _is_allowed(path) and _lookup(*path.split(":")) is value:
            return path
    raise TypeError(
        f"`{owner}` should be built from plain values, tensors, modules and functions of torch to be "
        f"saved, got `{name}`, {label or value!r} of {getattr(value, '__module__', None)}: name it by "
        "a string and look it up inside the constructor."
    )


def _is_allowed(path: str) -> bool:
    """Whether a path names a function that torch or this library itself defines.

    Not just any attribute reached through them: ``torch:os.system`` is one, too.
    """
    package, _, name = path.partition(":")
    if package.split(".")[0] not in _FUNCTION_ROOTS or "." in name:
        return False
    home = getattr(_lookup(package, name), "__module__", None)
    if home is None:
        return package in _TORCH
    return str(home).split(".")[0] in _FUNCTION_ROOTS


def _lookup(package: str, qualified: str) -> Any:
    try:
        found: Any = importlib.import_module(package)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found


def _module_class(path: str) -> type[nn.Module]:
    package, _, name = path.partition(":")
    found = _lookup(package, name)
    if found is None:
        raise ValueError(
            f"`{path}` should be importable to load this predictor, got nothing there: install the "
            "package that defines it, or the version that still has it."
        )
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"`{path}` should be a class of modules, got {found!r}.")
    return found


def _code(path: str) -> Any:
    package, _, name = path.partition(":")
    found = _lookup(package, name)
    if _is_allowed(path) or (isinstance(found, type) and issubclass(found, nn.Module)):
        return found
    raise ValueError(
        f"`{path}` should be a function of torch or of this library, or a class of modules, got "
        f"{'nothing there' if found is None else 'code from elsewhere'}."
    )
