"""Predictors on disk: how to build them, and their state; no pickled code.

A file holds plain values and tensors only (``torch.load(path, weights_only=True)`` reads it): for
every module that is an argument of another, its class by import path and its constructor's
arguments, and one state dict for the whole. The arguments are found by one convention, which most
modules follow already and scikit-learn made popular: *a module keeps each constructor argument as an
attribute of the same name*. One that does not says what they are in a method
``constructor_arguments() -> dict``. Saving builds the predictor once to make sure that loading will.
"""

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import uncertain
from uncertain.atomic import StrPath, write_bytes
from uncertain.predictive.arrays import Device
from uncertain.predictive.recipes import Recipe, build, describe

FORMAT_VERSION = 1
"""Version of the layout; older ones are read, newer ones refused."""

_KIND = "uncertain.predictor"


def save(predictor: nn.Module, path: StrPath) -> None:
    """Write a predictor, whole or not at all.

    Nested modules (the network inside a `Softmax`, the members of an ensemble, layers of an
    ``nn.Sequential``) are stored the same way; a module used twice stays one. Kept are parameters
    and buffers with their dtype, which parameters are frozen, and which modules are in training
    mode. Devices are not: `load` says where to put them.

    Args:
        predictor: A module whose classes can be imported and whose constructor arguments are plain
            values, tensors, modules, or functions and classes of torch and this library.
        path: Where; conventionally ``*.pt``.

    Raises:
        TypeError: Where it is no module, or the arguments of a module can't be told or stored: the
            message names the module, the argument and the remedy.
        ValueError: Where a predictor built from them would not equal this one.
        OSError: Where ``path`` cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "network.pt"
        >>> save(network, file)
        >>> x = torch.ones(1, 2)
        >>> bool((load(file)(x) == network(x)).all())
        True
    """
    _check_module(predictor)
    recipe = describe(predictor)
    state = predictor.state_dict()
    content = {
        "kind": _KIND,
        "format": FORMAT_VERSION,
        "versions": {"uncertain": uncertain.__version__, "torch": str(torch.__version__)},
        "modules": recipe.records,
        "state": {name: _detached(value) for name, value in state.items()},
        "frozen": [name for name, p in predictor.named_parameters() if not p.requires_grad],
        "training": [name for name, m in predictor.named_modules() if m.training],
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    _check_rebuilt(predictor, stream)
    write_bytes(path, stream.getbuffer())


def load(path: StrPath, *, device: Device | None = None) -> nn.Module:
    """Read a predictor that `save` wrote: built again from its arguments, then given its state.

    Only plain values are unpickled, and only subclasses of ``nn.Module`` are built; their modules
    are imported, so a file can name no code that is not installed. Random states stay as they are.

    Args:
        path: The file.
        device: Where to put it; the CPU by default.

    Returns:
        The predictor, modules in the mode they were saved in.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where it is damaged, of another kind or a newer format, or a class is gone or
            takes other arguments or parameters than when it was saved.
    """
    with open(path, "rb") as stream:
        content = _read(stream, str(path))
    try:
        return _restore(content).to(device=device)
    except ValueError as error:
        raise ValueError(f"`{path}` ({_written_by(content)}): {error}") from error


def _restore(content: Mapping[str, Any]) -> nn.Module:
    # Constructors draw initial weights: nobody else's random numbers may depend on that.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        predictor = build(Recipe(content["modules"]))
    _load_state(predictor, content["state"])
    frozen, training = set(content["frozen"]), set(content["training"])
    for name, parameter in predictor.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for name, module in predictor.named_modules():
        module.training = name in training
    return predictor


def _load_state(predictor: nn.Module, state: Mapping[str, Any]) -> None:
    own = predictor.state_dict(keep_vars=True)
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        raise ValueError(
            f"the code of {type(predictor).__name__} or of a module in it should match the stored "
            f"state, got {len(missing)} entries without a value ({', '.join(missing[:3])}) and "
            f"{len(extra)} values without an entry ({', '.join(extra[:3])}): it has changed."
        )
    for name, value in state.items():
        if not isinstance(value, Tensor) or not isinstance(own[name], Tensor):
            continue
        if own[name].shape != value.shape:
            raise ValueError(
                f"`{name}` should have shape {tuple(own[name].shape)} in today's code, got "
                f"{tuple(value.shape)}: the module has changed."
            )
        # In the stored dtype, and in place, so that tied parameters stay tied.
        own[name].data = own[name].data.to(value.dtype)
    predictor.load_state_dict(state)


def _check_module(predictor: Any) -> None:
    if isinstance(predictor, nn.Module):
        return
    kind = type(predictor).__name__
    hint = "write it as an nn.Module whose forward returns the distribution"
    if hasattr(predictor, "estimator"):
        hint = (
            "an estimator can only be pickled, which is not done here: store the estimator itself "
            "as scikit-learn advises, and wrap it again with `from_sklearn`"
        )
    raise TypeError(f"`predictor` should be an nn.Module to be saved, got {kind}: {hint}.")


def _check_rebuilt(predictor: nn.Module, stream: io.BytesIO) -> None:
    """Build the predictor from what was stored, now, while the original is at hand."""
    stream.seek(0)
    again = _restore(_read(stream, "the file"))
    if repr(again) != repr(predictor):
        ours, theirs = repr(predictor).splitlines(), repr(again).splitlines()
        pairs = zip(ours, theirs, strict=False)
        was, now = next(((a, b) for a, b in pairs if a != b), (ours[-1], theirs[-1]))
        raise ValueError(
            f"`predictor` should be what its constructor arguments build, got {now.strip()!r} where "
            f"it has {was.strip()!r}: it was changed after it was made; set the attribute of the "
            "argument's name too, or give the module `constructor_arguments()`."
        )
    hidden = dict(again.named_buffers())
    for name, buffer in predictor.named_buffers():
        # Those outside the state dict must come out of the constructor.
        same = name in hidden and torch.equal(hidden[name].cpu(), buffer.detach().cpu())
        if not same and not buffer.isnan().any():
            raise ValueError(
                f"`predictor` should draw its buffer `{name}` from its constructor arguments (a "
                "seed), got another value when built again: register it as persistent."
            )


def _read(stream: Any, name: str) -> dict[str, Any]:
    try:
        content = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"`{name}` should be a predictor that `save` wrote, got a file that cannot be read as "
            f"plain values and tensors: {reason}"
        ) from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise ValueError(f"`{name}` should be a predictor that `save` wrote, got something else.")
    if content["format"] > FORMAT_VERSION:
        raise ValueError(
            f"`{name}` should have format {FORMAT_VERSION} or older, got {content['format']} "
            f"({_written_by(content)}): update the library."
        )
    return content


def _written_by(content: Mapping[str, Any]) -> str:
    return "saved with " + ", ".join(f"{k} {v}" for k, v in content["versions"].items())


def _detached(value: Any) -> Any:
    # Views would drag their whole storage into the file.
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value
