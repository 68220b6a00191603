"""What a header tells: the kind of file, and the cost of decoding, which keeps the process from growing by 150 MB."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from core.errors import InputError
from core.input.image import load_image
from core.input.image_checks import jpeg_is_buffered, kind_of_file
from tests.bad_input import BAD_IMAGES, encode, heic, png, quarters

ROOT = Path(__file__).parents[3]

# Not ru_maxrss: on Linux it starts at what the parent process held, so growth below that would go unseen.
MEASURE = """
import sys
from core.errors import InputError
from core.input.image import load_image
def peak():
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmHWM"))
load_image(sys.argv[2])
open("/proc/self/clear_refs", "w").write("5")  # the peak is now what the process holds
before = peak()
try:
    result = load_image(sys.argv[1]).size
except InputError as error:
    result = error
print(f"{peak() - before:.1f}|{result}")
"""


def memory_growth(content: bytes, folder: Path) -> tuple[float, str]:
    """Peak growth in MB of a fresh process that loads the picture, and what came of it."""
    path, first = folder / "picture", folder / "first.jpg"
    path.write_bytes(content)
    first.write_bytes(encode(quarters(), "JPEG"))
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(path), str(first)]
    growth, result = subprocess.check_output(command, text=True, cwd=ROOT).strip().split("|")
    return float(growth), result


def phone_photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BILINEAR)


HEAVY = {
    "bomb": (lambda: png(13_000, 13_000), "13,000 x 13,000"),
    "text bomb": (lambda: BAD_IMAGES["png_text_bomb"], "cut off"),
    "48 MP JPEG": (lambda: encode(phone_photo(8064, 6048), "JPEG"), "(1024, 768)"),
    "48 MP progressive JPEG": (lambda: encode(phone_photo(8064, 6048), "JPEG", progressive=True), "too large"),
    "12 MP HEIC": (
        lambda: heic(Image.new("RGB", (4032, 3024), "olive"), enc_params={"preset": "ultrafast"}),
        "(1024, 768)",
    ),
    "29 MP RGBA PNG": (lambda: png(5400, 5400, bit_depth=8, colour_type=6), "(1024, 1024)"),
    "8 MP WebP": (lambda: encode(phone_photo(3264, 2448), "WEBP", method=0), "(1024, 768)"),
    "15 MP WebP": (lambda: encode(Image.new("RGB", (5000, 3000)), "WEBP", method=0), "too large"),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("name", HEAVY)
def test_memory_grows_by_less_than_150_mb(name, tmp_path):
    make, expected = HEAVY[name]
    content = make()
    if not isinstance(content, bytes):
        content = content.write(tmp_path).read_bytes()
    growth, result = memory_growth(content, tmp_path)
    assert expected in result
    assert growth < 150
    assert growth > 0.5 or "(" not in result  # a decoded picture must show, or the measurement is broken


def test_a_tiff_tile_larger_than_its_picture():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((10, 10, 3), np.uint8), tile=(16, 16), compression="zlib", photometric="rgb")
    content = buffer.getvalue()
    assert load_image(content).size == (10, 10)
    for tag in (322, 323):  # tile width and length, one 32-bit number each
        small, large = (struct.pack("<HHII", tag, 4, 1, side) for side in (16, 16_000))
        assert small in content
        content = content.replace(small, large)
    with pytest.raises(InputError, match="too large"):
        load_image(content)


@pytest.mark.parametrize(
    ("content", "buffered"),
    [
        (encode(quarters(), "JPEG"), False),
        (encode(quarters().convert("L"), "JPEG"), False),
        (encode(quarters().convert("CMYK"), "JPEG"), False),
        (encode(quarters(), "JPEG", exif=b"Exif\0\0" + b"\xff\xda" * 99), False),
        (encode(quarters(), "JPEG", progressive=True), True),
        (encode(quarters(), "JPEG").replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x0c\1"), True),  # one colour a scan
        (encode(quarters(), "JPEG")[:200], True),  # cannot be known
        (encode(quarters(), "PNG"), False),
        (b"", False),
    ],
    ids=["baseline", "grey", "CMYK", "false scans", "progressive", "colour by colour", "cut off", "PNG", "empty"],
)
def test_jpegs_that_a_decoder_must_hold_whole(content, buffered):
    assert jpeg_is_buffered(io.BytesIO(content)) is buffered


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypmp42", "video"),
        (b"\x1a\x45\xdf\xa3" + bytes(50), "WebM"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"PK\3\4" + bytes(50), "ZIP"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<html><body>", "web page"),
        (("\u00e9" * 600).encode()[:1024], "text"),
        (b"a" + ("\u00e9" * 600).encode()[:1023], "text"),
        (b"text with \0 in it", "unknown"),
    ],
)
def test_other_files_are_named(head, words):
    assert words in kind_of_file(head)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_the_start_of_a_picture_is_not_taken_for_something_else(file_format):
    assert kind_of_file(encode(quarters(), file_format)[:16]) is None
