"""Compares what two builds of rad-dino-edge said; the standard library is enough.

    compare.py answers A.json B.json        findings, attributes and warnings of `infer --format json` are the same
    compare.py bound A.npy B.npy LIMIT      |A - B| / |B| (Euclidean) is at most LIMIT; prints it
    compare.py field FILE.json PATH         prints a field, e.g. engine.isa
"""

import json
import math
import struct
import sys


def answers(path):
    """The lines of a file, without what may differ between machines: time, engine, where the scan lies."""
    lines = []
    for line in open(path, encoding="utf-8"):
        answer = json.loads(line)
        if "error" in answer:
            sys.exit(f"{path}: {answer['error']}")
        for field in ("timing_ms", "engine"):
            del answer[field]
        del answer["input"]["path"]
        lines.append(answer)
    if not lines:
        sys.exit(f"{path}: no answer")
    return lines


def values(path):
    """The floats of a .npy file, version 1.0, little-endian f32."""
    data = open(path, "rb").read()
    if data[:8] != b"\x93NUMPY\x01\x00" or b"'<f4'" not in data[10:200]:
        sys.exit(f"{path}: no .npy of f32")
    start = 10 + int.from_bytes(data[8:10], "little")
    return struct.unpack(f"<{(len(data) - start) // 4}f", data[start:])


def main():
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "answers":
        a, b = map(answers, arguments)
        if a != b:
            sys.exit(f"{arguments[0]} and {arguments[1]} differ:\n{a}\n{b}")
    elif what == "bound":
        a, b = map(values, arguments[:2])
        apart = math.dist(a, b) / math.hypot(*b)
        print(f"{apart:.1e}" if apart else "same bytes")
        if len(a) != len(b) or not apart <= float(arguments[2]):
            sys.exit(f"{arguments[0]} and {arguments[1]} are {apart:.1e} apart, allowed is {arguments[2]}")
    elif what == "field":
        value = json.loads(open(arguments[0], encoding="utf-8").readline())
        for name in arguments[1].split("."):
            value = value[name]
        print(" ".join(value) if isinstance(value, list) else value)
    else:
        sys.exit(__doc__)


main()
