#!/usr/bin/env python3
"""Makes the small models of this folder and labels.json: what each output's
class labels are according to the training library itself (classes_), or null
for outputs that are no scores.

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


def save(name, model, classes):
    """classes: the labels, in column order; every output but the first, the
    predicted label, gets them."""
    onnx.checker.check_model(model)
    (here / f"{name}.onnx").write_bytes(model.SerializeToString())
    classes = [c.item() if hasattr(c, "item") else c for c in classes] if classes is not None else None
    labels[name] = {o.name: (classes if i > 0 else None) for i, o in enumerate(model.graph.output)}


def skl(name, estimator, y, **options):
    estimator.fit(X, y)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    model = to_onnx(estimator, X[:1], options={id(last): options} if options else None, target_opset=17)
    save(name, model, estimator.classes_)


skl("skl-logistic-words-zipmap", LogisticRegression(), words)
skl("skl-logistic-numbers-zipmap", make_pipeline(StandardScaler(), LogisticRegression()), numbers)
skl("skl-logistic-numbers", LogisticRegression(), numbers, zipmap=False)
skl("skl-logistic-two", LogisticRegression(), two, zipmap=False)
skl("skl-forest-words", RandomForestClassifier(2, max_depth=2), words, zipmap=False)
skl("skl-forest-words-zipmap", RandomForestClassifier(2, max_depth=2), words)
skl("skl-mlp-words", MLPClassifier((4,), max_iter=20), words, zipmap=False)
skl("skl-mlp-two", MLPClassifier((4,), max_iter=20), two, zipmap=False)
skl("skl-svc-words", SVC(probability=True), words, zipmap=False)
skl("skl-knn-numbers", KNeighborsClassifier(3), numbers, zipmap=False)

inputs = [("x", FloatTensorType([None, 3]))]
for name, y, classes in [("two", two, [0, 1]), ("three", three, [0, 1, 2])]:
    lgb = lightgbm.LGBMClassifier(n_estimators=2, max_depth=2, verbose=-1).fit(X, y)
    assert list(lgb.classes_) == classes
    for zipmap in (True, False):
        model = convert_lightgbm(lgb, initial_types=inputs, zipmap=zipmap, target_opset=15)
        save(f"lgb-{name}{'-zipmap' if zipmap else ''}", model, classes)
    xgb = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(X, y)
    assert list(xgb.classes_) == classes
    save(f"xgb-{name}", convert_xgboost(xgb, initial_types=inputs, target_opset=15), classes)

xgb = xgboost.XGBRegressor(n_estimators=2, max_depth=2).fit(X, X[:, 2])
save("xgb-regressor", convert_xgboost(xgb, initial_types=inputs, target_opset=15), None)

(here / "labels.json").write_text(json.dumps(labels, indent=1, sort_keys=True) + "\n")
