"""Score a table of Spark in its own tasks: spark-submit stream_spark.py MODEL DATA

Each task starts a millrace of its own, which takes the cores that it is given: say how many
by --workers.
"""

import os
import sys

import pyarrow as pa
from pyspark.sql import SparkSession

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
model, data = sys.argv[1:]


def score(batches):
    from millrace_stream import scored

    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return

    def rest():
        yield first
        yield from batches

    yield from scored(rest(), first.schema, "--model", model, "--nulls", "nan", "--ids", "id", "--workers", "1")


spark = SparkSession.builder.appName("millrace").getOrCreate()
spark.sparkContext.addPyFile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "millrace_stream.py"))
scores = spark.read.parquet(data).mapInArrow(score, "id long, variable float")
print(scores.selectExpr("count(*)", "count(DISTINCT id)", "round(avg(variable), 3)").first())
