"""Reads the shards of `rad-dino-edge embed --format parquet` with pyarrow and DuckDB and compares them with a .npy of the
same scans.

    pip install pyarrow==25.0.1 duckdb numpy
    python tests/reference/check_parquet.py FOLDER_OF_SHARDS EMBEDDINGS.npy
"""

import pathlib
import sys

import duckdb
import numpy
import pyarrow
import pyarrow.dataset

folder, npy = pathlib.Path(sys.argv[1]), numpy.load(sys.argv[2])
table = pyarrow.dataset.dataset(folder, format="parquet").to_table().sort_by("path")
kind = table.schema.field("embedding").type
assert pyarrow.types.is_fixed_size_list(kind) and kind.value_type == pyarrow.float32(), kind
assert kind.list_size == npy.shape[1] and table.num_rows == npy.shape[0], (kind, table.num_rows, npy.shape)
for row, expected in zip(table.to_pylist(), npy):
    if row["embedding"] is None:
        assert numpy.isnan(expected).all() and row["error"] and row["sha256"] is None, row["path"]
    else:
        assert numpy.array_equal(numpy.array(row["embedding"], numpy.float32), expected), row["path"]
        assert row["error"] is None and len(row["sha256"]) == 64
print(f"pyarrow {pyarrow.__version__}: {table.num_rows} rows, {kind}")

query = "SELECT path, embedding FROM read_parquet(?) WHERE embedding IS NOT NULL ORDER BY path"
rows = duckdb.execute(query, [str(folder / "*.parquet")]).fetchall()
kept = npy[~numpy.isnan(npy).any(axis=1)]
assert numpy.array_equal(numpy.array([row[1] for row in rows], numpy.float32), kept)
script = (pathlib.Path(__file__).parents[2] / "runtime/deploy/slurm/neighbours.sql").read_text()
duckdb.execute(f"SET VARIABLE shards = '{folder}/*.parquet'")
duckdb.execute(f"SET VARIABLE film = '{rows[0][0]}'")
nearest = duckdb.execute(script).fetchall()
unit = kept / numpy.linalg.norm(kept, axis=1, keepdims=True)
cosine = numpy.sort(unit[1:] @ unit[0])[::-1][:10]
assert numpy.allclose([row[1] for row in nearest], cosine, atol=1e-4), (nearest, cosine)
print(f"DuckDB {duckdb.__version__}: {len(rows)} rows, {len(nearest)} neighbours")
