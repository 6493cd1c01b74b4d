"""Score a query of DuckDB, and query the scores in DuckDB: python3 stream_duckdb.py MODEL DATA"""

import sys

import duckdb
import pyarrow as pa
from millrace_stream import scored

model, data = sys.argv[1:]
db = duckdb.connect()
rows = db.sql(f"SELECT * FROM read_parquet('{data}') ORDER BY id").to_arrow_reader(10_000)
batches = scored(rows, rows.schema, "--model", model, "--nulls", "nan", "--ids", "id")

# DuckDB reads the scores as they come, through a schema that the first batch tells.
first = next(batches)


def scores():
    yield first
    yield from batches


back = duckdb.connect()
reader = pa.RecordBatchReader.from_batches(first.schema, scores())
back.execute("CREATE TABLE scores AS SELECT * FROM reader")
print(back.sql("SELECT count(*), count(DISTINCT id), round(avg(variable), 3) FROM scores").fetchall()[0])
