"""Untrusted pictures -> small RGB images, or InputError with one clear sentence.

A picture of a few kilobytes can unpack to gigabytes (a "decompression bomb"). So the header is read first, what
decoding would cost is worked out from it, and only then is anything decoded. The networks look at about 300 pixels a
side, so a large photo is shrunk on the way in, tile by tile, and never copied whole into a second colour mode.
"""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError
from PIL.Image import Transpose as Turn

from core.errors import InputError
from core.input.files import file_bytes, open_untrusted
from core.input.image_checks import decoding_bytes, jpeg_is_buffered, kind_of_file

# Decoders that may run (JPEG includes MPO). Pillow has forty more; each would be one more way in.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
     ".avif", ".heic", ".heif", ".hif")
)  # fmt: skip
_DAMAGED = "The picture file is cut off or damaged: save or download it afresh and try again."

Image.init()  # so that every decoder is known by its name
pillow_heif.register_heif_opener(thumbnails=False)  # libheif keeps to the size in the header, which is checked here
PngImagePlugin.MAX_TEXT_MEMORY = 4_000_000  # characters (up to 4 bytes each) in text chunks; Pillow takes 67 million


@dataclass(frozen=True)
class ImageLimits:
    """What one picture may cost. Together they keep the growth of the process below 150 MB."""

    file_bytes: int = 40_000_000
    pixels: int = 80_000_000
    memory: int = 134_000_000  # bytes that the decoder may need, estimated from the header
    scans: int = 500  # of a progressive JPEG; each costs a pass over all pixels, however few its bytes
    side: int = 1024  # pixels; larger pictures are shrunk to this longer side, keeping the aspect ratio


DEFAULT_LIMITS = ImageLimits()


def load_image(
    source: str | Path | bytes | BinaryIO | Image.Image, limits: ImageLimits = DEFAULT_LIMITS
) -> Image.Image:
    """A picture as 8-bit RGB: upright, on white where it was transparent, the first frame where it moved.

    Greyscale of 16 and 32 bits or floating point is scaled, not clipped. The content decides about the format, not the
    file's name. A streamed source is read from its current position. Raises InputError, whatever the bytes may be.
    """
    if isinstance(source, Image.Image):
        return _guarded(lambda: _from_pillow(source, limits))
    stream = open_untrusted(source, limits.file_bytes, "picture")
    try:
        return _guarded(lambda: _from_stream(stream, limits))
    finally:
        stream.close()


def list_images(folder: str | Path) -> Iterator[Path]:
    """The pictures of a folder by their suffix, sorted by name; hidden files and subfolders are left out.

    Raises InputError at once when there is no such folder or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: name a folder of pictures.")
    found = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise InputError(f"The folder {folder} holds no pictures: {FORMAT_NAMES} files work.")
    return iter(found)


def _guarded(load: Callable[[], Image.Image]) -> Image.Image:
    """Decoders fail on damaged data in many ways (OSError, SyntaxError, struct.error, ...): one sentence for all."""
    try:
        return load()
    except InputError:
        raise
    except MemoryError as error:
        raise InputError("The picture needs more memory than there is: make it smaller and try again.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError("The picture has too many pixels: make it smaller and try again.") from error
    except Exception as error:
        raise InputError(_DAMAGED) from error


def _from_stream(stream: BinaryIO, limits: ImageLimits) -> Image.Image:
    buffered = jpeg_is_buffered(stream)
    stream.seek(0)
    if buffered and stream.read().count(b"\xff\xda") > limits.scans:
        raise InputError(f"The JPEG has more than {limits.scans} scans: save it as a plain (baseline) JPEG.")
    stream.seek(0)
    try:
        image = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        stream.seek(0)
        kind = kind_of_file(stream.read(1024))
        sentence = f"This is not a photo but {kind}: {FORMAT_NAMES} files work." if kind else _DAMAGED
        raise InputError(sentence) from error
    _check_pixels(image, limits)
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        scale = min(1.0, limits.side / max(width, height))
        image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))  # decodes at 1/2, 1/4 or 1/8
    size = file_bytes(stream)
    held = size if isinstance(stream, io.BytesIO) else 0
    if held + decoding_bytes(image, width * height, size, buffered) > limits.memory:
        advice = "make it smaller" + ("" if image.format in ("JPEG", "MPO") else " or save it as a JPEG")
        raise InputError(f"The picture of {width:,} x {height:,} pixels is too large for {image.format}: {advice}.")
    if image.format == "HEIF":
        return _from_heif(stream, limits)
    return _from_pillow(image, limits)


def _check_pixels(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError("The picture has no pixels: choose another one.")
    if width * height > limits.pixels:
        raise InputError(
            f"The picture has {width:,} x {height:,} pixels, more than the {limits.pixels / 1e6:.0f} megapixels that "
            "work: make it smaller and try again."
        )


def _from_pillow(image: Image.Image, limits: ImageLimits) -> Image.Image:
    _check_pixels(image, limits)
    image.load()
    small = _to_small_rgb(image.crop, image.size, image.mode, limits.side)
    return _upright(small, image)


def _from_heif(stream: BinaryIO, limits: ImageLimits) -> Image.Image:
    """Past Pillow, which would copy the decoded picture whole: a phone's 24 megapixels would not fit."""
    stream.seek(0)
    heif = pillow_heif.open_heif(stream, convert_hdr_to_8bit=True)
    pixels = np.asarray(heif[heif.primary_index])  # (h, w) or (h, w, channels), turned upright by libheif

    def crop(box: tuple[int, int, int, int]) -> Image.Image:
        left, top, right, bottom = box
        tile = pixels[top:bottom, left:right]
        return Image.frombytes(heif.mode, (right - left, bottom - top), tile.tobytes())

    return _to_small_rgb(crop, heif.size, heif.mode, limits.side)


_TURNS = {2: Turn.FLIP_LEFT_RIGHT, 3: Turn.ROTATE_180, 4: Turn.FLIP_TOP_BOTTOM, 5: Turn.TRANSPOSE,
          6: Turn.ROTATE_270, 7: Turn.TRANSVERSE, 8: Turn.ROTATE_90}  # fmt: skip


def _upright(small: Image.Image, image: Image.Image) -> Image.Image:
    try:
        return small.transpose(_TURNS[image.getexif().get(ExifTags.Base.Orientation)])
    except Exception:  # no orientation, or damaged notes beside a sound picture
        return small


# --- any colour mode -> RGB --------------------------------------------------------------------------------------

_TILE = 512  # pixels a side, about


def _to_small_rgb(
    crop: Callable[[tuple[int, int, int, int]], Image.Image], size: tuple[int, int], mode: str, side: int
) -> Image.Image:
    """Shrink to at most `side` pixels: by a whole factor tile by tile, the rest with a good filter."""
    factor = max(1, max(size) // side)
    small = Image.new("RGB", tuple(math.ceil(n / factor) for n in size))
    value_range = _value_range(crop, size, mode) if mode[0] in "IF" else None
    for box in _boxes(size, factor * max(1, _TILE // factor)):
        tile = _grey8(crop(box), *value_range) if value_range else _on_white(crop(box))
        small.paste(tile.reduce(factor) if factor > 1 else tile, (box[0] // factor, box[1] // factor))
    small.thumbnail((side, side), reducing_gap=None)
    return small


def _boxes(size: tuple[int, int], edge: int) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    for top in range(0, height, edge):
        for left in range(0, width, edge):
            yield left, top, min(left + edge, width), min(top + edge, height)


def _on_white(tile: Image.Image) -> Image.Image:
    if tile.mode == "RGBa":  # premultiplied
        tile = tile.convert("RGBA")
    if tile.mode in ("RGBA", "LA", "PA") or "transparency" in tile.info:
        tile = tile.convert("RGBA")
        tile = Image.alpha_composite(Image.new("RGBA", tile.size, "white"), tile)
    return tile.convert("RGB")


def _value_range(crop: Callable, size: tuple[int, int], mode: str) -> tuple[float, float]:
    """Black and white of deep greyscale: a customary range if the values fit one, otherwise their own extremes."""
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    arrays = (np.nan_to_num(np.asarray(crop(box))) for box in _boxes(size, _TILE))
    extremes = [(float(a.min()), float(a.max())) for a in arrays]
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    for white in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= white:
            return 0.0, white
    return low, high


def _grey8(tile: Image.Image, low: float, high: float) -> Image.Image:
    values = np.nan_to_num(np.asarray(tile)).astype(np.float64)
    scaled = (values - low) / ((high - low) or 1.0) * 255.0
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")
