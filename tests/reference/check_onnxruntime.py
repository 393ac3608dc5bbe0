"""Checks what rad-dino-quantize writes against the ONNX checker, ONNX Runtime and rad-dino-edge.

    python check_onnxruntime.py --quantize target/release/rad-dino-quantize [--edge target/release/rad-dino-edge]
                                [--shared ../shared]

Every checkpoint of data/checkpoints is converted to fp32, fp16 and int8. Each file must pass onnx.checker with shape
inference and run in ONNX Runtime with the outputs that transformers computed (reference.safetensors). With --edge,
rad-dino-edge embeds two PNGs and ONNX Runtime the same pixels. With --shared, the trained dinov2-small goes the same
way on films of data/fullres at 224 px, also calibrated on films of data/cxr, without and with layers that stay f16. Prints a table; exit code 1 when a line fails.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from PIL import Image
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent
PRECISIONS = ("fp32", "fp16", "int8")
# Against transformers on the random checkpoints: largest difference for fp32, lowest cosine of a token for the others.
FP32_DIFFERENCE = 1e-4
RANDOM_TOKEN_COSINE = {"fp16": 0.99999, "int8": 0.99}
# Of rad-dino-edge against ONNX Runtime, from the same PNG (JPEG decoders differ by a grey level): largest difference,
# or cosine of CLS (mean, worst picture) and of the worst token, since rounding noise flips int8 steps.
EDGE_DIFFERENCE = {"fp32": 3e-4, "fp16": 3e-4}
# Its int8 attention is f32 in the file.
EDGE_COSINE = {"int8": (0.999, 0.998, 0.99)}
# int8 and fp16 against fp32 of the trained checkpoint, in ONNX Runtime, on films: CLS mean and worst, patches mean.
TRAINED_COSINE = {"fp16": (0.99999, 0.99999, 0.99999), "int8": (0.999, 0.998, 0.999)}

# Logits a side of a patch in the decoder that write_probes writes.
SUBPIXELS = 3
# Share of a mask's pixels that must be what Pillow draws from ONNX Runtime's logits; the crop may be off by a pixel.
MASK_AGREEMENT = 0.97


class Table:
    """Lines of results; knows whether all passed."""

    def __init__(self):
        self.failed = 0
        print(f"{'case':28} {'file':5} {'check':34} {'value':>12} {'limit':>10}")

    def line(self, case, precision, check, value, limit, passed):
        self.failed += not passed
        print(f"{case:28} {precision:5} {check:34} {value:>12} {limit:>10} {'ok' if passed else 'FAILED'}", flush=True)

    def at_most(self, case, precision, check, value, limit):
        self.line(case, precision, check, f"{value:.2e}", f"≤ {limit:g}", bool(value <= limit))

    def at_least(self, case, precision, check, value, limit):
        self.line(case, precision, check, f"{value:.6f}", f"≥ {limit:g}", bool(value >= limit))


def convert(binary, folder, precision, out, case, more=()):
    command = [binary, "convert", folder, "--precision", precision, "--image-size", str(case["image_size"])]
    command += ["--position", case["position"], "--out", out, "--quiet", *more]
    subprocess.run([str(part) for part in command], check=True)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def hidden(session, pixels):
    return session.run(["last_hidden_state"], {"pixel_values": pixels})[0]


def cosine(a, b):
    """Of the last axis."""
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    return (a * b).sum(-1) / numpy.linalg.norm(a, axis=-1) / numpy.linalg.norm(b, axis=-1)


def check_file(table, case, precision, path):
    try:
        onnx.checker.check_model(str(path), full_check=True)
        passed = True
    except onnx.checker.ValidationError as error:
        print(error, file=sys.stderr)
        passed = False
    table.line(case, precision, "onnx.checker", "full", "", passed)
    model = onnx.load(path)
    domains = {node.domain for node in model.graph.node}
    called = {node.op_type for node in model.graph.node}
    defined = {function.name for function in model.functions}
    blocks = sum(node.op_type.startswith("EncoderBlock") for node in model.graph.node)
    manifest = json.loads({entry.key: entry.value for entry in model.metadata_props}["rad_dino.manifest"])
    shape = manifest["architecture"]
    consistent = (
        domains == {"rad_dino"}
        and called == defined
        and blocks == shape["depth"]
        and manifest["precision"] == precision
        and manifest["preprocessing"]["crop_size"] == shape["image_size"]
        and "not a medical device" in manifest["notice"].lower()
    )
    table.line(case, precision, "one function call a block", str(blocks), "", consistent)
    return manifest


def pixel_values(path, preprocessing, corner=None):
    """Shortest side to S by Pillow's bicubic on 8 bits, centre crop (or the one at `corner`), /255, mean and std;
    [1,3,S,S]."""
    edge, crop = preprocessing["shortest_edge"], preprocessing["crop_size"]
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    size = [edge if side == short else int(edge * side / short) for side in image.size]
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = corner or ((image.width - crop) // 2, (image.height - crop) // 2)
    pixels = numpy.asarray(image.crop((left, top, left + crop, top + crop)), dtype=numpy.float64)
    mean, std = numpy.array(preprocessing["image_mean"]), numpy.array(preprocessing["image_std"])
    pixels = (pixels * preprocessing["rescale_factor"] - mean) / std
    return pixels.transpose(2, 0, 1)[None].astype(numpy.float32)


def pictures(folder, count):
    """Grey PNGs with structure at every scale, larger than any crop."""
    generator = numpy.random.default_rng(0)
    paths = []
    for i in range(count):
        y, x = numpy.mgrid[0:151, 0 : 173 + 20 * i] / 40.0
        waves = sum(numpy.sin(generator.normal(size=2) @ [y.ravel(), x.ravel()] * 2**k) / 1.5**k for k in range(5))
        noise = generator.normal(size=waves.size) * 0.2
        grey = ((waves + noise) * 40 + 128).clip(0, 255).astype(numpy.uint8).reshape(y.shape)
        path = folder / f"picture{i}.png"
        Image.fromarray(grey).save(path)
        paths.append(path)
    return paths


def decoded(films, folder):
    """The films as PNGs of the pixels that Pillow decodes."""
    paths = [folder / f"film{i}.png" for i in range(len(films))]
    for film, path in zip(films, paths):
        if not path.exists():
            Image.open(film).save(path, compress_level=1)
    return paths


def check_edge(table, case, precision, model, edge, scans, preprocessing):
    out = model.with_suffix(".npy")
    command = [edge, "embed", *scans, "--model", model, "--tokens", "all", "--out", out, "--quiet"]
    subprocess.run([str(part) for part in command], check=True)
    ours = numpy.load(out)
    pixels = numpy.concatenate([pixel_values(scan, preprocessing) for scan in scans])
    theirs = hidden(session(model), pixels)
    if ours.shape != theirs.shape:
        table.line(case, precision, "rad-dino-edge: shape", str(ours.shape), str(theirs.shape), False)
        return
    if precision in EDGE_DIFFERENCE:
        worst = numpy.abs(ours - theirs).max()
        table.at_most(case, precision, "rad-dino-edge: largest difference", worst, EDGE_DIFFERENCE[precision])
    else:
        similar, (mean, worst, token) = cosine(ours, theirs), EDGE_COSINE[precision]
        table.at_least(case, precision, "rad-dino-edge: CLS cosine, mean", similar[:, 0].mean(), mean)
        table.at_least(case, precision, "rad-dino-edge: CLS cosine, worst", similar[:, 0].min(), worst)
        table.at_least(case, precision, "rad-dino-edge: worst token cosine", similar.min(), token)


def check_random(table, arguments, temporary):
    scans = pictures(temporary, 2)
    for folder in sorted(path.parent for path in (HERE / "data" / "checkpoints").glob("*/case.json")):
        case = json.loads((folder / "case.json").read_text())
        reference = load_file(folder / "reference.safetensors")
        for precision in PRECISIONS:
            path = temporary / f"{folder.name}.{precision}.onnx"
            convert(arguments.quantize, folder, precision, path, case)
            manifest = check_file(table, folder.name, precision, path)
            found = hidden(session(path), reference["pixel_values"])
            expected = reference["last_hidden_state"]
            if precision == "fp32":
                worst = numpy.abs(found - expected).max()
                table.at_most(folder.name, precision, "largest difference", worst, FP32_DIFFERENCE)
            else:
                worst = cosine(found, expected).min()
                table.at_least(folder.name, precision, "worst token cosine", worst, RANDOM_TOKEN_COSINE[precision])
            if arguments.edge:
                check_edge(table, folder.name, precision, path, arguments.edge, scans, manifest["preprocessing"])


def write_probes(folder, width):
    """Random heads beside a checkpoint: findings with a hidden layer, sex, age, view, two regions by a decoder."""
    generator = numpy.random.default_rng(1)
    calibration = {"scale": 1.0, "offset": 0.0}
    findings = [{"label": f"finding_{i}", "threshold": 0.5, "calibration": calibration} for i in range(3)]
    heads = {"findings": findings, "sex": calibration, "age": True, "view": ["PA", "AP"], "segmentation": ["lung", "heart"]}
    (folder / "probes.json").write_text(json.dumps({"schema": "rad-dino-edge/probes/1", "heads": heads}))
    tensors = {}
    for name, outputs, hidden in (("findings", 3, 6), ("sex", 1, 0), ("age", 1, 0), ("view", 2, 0)):
        shapes = {"weight": (outputs, 2 * width + hidden), "bias": (outputs,)}
        if hidden:
            shapes |= {"hidden.weight": (hidden, 2 * width), "hidden.bias": (hidden,)}
        for part, shape in shapes.items():
            tensors[f"{name}.{part}"] = generator.normal(size=shape).astype(numpy.float32)
    hidden, rows = 10, 2 * SUBPIXELS**2
    shapes = {"project": (hidden, width), "convolution0": (hidden, hidden, 3, 3), "readout": (rows, hidden)}
    for part, shape in shapes.items():
        values = generator.normal(size=shape) / numpy.prod(shape[1:]) ** 0.5
        tensors[f"segmentation.{part}.weight"] = values.astype(numpy.float32)
        tensors[f"segmentation.{part}.bias"] = generator.normal(size=shape[:1]).astype(numpy.float32)
    save_file(tensors, folder / "probes.safetensors")
    return tensors


def expected_segmentation(tensors, patches):
    """The decoder of write_probes on patches [N,P,D]: 1×1, ReLU, 3×3, ReLU, 1×1, pixel shuffle."""
    layer = {part: [tensors[f"segmentation.{part}.{kind}"].astype(numpy.float64) for kind in ("weight", "bias")]
             for part in ("project", "convolution0", "readout")}
    grid = round(patches.shape[1] ** 0.5)
    cells = (patches @ layer["project"][0].T + layer["project"][1]).clip(0).reshape(len(patches), grid, grid, -1)
    padded = numpy.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)))
    weight, bias = layer["convolution0"]
    cells = bias + sum(padded[:, y : y + grid, x : x + grid] @ weight[:, :, y, x].T for y in range(3) for x in range(3))
    read = cells.clip(0) @ layer["readout"][0].T + layer["readout"][1]
    read = read.reshape(len(patches), grid, grid, -1, SUBPIXELS, SUBPIXELS)
    return read.transpose(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, grid * SUBPIXELS, grid * SUBPIXELS)


def expected_probes(tensors, tokens, prefix):
    """What the heads give on CLS ‖ mean of the patch tokens."""
    tokens = tokens.astype(numpy.float64)
    features = numpy.concatenate([tokens[:, 0], tokens[:, prefix:].mean(1)], axis=1)
    expected = {}
    for name, output in (("findings", "findings_logits"), ("sex", "sex_logits"), ("age", "age_years"),
                         ("view", "view_logits")):
        joined = features
        if f"{name}.hidden.weight" in tensors:
            hidden = features @ tensors[f"{name}.hidden.weight"].T + tensors[f"{name}.hidden.bias"]
            joined = numpy.concatenate([features, hidden.clip(0)], axis=1)
        expected[output] = joined @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
    expected["segmentation_logits"] = expected_segmentation(tensors, tokens[:, prefix:])
    return expected


def check_probes(table, arguments, temporary):
    for name in ("plain", "registers"):
        folder = temporary / f"{name}_with_probes"
        shutil.copytree(HERE / "data" / "checkpoints" / name, folder)
        config = json.loads((folder / "config.json").read_text())
        tensors = write_probes(folder, config["hidden_size"])
        case = json.loads((folder / "case.json").read_text())
        pixels = load_file(folder / "reference.safetensors")["pixel_values"]
        for precision in PRECISIONS:
            path = temporary / f"{folder.name}.{precision}.onnx"
            convert(arguments.quantize, folder, precision, path, case)
            check_file(table, folder.name, precision, path)
            run = session(path)
            names = [output.name for output in run.get_outputs()]
            found = dict(zip(names, run.run(None, {"pixel_values": pixels})))
            prefix = 1 + config.get("num_register_tokens", 0)
            expected = expected_probes(tensors, found["last_hidden_state"], prefix)
            assert names == ["last_hidden_state", *expected], names
            assert all(found[output].shape == values.shape for output, values in expected.items())
            worst = max(numpy.abs(found[output] - values).max() for output, values in expected.items())
            table.at_most(folder.name, precision, "probes: largest difference", worst, 1e-4)
            if arguments.edge:
                check_mask(table, folder.name, precision, path, arguments.edge, pictures(temporary, 1)[0])


def check_mask(table, case, precision, model, edge, scan):
    """The masks that rad-dino-edge draws beside ONNX Runtime's logits of the same pixels, enlarged by Pillow: of the centre
    crop and of both ends of the longer side, added where they overlap."""
    out = model.with_suffix(".mask.png")
    command = [edge, "infer", scan, "--model", model, "--segmentation", out, "--format", "json", "--quiet"]
    answer = json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout)
    manifest = {entry.key: entry.value for entry in onnx.load(model).metadata_props}["rad_dino.manifest"]
    preprocessing = json.loads(manifest)["preprocessing"]
    run = session(model)
    width, height = Image.open(scan).size
    side, crop = min(width, height), preprocessing["crop_size"]
    assert crop == preprocessing["shortest_edge"] and side < width <= 2 * side == 2 * height, (width, height)
    long = int(crop * width / side)
    total = numpy.zeros((len(answer["segmentation"]), height, width))
    for corner in ((long - crop) // 2, 0, long - crop):
        logits = run.run(["segmentation_logits"], {"pixel_values": pixel_values(scan, preprocessing, (corner, 0))})[0][0]
        left = min(round(corner * side / crop), width - side)
        for part, channel in zip(total, logits):
            part[:, left : left + side] += Image.fromarray(channel).resize((side, side), Image.Resampling.BILINEAR)
    agree = []
    for region, part in zip(answer["segmentation"], total):
        drawn = numpy.asarray(Image.open(out.with_suffix(f".{region['label']}.png")))
        agree.append(((drawn == 255) == (part > 0)).mean() if set(numpy.unique(drawn)) <= {0, 255} else 0.0)
        agree.append(1 - abs((drawn == 255).mean() - region["area_fraction"]))
    table.at_least(case, precision, "masks: agreeing pixels, area", min(agree), MASK_AGREEMENT)


def check_trained(table, arguments, temporary):
    checkpoint = arguments.shared / "weights" / "dinov2-small"
    films = sorted((arguments.shared / "data" / "fullres").glob("**/*.jp*g")) + sorted(
        (arguments.shared / "data" / "fullres").glob("**/*.png")
    )
    films = [film for film in films if Image.open(film).mode in ("L", "RGB")][: arguments.films]
    if not (checkpoint / "config.json").exists() or not films:
        print(f"skipped: no weights/dinov2-small or data/fullres in {arguments.shared}")
        return
    case, name = {"image_size": 224, "position": "size"}, "dinov2-small"
    outputs = {}
    calibration = ["--calibration", arguments.shared / "data" / "cxr" / "manifest.csv", "--calibration-films", 8]
    fallback = ["--target-cosine", 1, "--fallback-budget", 0.05]
    variants = [(precision, name, []) for precision in PRECISIONS]
    variants += [("int8", f"{name}_calibrated", calibration), ("int8", f"{name}_fallback", calibration + fallback)]
    for precision, name, more in variants:
        path = temporary / f"{name}.{precision}.onnx"
        convert(arguments.quantize, checkpoint, precision, path, case, more)
        preprocessing = check_file(table, name, precision, path)["preprocessing"]
        run = session(path)
        outputs[precision] = numpy.concatenate([hidden(run, pixel_values(film, preprocessing)) for film in films])
        if precision in TRAINED_COSINE:
            mean, worst, patches = TRAINED_COSINE[precision]
            similar = cosine(outputs[precision], outputs["fp32"])
            table.at_least(name, precision, f"CLS cosine, mean of {len(films)} films", similar[:, 0].mean(), mean)
            table.at_least(name, precision, "CLS cosine, worst film", similar[:, 0].min(), worst)
            table.at_least(name, precision, "patch cosine, mean", similar[:, 1:].mean(), patches)
        if arguments.edge:
            check_edge(table, name, precision, path, arguments.edge, decoded(films, temporary), preprocessing)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=pathlib.Path, required=True, help="the rad-dino-quantize binary")
    parser.add_argument("--edge", type=pathlib.Path, help="the rad-dino-edge binary; without it that part is left out")
    parser.add_argument("--shared", type=pathlib.Path, help="folder with weights/dinov2-small and data/fullres")
    parser.add_argument("--films", type=int, default=24, help="films of data/fullres to compare on")
    arguments = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        check_random(table, arguments, pathlib.Path(temporary))
        check_probes(table, arguments, pathlib.Path(temporary))
        if arguments.shared:
            check_trained(table, arguments, pathlib.Path(temporary))
    if table.failed:
        print(f"{table.failed} FAILED")
        sys.exit(1)
    print("all passed")


if __name__ == "__main__":
    main()
