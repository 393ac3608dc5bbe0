"""Writes data/codestreams: one small picture as JPEG 2000, JPEG-LS and lossless JPEG, for tests of damaged DICOM files.

pip install imagecodecs==2026.3.6
"""

from pathlib import Path

import imagecodecs
import numpy

y, x = numpy.mgrid[0:20, 0:28]
picture = ((x * 37 + y * 53 + (x * y) % 17 * 90) % 4096).astype(numpy.uint16)

folder = Path(__file__).parent / "data" / "codestreams"
folder.mkdir(exist_ok=True)
for name, stream in {
    "grey_12_bits.j2k": imagecodecs.jpeg2k_encode(
        picture, codecformat="j2k", level=0, bitspersample=12, reversible=True
    ),
    "grey_12_bits.jls": imagecodecs.jpegls_encode(picture),
    "grey_12_bits.ljpeg": imagecodecs.ljpeg_encode(picture, bitspersample=12),
}.items():
    (folder / name).write_bytes(stream)
