"""The peak memory of judging a Parquet file of class probabilities does not follow its length.

Files of 1e5 and 4e5 rows of 1,000 float32 probabilities (0.4 and 1.6 GB) are written to a temporary folder
and judged as ``uncertain evaluate`` judges them, each in a process of its own.

peak_mib_100000, peak_mib_400000
    Peak resident memory of the whole process, interpreter and imports included.
peak_mib_growth
    Their difference; ``held_bytes_a_row`` is it by the rows between them.
seconds_100000, seconds_400000
    CPU seconds of the whole command, with 100 replicates.

With --quick the files have a twentieth of the rows, which are still read in pieces.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

CLASSES = 1000
_CHILD = """
import sys
from uncertain.evaluation import streamed
streamed.STREAM_ABOVE = 0
from uncertain.evaluation.files import evaluate_files
found = evaluate_files([sys.argv[1]], replicates=100)
assert any("read in pieces" in row.reason for row in found)
# Not `ru_maxrss`: a started process inherits that of the one that started it.
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""


def write(path: Path, rows: int) -> None:
    """Write probabilities and labels drawn from them, a row group of 20,000 rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    schema = pa.schema([("probs", pa.list_(pa.float32(), CLASSES)), ("label", pa.int64())])
    with parquet.ParquetWriter(path, schema, compression="none", write_page_checksum=True) as file:
        for start in range(0, rows, 20_000):
            n = min(20_000, rows - start)
            p = rng.standard_exponential((n, CLASSES), dtype=np.float32) ** 3
            p /= p.sum(axis=1, keepdims=True)
            labels = np.minimum((p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), CLASSES - 1)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), CLASSES)
            file.write_table(pa.table({"probs": lists, "label": labels}, schema=schema))


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Judge the two files and add both peaks."""
    peaks = {}
    for full in (100_000, 400_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.parquet")
            write(path, full // 20 if quick else full)
            before = harness.children_time()
            command = [sys.executable, "-c", _CHILD, str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[full] = float(done.stdout.split()[-1])
            figures.add(f"file_mib_{full}", path.stat().st_size / 2**20, "MiB")
        figures.add(f"peak_mib_{full}", peaks[full], "MiB")
        figures.add(f"seconds_{full}", harness.children_time() - before, "s CPU")
    growth = peaks[400_000] - peaks[100_000]
    figures.add("peak_mib_growth", growth, "MiB")
    figures.add("held_bytes_a_row", growth * 2**20 / (15_000 if quick else 300_000), "bytes")


if __name__ == "__main__":
    harness.main(__doc__, measure)
