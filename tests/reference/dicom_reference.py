"""Expected 8-bit pictures of DICOM files by pydicom, and how far rad-dino-edge's are from them.

    RDE_DICOM_DUMP=DIR cargo test -p rad-dino-edge --test dicom
    python tests/reference/dicom_reference.py ../shared/data/dicom DIR

Rule: stored values -> Modality LUT -> minimum and maximum without padding -> 0..255, rounded to nearest, halves up;
padding takes the minimum's level; MONOCHROME1 inverted last; VOI ignored.
Needs pydicom, pylibjpeg, pylibjpeg-libjpeg, pylibjpeg-openjpeg, pyjpegls, numpy. Lossless files must agree exactly.
Decoders of lossy files may differ by one stored unit, which the stretch makes 255 / (maximum - minimum) levels. Ends
with 1 if any picture is further off.
"""

import csv
import math
import pathlib
import sys

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

LOSSY = [JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEGLSNearLossless]


def expected(path):
    """[rows, columns] uint8, and how many levels a lossy decoder may be off."""
    data = pydicom.dcmread(path)
    # Decoded without any colour conversion or LUT of pydicom's own.
    stored = data.pixel_array
    outside = np.zeros(stored.shape, bool)
    if "PixelPaddingValue" in data:
        def number(value):
            signed = data.PixelRepresentation == 1
            return value - 65536 if signed and value > 32767 else value

        ends = [number(data.PixelPaddingValue), number(data.get("PixelPaddingRangeLimit", data.PixelPaddingValue))]
        outside = (stored >= min(ends)) & (stored <= max(ends))
    levels = np.asarray(apply_modality_lut(stored, data), np.float64)
    inside = levels[~outside]
    low, high = (inside.min(), inside.max()) if inside.size else (0.0, 0.0)
    grey = np.zeros(stored.shape, np.float64)
    if high > low:
        grey = np.floor((levels - low) * 255 / (high - low) + 0.5)
    grey[outside] = 0
    if data.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    lossy = data.file_meta.TransferSyntaxUID in LOSSY
    return grey.astype(np.uint8), math.ceil(255 / max(high - low, 1)) if lossy else 0


def read_pgm(path):
    data = path.read_bytes()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def main(folder, dump):
    failed = compared = 0
    print(f"{'file':56} {'max':>4} {'pixels that differ':>19}")
    with open(folder / "manifest.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            ours = dump / pathlib.Path(row["file"].replace("/", "_")).with_suffix(".pgm")
            if not ours.exists():
                continue
            picture, allowed = expected(folder / row["file"])
            difference = np.abs(read_pgm(ours).astype(int) - picture)
            compared += 1
            failed += int(difference.max() > allowed)
            print(f"{row['file']:56} {difference.max():4} {np.count_nonzero(difference):10} of {difference.size}")
    print(f"{compared} pictures compared, {failed} too far off")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
