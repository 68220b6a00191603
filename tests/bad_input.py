"""Picture files that visitors send by mistake or to do harm, made by code: the library, the command line, the HTTP API
and the page are all tested on the same ones.

    @pytest.mark.parametrize("case", BAD_IMAGES.values(), ids=BAD_IMAGES)
    def test_it(case, tmp_path):
        path = case.write(tmp_path)     # the file (or folder) now exists
        case.refusal                    # a word of the sentence that must come back; None: the picture must be served
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image


@dataclass(frozen=True)
class BadFile:
    """One file: how to write it into a folder, and what must happen to it."""

    write: Callable[[Path], Path]
    refusal: str | None  # a part of the sentence that refuses it; None when the picture is to be served


def register(cases: dict[str, BadFile], name: str, refusal: str | None = None) -> Callable:
    """Decorator: `content() -> bytes` becomes the file `name`, a case under the name of the function."""

    def add(content: Callable[[], bytes]) -> Callable[[], bytes]:
        def write(folder: Path) -> Path:
            path = folder / name
            path.write_bytes(content())
            return path

        cases[content.__name__] = BadFile(write, refusal)
        return content

    return add


BAD_IMAGES: dict[str, BadFile] = {}
_case = partial(register, BAD_IMAGES)


# --- building blocks ---------------------------------------------------------------------------------------------


def quarters(width: int = 160, height: int = 120) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right: shows every turn and mirror image."""
    photo = Image.new("RGB", (width, height), "white")
    photo.paste("red", (0, 0, width // 2, height // 2))
    photo.paste("lime", (width // 2, 0, width, height // 2))
    photo.paste("blue", (0, height // 2, width // 2, height))
    return photo


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, bit_depth: int = 1, colour_type: int = 0, extra_chunks: bytes = b"") -> bytes:
    """An all-black PNG written row by row, so that a huge one costs no memory here."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    row = bytes(1 + (width * channels * bit_depth + 7) // 8)  # a filter byte and the samples
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra_chunks + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def heic(photo: Image.Image, **options: object) -> bytes:
    """A HEIC file, as telephones write."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, **options)
    return buffer.getvalue()


# --- refused -----------------------------------------------------------------------------------------------------


@_case("notes.jpg", refusal="text")
def not_an_image() -> bytes:
    return b"These are my notes about the photo, not the photo.\n" * 20


@_case("noise.png", refusal="unknown kind")
def random_bytes() -> bytes:
    return b"\x93" + np.random.default_rng(0).bytes(5000)


@_case("empty.jpg", refusal="empty")
def empty() -> bytes:
    return b""


@_case("truncated.jpg", refusal="cut off")
def truncated_jpeg() -> bytes:
    data = encode(quarters(), "JPEG")
    return data[: len(data) * 6 // 10]


@_case("truncated.png", refusal="cut off")
def truncated_png() -> bytes:
    data = encode(Image.effect_noise((160, 120), 50), "PNG")
    return data[: len(data) // 2]


@_case("header_only.webp", refusal="cut off")
def truncated_header() -> bytes:
    return encode(quarters(), "WEBP")[:20]


@_case("bomb.png", refusal="13,000 x 13,000")
def huge_png_of_20_kb() -> bytes:
    return png(13_000, 13_000)


@_case("text_bomb.png", refusal="cut off or damaged")
def png_text_bomb() -> bytes:
    packed = zlib.compress(("\N{GRINNING FACE}" + "a" * 1_000_000).encode(), 9)
    return png(10, 10, extra_chunks=b"".join(png_chunk(b"iTXt", b"k\0\1\0\0\0" + packed) for _ in range(60)))


@_case("scans.jpg", refusal="scans")
def jpeg_scan_bomb() -> bytes:
    data = encode(quarters().convert("L"), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + 5000 * last_scan + b"\xff\xd9"


@_case("drawing.svg", refusal="SVG")
def svg() -> bytes:
    return b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'


@_case("document.pdf", refusal="PDF")
def pdf() -> bytes:
    return encode(quarters(), "PDF")


@_case("page.jpg", refusal="web page")
def web_page_named_jpg() -> bytes:
    return b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>"


@_case("list.jpg", refusal="playlist")
def playlist_named_jpg() -> bytes:
    return b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"


@_case("film.jpg", refusal="video")
def video_named_jpg() -> bytes:
    return b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200)


def _folder(parent: Path) -> Path:
    folder = parent / "folder.jpg"
    folder.mkdir()
    return folder


BAD_IMAGES["folder"] = BadFile(_folder, refusal="folder")
BAD_IMAGES["missing"] = BadFile(lambda folder: folder / "nowhere.jpg", refusal="no file")

# --- odd but served ----------------------------------------------------------------------------------------------


@_case("png_inside.jpg")
def png_named_jpg() -> bytes:
    return encode(quarters(), "PNG")


@_case("jpeg_inside.png")
def jpeg_named_png() -> bytes:
    return encode(quarters(), "JPEG", quality=95)


@_case("moving.gif")
def animated_gif() -> bytes:
    return encode(quarters(), "GIF", save_all=True, append_images=[Image.new("RGB", (160, 120), "black")] * 3)


@_case("moving.webp")
def animated_webp() -> bytes:
    return encode(quarters(), "WEBP", save_all=True, append_images=[Image.new("RGB", (160, 120), "black")] * 3)


@_case("cmyk.jpg")
def cmyk_jpeg() -> bytes:
    return encode(quarters().convert("CMYK"), "JPEG", quality=95)


@_case("deep.png")
def grey_16_bit_png() -> bytes:
    ramp = np.linspace(0, 65535, 160).astype(np.uint16)  # black at the left, white at the right
    return encode(Image.fromarray(np.tile(ramp, (120, 1))), "PNG")


@_case("palette.png")
def palette_with_alpha() -> bytes:
    photo = quarters().quantize(4)
    return encode(photo, "PNG", transparency=photo.getpixel((0, 0)))  # what was red is now transparent


@_case("rotated.jpg")
def exif_rotated() -> bytes:
    """Stored lying on its side: only upright is it `quarters()`."""
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to view"
    return encode(quarters().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


@_case("dot.png")
def one_pixel() -> bytes:
    return encode(Image.new("RGB", (1, 1), "red"), "PNG")


@_case("line.png")
def one_by_20_000() -> bytes:
    return encode(Image.new("RGB", (1, 20_000), "red"), "PNG")


@_case("phone.heic")
def heic_photo() -> bytes:
    return heic(quarters(), quality=90)
