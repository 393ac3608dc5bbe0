#!/usr/bin/env python3
"""A checkpoint folder again from an int8 model file, where the folder it was made of is lost.

    python quantize/restore.py MODEL.onnx START OUT [--frozen 4]

START is the checkpoint folder that training once began with: its LayerScale divides what the file multiplied in, and its
embeddings and first FROZEN blocks, which training left alone, are taken as they are. Weights of the other blocks carry
the file's rounding to int8; biases and norms are exact. Plain int8 files only (no levelling, no f16 layers).
Prints how far START's own frozen blocks are from the file's, in quantiser steps: at most about one half, if they belong
to each other.
"""

import argparse
import json
import pathlib
import shutil

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("start", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--frozen", type=int, default=4)
    options = parser.parse_args()

    graph = onnx.load(options.model).graph
    file = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    # int8 weights are bytes around 128; in older files signed ones
    file = {name: value.astype(np.float32) - 128 * (value.dtype == np.uint8) for name, value in file.items()}
    start = {name: value.astype(np.float32) for name, value in load_file(options.start / "model.safetensors").items()}
    config = json.loads((options.start / "config.json").read_text())
    prefix = next(name for name in start if name.endswith("layer.0.norm1.weight")).removesuffix("layer.0.norm1.weight")
    query_scale = np.float32(1.0 / np.sqrt(config["hidden_size"] // config["num_attention_heads"]))

    worst = 0.0
    out = dict(start)
    for block in range(config["num_hidden_layers"]):
        ours = f"{prefix}layer.{block}."
        scale = {1: start[ours + "layer_scale1.lambda1"], 2: start[ours + "layer_scale2.lambda1"]}

        def linear(name, factor):
            """[N, K] and [N], the factor of each output divided out."""
            weight = file[f"block{block}.{name}_weight"] * file[f"block{block}.{name}_scale"]
            return weight.T / factor[:, None], file[f"block{block}.{name}_bias"] / factor

        d = config["hidden_size"]
        ones = np.ones(d, np.float32)
        weight, bias = linear("qkv", np.concatenate([ones * query_scale, ones, ones]))
        steps = file[f"block{block}.qkv_scale"] / np.concatenate([ones * query_scale, ones, ones])
        found = {}
        for i, name in enumerate(["query", "key", "value"]):
            found[f"attention.attention.{name}"] = weight[i * d:(i + 1) * d], bias[i * d:(i + 1) * d]
        found["attention.output.dense"] = linear("output", scale[1])
        found["mlp.fc1"] = linear("fc1", np.ones(config["hidden_size"] * config["mlp_ratio"], np.float32))
        found["mlp.fc2"] = linear("fc2", scale[2])
        if block < options.frozen:
            for i, name in enumerate(["query", "key", "value"]):
                apart = np.abs(found[f"attention.attention.{name}"][0] - start[f"{ours}attention.attention.{name}.weight"])
                worst = max(worst, float((apart / steps[i * d:(i + 1) * d, None]).max()))
            continue
        for name, (weight, bias) in found.items():
            out[f"{ours}{name}.weight"], out[f"{ours}{name}.bias"] = weight, bias
        for norm in ["norm1", "norm2"]:
            for part in ["weight", "bias"]:
                out[f"{ours}{norm}.{part}"] = file[f"block{block}.{norm}_{part}"]
    final = prefix.removesuffix("encoder.") + "layernorm."
    for part in ["weight", "bias"]:
        out[final + part] = file[f"norm.{part}"]
    print(f"frozen blocks: {worst:.3f} quantiser steps apart at most")

    if {name: value.shape for name, value in out.items()} != {name: value.shape for name, value in start.items()}:
        raise SystemExit("the file and START do not have the same shapes")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ["config.json", "preprocessor_config.json"]:
        shutil.copyfile(options.start / name, options.out / name)
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in out.items()}, options.out / "model.safetensors",
              metadata={"format": "pt"})


if __name__ == "__main__":
    main()
