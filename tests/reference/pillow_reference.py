#!/usr/bin/env python3
"""Pictures and what Pillow makes of them: the truth for tests/tests/preprocess.rs.

    pillow_reference.py                      writes tests/reference/data/pillow anew (same bytes each time, Pillow 13)
    pillow_reference.py --dump FILE SIZE OUT.npy [--shortest-edge E]
                                             the 8-bit crop [SIZE, SIZE, 3] of any picture, for checks on real films

Needs numpy and Pillow.
"""

import argparse
import json
import math
import pathlib

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "data" / "pillow"


def to_rgb(path):
    """[H, W, 3] uint8, by the rules of design.md: Pillow for 8 bits, own minimum and maximum for 16."""
    picture = Image.open(path)
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.int64)
        low, high = int(grey.min()), int(grey.max())
        span = max(high - low, 1)
        picture = Image.fromarray((((grey - low) * 510 + span) // (2 * span)).astype(np.uint8))
    return picture.convert("RGB")


def crop(picture, shortest_edge, size):
    """transformers' BitImageProcessor up to the centre crop: [size, size, 3] uint8."""
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    new_long = int(shortest_edge * long / short)
    new = (shortest_edge, new_long) if width <= height else (new_long, shortest_edge)
    resized = np.asarray(picture.resize(new, resample=Image.Resampling.BICUBIC))
    top, left = (new[1] - size) // 2, (new[0] - size) // 2
    result = np.zeros((size, size, 3), np.uint8)
    part = resized[max(top, 0) : max(top, 0) + size, max(left, 0) : max(left, 0) + size]
    y, x = max(-top, 0), max(-left, 0)
    result[y : y + part.shape[0], x : x + part.shape[1]] = part
    return result


def pictures():
    """(file name, Pillow picture, how to save it)."""
    random = np.random.default_rng(20240229)

    def noise(*shape):
        return random.integers(0, 256, shape, dtype=np.uint8)

    def smooth(width, height, shift=0):
        y, x = np.mgrid[0:height, 0:width]
        waves = np.sin(x / 9 + shift) + np.cos(y / 7 - shift) + np.sin((x + y) / 23)
        return np.clip(waves * 42 + 128 + random.normal(0, 6, (height, width)), 0, 255).astype(np.uint8)

    def colour(width, height):
        return np.stack([smooth(width, height, s) for s in (0, 1, 2)], axis=-1)

    yield "grey_noise_37x53.png", Image.fromarray(noise(53, 37)), {}
    yield "grey_gradient_301x200.png", Image.fromarray(
        (np.add.outer(np.arange(200), np.arange(301)) * 255 // 499).astype(np.uint8)
    ), {}
    yield "grey_checks_64x64.png", Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)), {}
    yield "grey_line_1x90.png", Image.fromarray(noise(90, 1)), {}
    yield "bits_1_75x51.png", Image.fromarray(noise(51, 75) > 127), {}
    yield "rgb_noise_53x37.png", Image.fromarray(noise(37, 53, 3)), {}
    yield "rgba_61x40.png", Image.fromarray(noise(40, 61, 4)), {}
    yield "la_40x61.png", Image.fromarray(noise(61, 40, 2)), {}
    palette = Image.fromarray(colour(90, 70)).quantize(200)
    yield "palette_90x70.png", palette, {}
    yield "palette_transparent_90x70.png", palette, {"transparency": bytes(range(200))}
    yield "palette_4_bits_33x44.png", Image.fromarray(colour(33, 44)).quantize(13), {"bits": 4}
    deep = (np.add.outer(np.arange(83) * 311, np.arange(120) * 97) + random.integers(0, 500, (83, 120)) + 1000)
    yield "grey_16_bits_120x83.png", Image.fromarray(deep.astype(np.uint16)), {}
    yield "grey_301x200.jpg", Image.fromarray(smooth(301, 200)), {"quality": 90}
    yield "grey_progressive_200x301.jpg", Image.fromarray(smooth(200, 301)), {"quality": 85, "progressive": True}
    yield "colour_444_121x90.jpg", Image.fromarray(colour(121, 90)), {"quality": 92, "subsampling": 0}
    yield "colour_420_121x90.jpg", Image.fromarray(colour(121, 90)), {"quality": 92, "subsampling": 2}
    cmyk = np.concatenate([colour(64, 48), smooth(64, 48, 5)[..., None] // 2], axis=-1)
    yield "cmyk_64x48.jpg", Image.fromarray(cmyk, mode="CMYK"), {"quality": 95}
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90": to be ignored
    yield "grey_turned_50x31.jpg", Image.fromarray(smooth(50, 31)), {"quality": 95, "exif": exif}


# shortest edge, crop: DINOv2's ratio, RAD-DINO's, enlarging, odd, and padded
SIZES = [(32, 28), (56, 56), (98, 84), (29, 29), (21, 36)]


def write():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    cases = []
    for index, (name, picture, options) in enumerate(pictures()):
        path = FOLDER / name
        picture.save(path, **({"optimize": True} | options))
        for edge, size in (SIZES[index % 5], SIZES[(index + 2) % 5]):
            expected = f"{path.stem}.{path.suffix[1:]}.{edge}.{size}.raw.png"
            rgb = crop(to_rgb(path), edge, size)
            grey = bool((rgb == rgb[..., :1]).all())
            Image.fromarray(rgb[..., 0] if grey else rgb).save(FOLDER / expected, optimize=True)
            cases.append({"file": name, "shortest_edge": edge, "crop_size": size, "expected": expected})
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    total = sum(f.stat().st_size for f in FOLDER.iterdir())
    print(f"{len(cases)} cases, {math.ceil(total / 1024)} KiB in {FOLDER}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", nargs=3, metavar=("FILE", "SIZE", "OUT.npy"))
    parser.add_argument("--shortest-edge", type=int, help="default: SIZE")
    arguments = parser.parse_args()
    if arguments.dump:
        file, size, out = arguments.dump
        np.save(out, crop(to_rgb(file), arguments.shortest_edge or int(size), int(size)))
    else:
        write()


if __name__ == "__main__":
    main()
