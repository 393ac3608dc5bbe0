"""Reference values for rad-dino-train's metrics and solvers, by scikit-learn.

Writes tests/reference/data/metrics.json beside this script; train/tests/metrics.rs compares with it.
Needs numpy, scipy and scikit-learn:  python tests/reference/metrics_reference.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, mean_absolute_error, roc_auc_score, roc_curve


def floats(array):
    return [float(x) for x in np.asarray(array).ravel()]


def expected_calibration_error(probabilities, positive, bins=10):
    at = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [abs(positive[at == b].sum() - probabilities[at == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(positive))


def ranking_case(random, n, decimals, shift, weighted):
    positive = random.random(n) < 0.4
    scores = np.round(random.normal(size=n) + shift * positive, decimals)
    weights = random.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    fit = _SigmoidCalibration().fit(scores, positive.astype(int))
    probabilities = 1 / (1 + np.exp(fit.a_ * scores + fit.b_))
    false_rate, true_rate, cuts = roc_curve(positive, probabilities, drop_intermediate=False)
    return {
        "scores": floats(scores),
        "positive": [bool(p) for p in positive],
        "weights": floats(weights),
        "auroc": float(roc_auc_score(positive, scores, sample_weight=weights)),
        "auprc": float(average_precision_score(positive, scores, sample_weight=weights)),
        "platt": {"scale": float(-fit.a_), "offset": float(-fit.b_)},
        "calibration_error": expected_calibration_error(probabilities, positive),
        # roc_curve's cuts fall, so argmax takes the higher of equal ones; the rule puts the threshold below it.
        "youden_cut": float(cuts[np.argmax(np.round(true_rate - false_rate, 12))]),
        "mae": float(mean_absolute_error(positive.astype(float), scores)),
    }


def solver_case(random, n, d, strength):
    design = random.normal(size=(n, d)).astype(np.float32).astype(np.float64)
    latent = design @ random.normal(size=d) + random.normal(size=n)
    weights = random.random(n)
    weights /= weights.sum()
    classes = np.digitize(latent, [-1.0, 1.0])
    options = {"C": 1 / strength, "tol": 1e-10, "max_iter": 10000}
    logistic = LogisticRegression(**options).fit(design, latent > 0, sample_weight=weights)
    softmax = LogisticRegression(**options).fit(design, classes, sample_weight=weights)
    ridge = Ridge(alpha=strength).fit(design, latent, sample_weight=weights)
    return {
        "rows": n,
        "cols": d,
        "strength": strength,
        "design": floats(design),
        "latent": floats(latent),
        "weights": floats(weights),
        "classes": [int(c) for c in classes],
        "logistic": floats(np.append(logistic.coef_[0], logistic.intercept_)),
        # Biases of a softmax are free up to a constant: compared after their mean is taken off.
        "softmax": floats(np.hstack([softmax.coef_, (softmax.intercept_ - softmax.intercept_.mean())[:, None]])),
        "ridge": floats(np.append(ridge.coef_, ridge.intercept_)),
    }


def main():
    random = np.random.default_rng(20)
    reference = {
        "rankings": [
            ranking_case(random, 200, 8, 1.0, False),
            ranking_case(random, 150, 1, 0.7, False),
            ranking_case(random, 120, 1, 1.5, True),
        ],
        "solvers": [solver_case(random, 60, 5, 0.1), solver_case(random, 40, 12, 0.01)],
    }
    out = Path(__file__).parent / "data" / "metrics.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(reference, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
