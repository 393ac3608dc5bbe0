"""What transformers computes with the trained dinov2-small at 224 and 518 px, for tests/tests/trained.rs.

    python make_trained.py ../../../shared/weights/dinov2-small

Needs torch and transformers 5. The input is made by a formula that the test repeats, so that only some tokens of the
output are kept: data/trained.safetensors holds, for each size, the token numbers and their last_hidden_state.
"""

import pathlib
import sys

import numpy
import torch
from safetensors.numpy import save_file
from transformers import Dinov2Model


def pixels(size):
    """A smooth pattern plus noise of a 32-bit generator, exact in f32: multiples of 1/256 in [-2, 2)."""
    count = 3 * size * size
    state = numpy.empty(count, numpy.uint64)
    value = 1
    for i in range(count):
        value = (value * 1664525 + 1013904223) % 2**32
        state[i] = value
    index = numpy.arange(count)
    y, x = index // size % size, index % size
    smooth = (y * 3 + x * 2) * 512 // size % 512
    return (((smooth + (state >> 24).astype(numpy.int64)) % 1024 - 512) / 256).astype(numpy.float32)


def main():
    model = Dinov2Model.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
    out = {}
    for size in (224, 518):
        image = torch.from_numpy(pixels(size).reshape(1, 3, size, size))
        with torch.no_grad():
            hidden = model(pixel_values=image).last_hidden_state[0].numpy()
        kept = numpy.unique(numpy.linspace(0, len(hidden) - 1, 24).astype(numpy.int64))
        out[f"tokens_{size}"] = kept.astype(numpy.float32)
        out[f"hidden_{size}"] = hidden[kept]
    save_file(out, pathlib.Path(__file__).parent / "data" / "trained.safetensors")


main()
