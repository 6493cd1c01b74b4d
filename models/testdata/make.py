#!/usr/bin/env python3
"""Makes the small models of this folder and what the training libraries
themselves say of them: labels.json, each output's class labels (classes_), or
null for outputs that are no scores; predictions.json, rows of x and for them
predict and predict_proba.

Made with Python 3.11, numpy 2.4.6, scikit-learn 1.9.1, lightgbm 4.7.0,
xgboost 3.2.0, onnx 1.23.2, skl2onnx 1.20.0, onnxmltools 1.16.0. The trees and
weights may differ elsewhere; labels.json does not.
"""
import json
import pathlib
import warnings

import lightgbm
import numpy as np
import onnx
import xgboost
from onnxmltools.convert import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
X = rng.standard_normal((120, 3)).astype(np.float32)
three = np.digitize(X[:, 0], [-0.4, 0.4])
words = np.array(["late", "early", "on time"])[three]
numbers = np.array([7, -1, 30])[three]
two = (X[:, 1] > 0).astype(np.int64)

labels = {}
predictions = {"x": X[:5].tolist()}


def save(name, model, estimator):
    """Every output but the first, the predicted label, has a column for each of
    the estimator's classes_, if any."""
    onnx.checker.check_model(model)
    (here / f"{name}.onnx").write_bytes(model.SerializeToString())
    classes = None
    predictions[name] = {"predict": estimator.predict(X[:5]).tolist()}
    if hasattr(estimator, "classes_"):
        classes = estimator.classes_.tolist()
        predictions[name]["scores"] = estimator.predict_proba(X[:5]).tolist()
    labels[name] = {o.name: (classes if i > 0 else None) for i, o in enumerate(model.graph.output)}


def skl(name, estimator, y, **options):
    estimator.fit(X, y)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    model = to_onnx(estimator, X[:1], options={id(last): options} if options else None, target_opset=17)
    save(name, model, estimator)


skl("skl-logistic-words-zipmap", LogisticRegression(), words)
skl("skl-logistic-numbers-zipmap", make_pipeline(StandardScaler(), LogisticRegression()), numbers)
skl("skl-logistic-numbers", LogisticRegression(), numbers, zipmap=False)
skl("skl-logistic-two", LogisticRegression(), two, zipmap=False)
skl("skl-forest-words", RandomForestClassifier(2, max_depth=2, random_state=0), words, zipmap=False)
skl("skl-forest-words-zipmap", RandomForestClassifier(2, max_depth=2, random_state=0), words)
skl("skl-mlp-words", MLPClassifier((4,), max_iter=20, random_state=0), words, zipmap=False)
skl("skl-mlp-two", MLPClassifier((4,), max_iter=20, random_state=0), two, zipmap=False)
skl("skl-svc-words", SVC(probability=True, random_state=0), words, zipmap=False)
skl("skl-knn-numbers", KNeighborsClassifier(3), numbers, zipmap=False)

inputs = [("x", FloatTensorType([None, 3]))]
for name, y in [("two", two), ("three", three)]:
    lgb = lightgbm.LGBMClassifier(n_estimators=2, max_depth=2, verbose=-1).fit(X, y)
    for zipmap in (True, False):
        model = convert_lightgbm(lgb, initial_types=inputs, zipmap=zipmap, target_opset=15)
        save(f"lgb-{name}{'-zipmap' if zipmap else ''}", model, lgb)
    xgb = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(X, y)
    save(f"xgb-{name}", convert_xgboost(xgb, initial_types=inputs, target_opset=15), xgb)

xgb = xgboost.XGBRegressor(n_estimators=2, max_depth=2).fit(X, X[:, 2])
save("xgb-regressor", convert_xgboost(xgb, initial_types=inputs, target_opset=15), xgb)

(here / "predictions.json").write_text(json.dumps(predictions, indent=None, sort_keys=True).replace("}, ", "},\n") + "\n")
(here / "labels.json").write_text(json.dumps(labels, indent=1, sort_keys=True) + "\n")
