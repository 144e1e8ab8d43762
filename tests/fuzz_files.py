"""Read thousands of damaged files: each is refused by an error of ours, or read right.

``python tests/fuzz_files.py --count 10000 --seed 0`` writes ten formats, damages them, reads them as a
user would and judges every fifth that can be read. See ``tests/evaluation/damaged.py`` for what a
fault is; faulty files are kept in the temporary folder.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import resource
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.evaluation.damaged import KINDS, cases, try_reading


def main() -> int:
    """Damage and read as many files as asked; return 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A file must not be able to ask for all the memory there is; a crash must say where.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    faulthandler.enable()
    tally: collections.Counter[tuple[str, str]] = collections.Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, path, whole, rng) in enumerate(cases(options.seed, Path(folder))):
            if number == options.count:
                break
            try:
                outcome = try_reading(kind, path, whole, judge=rng.random() < 0.2)
            except BaseException as error:  # every other kind of error is what is looked for
                outcome, faults = "fault", faults + 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                print(
                    f"fault {number} ({kind.name}): {error!r:.300} at {last.filename}:{last.lineno}"
                )
                kept = Path(tempfile.gettempdir()) / f"fault_{options.seed}_{number}{kind.suffix}"
                kept.write_bytes(path.read_bytes())
            tally[kind.name, outcome] += 1
    for kind in KINDS:
        counts = {o: tally[kind.name, o] for o in ("refused", "read", "fault")}
        print(f"{kind.name:<24}", *(f"{o} {n:>5}" for o, n in counts.items()))
    print(f"{options.count} files, seed {options.seed}: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
