"""Files in, files out: what ``uncertain evaluate`` does, as one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncertain import atomic, checks
from uncertain.evaluation import gate
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.readers import FORMATS, read_arrays, read_predictions
from uncertain.evaluation.results import Results
from uncertain.evaluation.rows import check_format, write_rows
from uncertain.intervals import check_level

StrPath = str | Path


def evaluate_files(
    files: Sequence[StrPath],
    *,
    ood: Sequence[tuple[str, StrPath]] = (),
    columns: Mapping[str, str] | None = None,
    out: StrPath | None = None,
    json: StrPath | None = None,
    rows: StrPath | None = None,
    inputs: StrPath | None = None,
    renormalise: bool = False,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    by: Sequence[str] = (),
    temperature_scaled: bool = False,
    validation: Sequence[StrPath] = (),
    grid: float | None = None,
    ordinal: bool = False,
    fail_if: Sequence[str] = (),
    baseline: StrPath | None = None,
    command: str = "",
) -> Results:
    """Judge the predictions in files; several files are compared in pairs.

    One Parquet file of very many class probabilities is read in pieces where nothing asked for needs
    them all (:mod:`~uncertain.evaluation.streamed`).

    Args:
        files: One file a model, all on the same rows.
        ood: Name and file of out-of-distribution rows; a name's k-th file belongs to the k-th model.
        columns: Role to array name (see :func:`~uncertain.evaluation.readers.read_predictions`). A
            ``labels`` that is an existing file is read from there.
        out: Where the HTML report goes.
        json: Where the table goes, as JSON.
        rows: Where per-row scores go, worst first: ``.csv`` or ``.parquet``.
        inputs: An ``.npz`` with ``inputs`` (N, H, W) or (N, C, H, W) and ``row_id``, joined by row
            id, so that the report shows the most confident mistakes.
        renormalise: Divide rows of probabilities by their sums instead of refusing them.
        level: Confidence level, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Seed of the bootstrap.
        by: Arrays by whose values every figure is had too, and the worst subgroup; ``class`` is the
            label and ``predicted`` the predicted class.
        temperature_scaled: Whether the figures are had once more after temperature scaling.
        validation: Predictions on validation rows, one file a model in their order, on which the
            temperatures are fitted; without them halves of the judged rows scale each other.
        grid: Spacing of the grid that real targets lie on; by default what the files say.
        ordinal: Whether the classes' order means something, which files may say as well.
        fail_if: Rules of what is not allowed, such as ``ece_debiased > 0.03`` (see
            :mod:`~uncertain.evaluation.gate`).
        baseline: Stored results or per-row scores that no figure may be worse than (see
            :func:`~uncertain.evaluation.baseline.check_baseline`).
        command: The command line, kept in the results.

    Returns:
        The results that were written.

    Raises:
        ValueError: A file can't be read or holds what can't be judged; nothing is written then.
            Also an output that is an input, or another output; a rule that can't be read, or names
            no figure.
        GateFailedError: A rule was not kept; everything has been written.
        OSError: An output can't be written; found out before anything is read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> p = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
        >>> np.savez(folder / "net.npz", probs=p, labels=np.array([0, 1, 1]))
        >>> results = evaluate_files([folder / "net.npz"], json=folder / "table.json")
        >>> results == Results.read(folder / "table.json")
        True
    """
    rules = gate.parse_rules(fail_if, has_baseline=baseline is not None, by=by)
    partners = [*validation, *(path for _, path in ood)]
    more = [path for path in (inputs, baseline) if path is not None]
    inside = [*files, *partners, *more]
    check_outputs({"--out": out, "--json": json, "--rows": rows}, inside)
    needs_all = [out, rows, inputs, grid, baseline, *by, *validation, *rules]
    if not (any(x is not None for x in needs_all) or temperature_scaled or ordinal):
        options: dict[str, Any] = {"level": level, "replicates": replicates, "seed": seed}
        found = _in_pieces(
            files, ood, dict(columns or {}), renormalise=renormalise, command=command, **options
        )
        if found is not None:
            if json is not None:
                found.write(json, format="json")
            return found
    sources = read_sources(files, dict(columns or {}), by, renormalise=renormalise)
    held_out = _read_validation(sources, validation, dict(columns or {}), renormalise=renormalise)
    predictions = [
        *sources,
        *read_ood(files, ood, dict(columns or {}), renormalise=renormalise),
    ]
    if grid is not None or ordinal:
        predictions = [
            dataclasses.replace(
                p, grid=p.grid if grid is None else grid, ordinal=p.ordinal or ordinal
            )
            for p in predictions
        ]
    if inputs is not None:
        images = _read_inputs(Path(inputs))
        predictions = [
            dataclasses.replace(p, inputs=images) if p.split == "test" else p for p in predictions
        ]
    results = evaluate(
        predictions,
        level=level,
        seed=seed,
        replicates=replicates,
        by=by,
        temperature_scaled=temperature_scaled,
        validation=held_out,
        command=command,
    )
    if json is not None:
        results.write(json, format="json")
    if rows is not None:
        write_rows([p for p in predictions if p.target is not None], rows)
    if out is not None:
        from uncertain.evaluation.report import write_report

        write_report(results, predictions, out, title="Evaluation", command=command)
    gate.hold(results, predictions, rules, baseline=baseline, level=level)
    return results


def _in_pieces(
    files: Sequence[StrPath],
    ood: Sequence[tuple[str, StrPath]],
    columns: dict[str, str],
    *,
    renormalise: bool,
    command: str,
    level: float,
    replicates: int,
    seed: int,
) -> Results | None:
    """Judge one model's large Parquet files without holding them; ``None`` for any others."""
    from uncertain.evaluation import streamed

    paths = [Path(files[0]), *(Path(path) for _, path in ood)] if len(files) == 1 else []
    sizes = [streamed.probabilities_in(path) for path in paths]
    labels = columns.get("labels", "")
    apart = Path(labels).suffix.lower() in FORMATS or _is_file(labels)
    names = [name for name, _ in ood]
    if apart or not all(sizes) or max(sizes, default=0) <= streamed.STREAM_ABOVE:
        return None
    if len(set(names)) < len(names):
        return None  # told what is wrong with it by `read_ood`
    check_level(level)
    checks.check_range("replicates", replicates, 100)
    checks.check_range("seed", seed, 0)
    return streamed.evaluate_streamed(
        paths[0],
        list(zip(names, paths[1:], strict=True)),
        columns=columns,
        source=_source_names(paths[:1])[0],
        renormalise=renormalise,
        level=level,
        replicates=replicates,
        seed=seed,
        command=command,
    )


def check_outputs(outputs: Mapping[str, StrPath | None], inside: Sequence[StrPath]) -> None:
    """Find out before anything is read what would be refused, or lost, at the end."""
    taken = {Path(path).resolve(): "read" for path in inside}
    for option, given in outputs.items():
        if given is None:
            continue
        path = Path(given)
        atomic.check_writable_directory(path.parent)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: name a file in it.")
        if option in ("--rows", "--sets"):
            check_format(path)
        clash = taken.setdefault(path.resolve(), f"written by {option}")
        # Devices (/dev/null, /dev/stdout) take any number of outputs.
        if clash != f"written by {option}" and (path.is_file() or not path.exists()):
            raise ValueError(f"{option} names {path}, which is {clash}: name another file.")


def read_sources(
    files: Sequence[StrPath], columns: dict[str, str], by: Sequence[str], *, renormalise: bool
) -> list[Predictions]:
    """Return the predictions of each file, named after it."""
    named = dict(columns)
    labels = named.get("labels")
    labels_from = None
    # `--labels y_test.npy`: a file rather than an array of that name, whether it is there or not.
    if labels is not None and (Path(labels).suffix.lower() in FORMATS or _is_file(labels)):
        labels_from = Path(named.pop("labels"))
    sources = _source_names([Path(file) for file in files])
    return [
        read_predictions(
            file,
            columns=named,
            labels_from=labels_from,
            source=source,
            by=by,
            renormalise=renormalise,
        )
        for file, source in zip(files, sources, strict=True)
    ]


def _is_file(name: str) -> bool:
    """Return whether a name with an ending is that of a file: `labels` alone is an array's."""
    return bool(Path(name).suffix) and Path(name).is_file()


def read_ood(
    files: Sequence[StrPath],
    ood: Sequence[tuple[str, StrPath]],
    columns: dict[str, str],
    *,
    renormalise: bool,
) -> list[Predictions]:
    """Return the strange rows of each source, without their labels."""
    by_name: dict[str, list[StrPath]] = {}
    for name, path in ood:
        by_name.setdefault(name, []).append(path)
    sources = _source_names([Path(file) for file in files])
    for name, paths in by_name.items():
        if len(paths) != len(files):
            raise ValueError(
                f"--ood {name} is given {len(paths)} times for {len(files)} files of predictions: "
                "give it once a file, in the same order, as each model predicts its own."
            )
    # Labels and weights of the test file say nothing of the out-of-distribution rows.
    kept = {role: array for role, array in columns.items() if role not in ("labels", "weights")}
    return [
        _unlabelled(
            read_predictions(
                path,
                columns=kept,
                source=source,
                split=f"ood:{name}",
                renormalise=renormalise,
                labelled=False,
            )
        )
        for name, paths in by_name.items()
        for path, source in zip(paths, sources, strict=True)
    ]


def _read_validation(
    sources: Sequence[Predictions],
    validation: Sequence[StrPath],
    columns: dict[str, str],
    *,
    renormalise: bool,
) -> list[Predictions]:
    if not validation:
        return []
    if len(validation) != len(sources):
        raise ValueError(
            f"--validation is given {len(validation)} times for {len(sources)} files of predictions: "
            "give it once a file, in the same order, as each model predicts its own."
        )
    # A file of labels belongs to the rows that are judged.
    named = {
        role: array
        for role, array in columns.items()
        if role != "labels" or not (Path(array).suffix.lower() in FORMATS or _is_file(array))
    }
    read = [
        read_predictions(path, columns=named, split="validation", renormalise=renormalise)
        for path in validation
    ]
    return [
        dataclasses.replace(held, source=s.source, training=s.training, task=s.task)
        for held, s in zip(read, sources, strict=True)
    ]


def _unlabelled(predictions: Predictions) -> Predictions:
    """Drop labels: those of out-of-distribution rows are not classes the model knows."""
    return dataclasses.replace(predictions, target=None)


def _source_names(files: Sequence[Path]) -> list[str]:
    """Return the files' stems, with as much of their folders as tells them apart."""
    resolved = [file.resolve() for file in files]
    if len(set(resolved)) < len(resolved):
        raise ValueError("the same file of predictions is given twice: give each once.")
    names = [file.stem for file in files]
    depth = 1
    while len(set(names)) < len(names) and depth < 8:
        depth += 1
        names = ["/".join([*file.parts[-depth:-1], file.stem]) for file in resolved]
    # `net.npz` beside `net.csv`: only the endings differ.
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _read_inputs(path: Path) -> dict[object, np.ndarray]:
    arrays, _ = read_arrays(path)
    images = arrays.get("inputs", arrays.get("x"))
    row_ids = arrays.get("row_id", arrays.get("row_ids"))
    if images is None or row_ids is None or len(images) != len(row_ids):
        raise ValueError(
            f"{path}: it should hold `inputs` and as many `row_id`, got "
            + ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
            + "; images are joined by row id, never by position."
        )
    return dict(zip(row_ids.tolist(), images, strict=True))
