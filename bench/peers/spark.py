"""(e) Spark: mapInArrow with ONNX Runtime, in local mode with a core a task."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Python workers import this folder's modules; everything stays on this machine.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

import pyarrow as pa
from pyspark.sql import SparkSession

from columns import matrix, output_columns
from scoring import output_names, predict, worker_session
from task import Stopwatch, parse_task

SPARK_TYPES = {"tensor(float)": "float", "tensor(int64)": "long"}

task = parse_task()
watch = Stopwatch()
spark = (
    SparkSession.builder.master(f"local[{task.threads}]")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.memory", "4g")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "32768")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    session = worker_session(task.model)
    names = output_names(session)
    for rows in batches:
        outputs = predict(session, matrix(rows, task.features), task.batch_rows)
        yield pa.record_batch({"id": rows["id"]} | output_columns(names, outputs))


def schema() -> str:
    """The output's columns, as Spark wants to know them beforehand."""
    fields = ["id long"]
    for output in worker_session(task.model).get_outputs():
        kind, width = SPARK_TYPES[output.type], (output.shape + [1])[1]
        names = [f"{output.name}_{i}" for i in range(width)] if width > 1 else [output.name]
        fields += [f"{name} {kind}" for name in names]
    return ", ".join(fields)


watch.ready()
scores = spark.read.parquet(task.input).select(task.columns).mapInArrow(score, schema())
scores.write.mode("overwrite").parquet(task.output)
watch.report()
spark.stop()
