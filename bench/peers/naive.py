"""(a) The script that everybody writes: the whole table in pandas, one Run, defaults."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pandas as pd

from columns import output_columns
from scoring import output_names
from task import Stopwatch, parse_task

task = parse_task()
watch = Stopwatch()
session = onnxruntime.InferenceSession(task.model)
watch.ready()

read = pd.read_feather if task.is_arrow else pd.read_parquet
frame = read(task.input, columns=task.columns)
x = frame[task.features].to_numpy(np.float32)
outputs = session.run(None, {session.get_inputs()[0].name: x})
scores = pd.DataFrame({"id": frame["id"]} | output_columns(output_names(session), outputs))
scores.to_parquet(task.output)
watch.report()
