"""Times rad-dino-edge beside ONNX Runtime (and OpenVINO, when installed) on the same checkpoint, in turns, in one run.

    python compare.py --quantize target/release/rad-dino-quantize --edge target/release/rad-dino-edge CHECKPOINT
                      [--size 224] [--threads 1,2] [--rounds 5] [--iterations 20]

The checkpoint is converted to fp32 and int8. tract runs the fp32 graph with its own operators, ONNX Runtime runs it
and its own dynamic int8 of it (per channel), OpenVINO runs it in fp32 and bf16. Every round times each engine once; the table shows the median of the rounds'
medians in ms and the ratio to ours of the same precision. Needs numpy, onnx, onnxruntime; openvino is optional.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import onnx
import onnx.inliner
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

try:
    import openvino
except ImportError:
    openvino = None


def median_ms(run, iterations):
    run()
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def ours(edge, path, threads, iterations):
    command = [edge, "bench", "--model", path, "--threads", str(threads), "--iterations", str(iterations)]
    out = subprocess.run([*map(str, command), "--format", "json", "--quiet"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["runs"][0]["encoder_ms"]["median"]


def onnx_runtime(path, pixels, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["last_hidden_state"], {"pixel_values": pixels})


def open_vino(path, pixels, threads, hint):
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({"pixel_values": list(pixels.shape)})
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", config)
    return lambda: compiled({"pixel_values": pixels})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--quantize", type=pathlib.Path, required=True)
    parser.add_argument("--edge", type=pathlib.Path, required=True)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    pixels = numpy.random.default_rng(0).normal(size=(1, 3, arguments.size, arguments.size)).astype(numpy.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = {}
        for precision in ("fp32", "int8"):
            files[precision] = folder / f"{precision}.onnx"
            command = [arguments.quantize, "convert", arguments.checkpoint, "--precision", precision]
            command += ["--image-size", arguments.size, "--out", files[precision], "--quiet"]
            subprocess.run([str(part) for part in command], check=True)
        plain = folder / "plain.onnx"
        onnx.save(onnx.inliner.inline_local_functions(onnx.load(files["fp32"])), plain)
        dynamic = folder / "dynamic.onnx"
        quantize_dynamic(plain, dynamic, per_channel=True, weight_type=QuantType.QInt8)
        print(f"{'engine':28} {'threads':>7} {'ms':>8} {'× ours':>7}")
        for threads in map(int, arguments.threads.split(",")):
            runs = {
                ("fp32", "ONNX Runtime fp32"): onnx_runtime(plain, pixels, threads),
                ("int8", "ONNX Runtime int8 dynamic"): onnx_runtime(dynamic, pixels, threads),
            }
            if openvino:
                runs["fp32", "OpenVINO fp32"] = open_vino(plain, pixels, threads, "f32")
                runs["fp32", "OpenVINO bf16"] = open_vino(plain, pixels, threads, "bf16")
            times = {}
            for _ in range(arguments.rounds):
                for precision, path in files.items():
                    mine = ours(arguments.edge, path, threads, arguments.iterations)
                    times.setdefault((precision, f"rad-dino-edge {precision}"), []).append(mine)
                # rad-dino-edge runs a graph without our functions by tract's own operators.
                tract = ours(arguments.edge, plain, threads, arguments.iterations)
                times.setdefault(("fp32", "tract fp32"), []).append(tract)
                for key, run in runs.items():
                    times.setdefault(key, []).append(median_ms(run, arguments.iterations))
            medians = {key: statistics.median(values) for key, values in times.items()}
            for (precision, name), value in medians.items():
                ratio = value / medians[precision, f"rad-dino-edge {precision}"]
                print(f"{name:28} {threads:7} {value:8.1f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
