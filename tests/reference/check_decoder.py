"""Checks a decoder file with onnx.checker and runs it in ONNX Runtime: greedy with the file's own cache.

    python tests/reference/check_decoder.py FILE.onnx [FOLDER]

With FOLDER (tests/reference/data/decoders/...) tokens and logits must be those of its expected.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

onnx.checker.check_model(sys.argv[1], full_check=True)
session = ort.InferenceSession(sys.argv[1])
manifest = json.loads(session.get_modelmeta().custom_metadata_map["rad_dino.decoder"])
shape = manifest["architecture"]


def run(ids, past, image=None):
    feed = {"input_ids": np.array([ids], np.int64), **past}
    if "image" in manifest:
        feed["image_tokens"] = np.zeros((1, 0, manifest["image"]["encoder_width"]), np.float32) if image is None else image
    names = [o.name for o in session.get_outputs()]
    out = dict(zip(names, session.run(names, feed)))
    past = {n.replace("present", "past_key_values"): v for n, v in out.items() if n.startswith("present")}
    return out["logits"][0], past


def empty():
    zeros = np.zeros((1, shape["num_kv_heads"], 0, shape["head_dim"]), np.float32)
    return {f"past_key_values.{i}.{w}": zeros for i in range(shape["depth"]) for w in ("key", "value")}


def greedy(prompt, steps=24):
    logits, past = run(prompt, empty())
    first, tokens = logits[-1], []
    while len(tokens) < steps and (token := int(logits[-1].argmax())) not in manifest["eos_tokens"]:
        tokens.append(token)
        logits, past = run([token], past)
    return first, tokens


if len(sys.argv) > 2:
    for case in json.loads((Path(sys.argv[2]) / "expected.json").read_text()):
        logits, tokens = greedy(case["prompt"])
        worst = np.abs(logits - np.array(case["last_logits"])).max()
        same = sum(a == b for a, b in zip(tokens, case["greedy"]))
        print(f"logits within {worst:.2e}, {same} of {len(case['greedy'])} tokens the same")
else:
    print(greedy([manifest["bos_token"] or 0])[1])
