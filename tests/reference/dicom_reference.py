"""Expected 8-bit pictures of DICOM files by pydicom, and how far rad-dino-edge's are from them.

    python tests/reference/dicom_reference.py write ../shared/data/dicom tests/reference/data/dicom_pixels.csv

writes what `cargo test -p rad-dino-edge --test dicom` compares with: a hash where decoding is exact, and 64 samples of
every picture. 

    python tests/reference/dicom_reference.py windows tests/reference/data/dicom_windows.csv

writes grey levels of windows of every function. To compare whole pictures, also of lossy files:

    RDE_DICOM_DUMP=DIR cargo test -p rad-dino-edge --test dicom
    python tests/reference/dicom_reference.py compare ../shared/data/dicom DIR

Rules:
none    stored values -> Modality LUT -> minimum and maximum without padding -> 0..255, rounded to nearest, halves up;
        padding takes the minimum's level; MONOCHROME1 inverted last; VOI ignored.
first   the file's first VOI LUT, else its first window, in place of minimum and maximum; else as `none`.
forced  as `none` for what is refused otherwise: the first frame; colour as pydicom's RGB.
Needs pydicom, pylibjpeg, pylibjpeg-libjpeg, pylibjpeg-openjpeg, pyjpegls, numpy. Lossless files must agree exactly.
Decoders of lossy files may differ by one stored unit, which the stretch makes 255 / (maximum - minimum) levels; lossy
colour by a few more, since chroma is enlarged with other roundings. `compare` ends with 1 if any picture is further off.
"""

import csv
import hashlib
import math
import pathlib
import sys

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

LOSSY = [JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEGLSNearLossless]
MODES = ["none", "first", "forced"]
SAMPLES = 64


def is_plain(data):
    """Whether the file is one grey frame, which is read without force."""
    return data.get("PhotometricInterpretation", "").startswith("MONOCHROME") and int(data.get("NumberOfFrames", 1) or 1) <= 1


def padding(data, stored):
    outside = np.zeros(stored.shape, bool)
    if "PixelPaddingValue" in data:
        def number(value):
            signed = data.PixelRepresentation == 1
            return value - 65536 if signed and value > 32767 else value

        ends = [number(data.PixelPaddingValue), number(data.get("PixelPaddingRangeLimit", data.PixelPaddingValue))]
        outside = (stored >= min(ends)) & (stored <= max(ends))
    return outside


def by_voi(data, stored):
    """pydicom's VOI LUT or window, brought from its own range of levels to 0..1; None where the file has neither."""
    levels = apply_modality_lut(stored, data)
    if data.get("VOILUTSequence"):
        return np.asarray(apply_voi_lut(levels, data, prefer_lut=True), np.float64) / (2 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1), 1
    if data.get("WindowCenter") is None or data.get("WindowWidth") is None:
        return None
    signed = data.PixelRepresentation == 1
    ends = np.array([-(2 ** (data.BitsStored - 1)), 2 ** (data.BitsStored - 1) - 1] if signed else [0, 2**data.BitsStored - 1], np.float64)
    if "RescaleSlope" in data:
        ends = ends * data.RescaleSlope + data.RescaleIntercept
    width = data.WindowWidth[0] if data["WindowWidth"].VM > 1 else data.WindowWidth
    return (np.asarray(apply_voi_lut(levels, data), np.float64) - ends[0]) / (ends[1] - ends[0]), float(width)


def expected(path, mode):
    """[rows, columns] or [rows, columns, 3] uint8, and how many levels a lossy decoder may be off; None where the mode
    says nothing about the file."""
    data = pydicom.dcmread(path)
    lossy = data.file_meta.TransferSyntaxUID in LOSSY
    if (mode == "forced") == is_plain(data):
        return None
    if data.SamplesPerPixel == 3:
        return pixel_array(path, index=0), 6 if lossy else 0
    # Decoded without any colour conversion or LUT of pydicom's own.
    stored = data.pixel_array
    if int(data.get("NumberOfFrames", 1) or 1) > 1:
        stored = stored[0]
    outside = padding(data, stored)
    voi = by_voi(data, stored) if mode == "first" else None
    if voi is not None:
        grey, span = np.floor(voi[0] * 255 + 0.5), voi[1]
    else:
        levels = np.asarray(apply_modality_lut(stored, data), np.float64)
        inside = levels[~outside]
        low, high = (inside.min(), inside.max()) if inside.size else (0.0, 0.0)
        grey, span = np.zeros(stored.shape, np.float64), max(high - low, 1)
        if high > low:
            grey = np.floor((levels - low) * 255 / (high - low) + 0.5)
    grey[outside] = 0
    if data.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return grey.astype(np.uint8), math.ceil(255 / span) if lossy else 0


def files(folder):
    with open(folder / "manifest.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            if not row["file"].startswith("bad/"):
                yield row["file"]


def pictures(folder):
    for file in files(folder):
        for mode in MODES:
            try:
                picture = expected(folder / file, mode)
            except Exception as error:
                print(f"{file} {mode}: {type(error).__name__}", file=sys.stderr)
                continue
            if picture is not None:
                yield file, mode, *picture


def write(folder, out):
    with open(out, "w", newline="") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(["file", "mode", "rows", "columns", "channels", "allowed", "sha256", "samples"])
        for file, mode, picture, allowed in pictures(folder):
            flat = np.ascontiguousarray(picture).reshape(-1)
            at = [i * (flat.size - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
            digest = "" if allowed else hashlib.sha256(flat.tobytes()).hexdigest()
            channels = 3 if picture.ndim == 3 else 1
            rows.writerow([file, mode, *picture.shape[:2], channels, allowed, digest, flat[at].tobytes().hex()])
    return 0


def windows(out):
    """Levels of single values through windows, for functions that no file at hand has."""
    values = [0, 1, 49, 50, 99, 100, 101, 149, 150, 151, 4095]
    with open(out, "w", newline="") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(["function", "center", "width", "value", "grey"])
        for function in "LINEAR", "LINEAR_EXACT", "SIGMOID":
            for center, width in (100.0, 101.0), (100.0, 100.0), (50.5, 1.0), (2048.0, 4096.0), (-20.0, 300.5):
                data = pydicom.Dataset()
                data.PhotometricInterpretation, data.PixelRepresentation, data.BitsStored = "MONOCHROME2", 0, 12
                data.WindowCenter, data.WindowWidth, data.VOILUTFunction = center, width, function
                for value, level in zip(values, apply_voi_lut(np.array(values, np.uint16), data)):
                    rows.writerow([function, center, width, value, math.floor(level / 4095 * 255 + 0.5)])
    return 0


def read_pnm(path):
    data = path.read_bytes()
    kind, size, _, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape((height, width, 3) if kind == b"P6" else (height, width))


def compare(folder, dump):
    failed = compared = 0
    print(f"{'file':56} {'mode':6} {'max':>4} {'samples that differ':>19}")
    for file, mode, picture, allowed in pictures(folder):
        ours = dump / f"{file.replace('/', '_')}.{mode}.pnm"
        if not ours.exists():
            continue
        ours = read_pnm(ours)
        if ours.ndim == 2 and picture.ndim == 3:
            ours = np.repeat(ours[:, :, None], 3, axis=2)
        difference = np.abs(ours.astype(int) - picture)
        compared += 1
        failed += int(difference.max() > allowed)
        print(f"{file:56} {mode:6} {difference.max():4} {np.count_nonzero(difference):10} of {difference.size}")
    print(f"{compared} pictures compared, {failed} too far off")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    task = {"write": write, "compare": compare, "windows": windows}[sys.argv[1]]
    sys.exit(task(*map(pathlib.Path, sys.argv[2:])))
