#!/usr/bin/env python3
"""Makes forest.onnx, an IsolationForest, and what
scikit-learn itself says of rows of it: golden.json.

Made with Python 3.11, numpy 2.4.6, scikit-learn 1.9.1, onnx 1.23.2, skl2onnx 1.20.0.
"""
import json
import pathlib
import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
X = rng.standard_normal((200, 5)).astype(np.float32)
rows = np.concatenate([rng.standard_normal((40, 5)), 5 * rng.standard_normal((10, 5))]).astype(np.float32)
forest = IsolationForest(n_estimators=12, max_samples=32, random_state=0).fit(X)
model = to_onnx(forest, X[:1], target_opset={"": 17, "ai.onnx.ml": 3})
(here / "forest.onnx").write_bytes(model.SerializeToString())
golden = {"x": rows.tolist(), "predict": forest.predict(rows).tolist(), "scores": forest.decision_function(rows).tolist()}
(here / "golden.json").write_text(json.dumps(golden) + "\n")
