#!/usr/bin/env python3
"""An encoder's int8 file of an older version with its weights as bytes around 128, as `convert` writes them now.

    python quantize/unsigned.py OLD.onnx NEW.onnx [--model-version X]

ONNX Runtime's product of unsigned with signed bytes saturates on x86 without VNNI; that of two unsigned ones is exact.
Values, and so the answers of rad-dino-edge, stay the same to the bit.
"""

import argparse
import json
import os

import numpy as np
import onnx
from onnx import numpy_helper

MANIFEST = "rad_dino.manifest"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--model-version", help="version in the manifest; without it the old one")
    options = parser.parse_args()

    model = onnx.load(options.old)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8:
            around_128 = numpy_helper.to_array(tensor).view(np.uint8) ^ 0x80
            tensor.CopyFrom(numpy_helper.from_array(around_128, tensor.name))
    for function in model.functions:
        for node in function.node:
            if node.op_type == "MatMulInteger" and len(node.input) == 3:
                node.input.append(node.input[2])
    for entry in model.metadata_props:
        if entry.key == MANIFEST and options.model_version:
            manifest = json.loads(entry.value)
            manifest["version"] = options.model_version
            entry.value = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))
    part = f"{options.new}.part"
    onnx.save(model, part)
    os.replace(part, options.new)


if __name__ == "__main__":
    main()
