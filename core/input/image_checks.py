"""What the first bytes of an untrusted picture tell before anything is decoded: its cost, and what else it may be."""

import struct
from typing import BinaryIO

from PIL import Image

# --- what decoding will cost -------------------------------------------------------------------------------------


def decoding_bytes(image: Image.Image, pixels: int, file_bytes: int, buffered: bool) -> int:
    """Peak memory of `image.load()`, estimated from the header of an image that was only opened.

    The factors were measured, on pictures of 12 megapixels. `pixels` is the count before draft mode, `buffered` the
    answer of `jpeg_is_buffered`. A forged AVIF header can hide a larger picture (up to 0.5 GB); libheif and libwebp
    refuse that themselves.
    """
    if image.format in ("WEBP", "AVIF"):  # canvases, frame, its bytes and Pillow's copy of them
        return 16 * pixels + 2 * file_bytes
    if image.format == "HEIF":  # colour planes and RGB; ten bits go through wider copies
        per_pixel = 5 if image.info.get("chroma") in (420, None) else 9.5
        deep = 1.7 if image.info.get("bit_depth", 8) > 8 else 1
        return round((per_pixel * deep + 5 * ("A" in image.mode)) * pixels) + 2 * file_bytes
    width, height = image.size
    stored = (1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4) * width * height
    if image.format == "PNG":
        return stored + 16_000_000  # text chunks that may come with it, see core.input.image
    if image.format == "TIFF":  # libtiff maps the file; a second copy when it is turned upright
        return 2 * stored + _tiff_block_bytes(image) + file_bytes
    if buffered:  # libjpeg keeps two bytes for every coefficient of every colour until the last scan
        sampling = [h * v for _, h, v, _ in image.layer]
        return stored + 2 * pixels * sum(sampling) // max(sampling)
    return stored


def _tiff_block_bytes(image: Image.Image) -> int:
    """Size of one strip or tile, which libtiff unpacks at once; a tile may be far larger than its picture."""
    tags, compression = image.tag_v2, image.info.get("compression")
    if compression == "raw":
        return 0
    block = tags.get(322, 0) * tags.get(323, 0) or tags[256] * min(tags.get(278, tags[257]), tags[257])
    bits = tags.get(258, (1,))
    depth = max(bits) * max(len(bits), tags.get(277, 1)) / 8
    return round(block * (depth + 6 * ("jpeg" in compression)))


def jpeg_is_buffered(stream: BinaryIO) -> bool:
    """Must a decoder hold the whole JPEG in memory? Yes if the colours do not come together in one single scan."""
    head = stream.read(4)
    if head[:3] != b"\xff\xd8\xff":
        return False
    stream.seek(2)
    colours = 0
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF:
        marker, length = head[1], struct.unpack(">H", head[2:])[0]
        body = stream.read(length - 2) if length > 2 else b""
        if marker in (0xC2, 0xC6, 0xCA, 0xCE):  # start of frame, progressive
            return True
        if marker in (0xC0, 0xC1, 0xC9) and len(body) > 5:  # start of frame, sequential
            colours = body[5]
        if marker == 0xDA and body:  # start of scan
            return body[0] != colours
    return True  # an unusual header: assume the worst


# --- what a refused file seems to be -----------------------------------------------------------------------------

_KINDS = {
    b"%PDF": "a PDF document", b"%!PS": "a PostScript drawing", b"8BPS": "a Photoshop document", b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture", b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture", b"\xff\x0a": "a JPEG XL picture",
    b"\x1a\x45\xdf\xa3": "a video (WebM or Matroska)", b"\0\0\1\xba": "a video (MPEG)",
    b"ID3": "a sound file (MP3)", b"fLaC": "a sound file (FLAC)", b"OggS": "a sound or video file (Ogg)",
    b"PK\3\4": "a ZIP archive or office document", b"\x1f\x8b": "a compressed archive (gzip)",
}  # fmt: skip
_TEXT_KINDS = {"<svg": "an SVG drawing", "<!doctype html": "a web page", "<html": "a web page", "#extm3u": "a playlist"}
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_PICTURE_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def kind_of_file(head: bytes) -> str | None:
    """What a file that no decoder took seems to be, by its first kilobyte, "a video" say; None if a picture."""
    if head[4:8] == b"ftyp":
        return None if head[8:12] in _PICTURE_BRANDS else "a video (MP4 or QuickTime)"
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"WAVE"):
        return "a video (AVI)" if head[8:12] == b"AVI " else "a sound file (WAV)"
    if head.startswith(_PICTURES):
        return None
    return next((name for magic, name in _KINDS.items() if head.startswith(magic)), None) or _kind_of_text(head)


def _kind_of_text(head: bytes) -> str:
    try:
        text = head[:1000].decode("utf-8").lower()
    except UnicodeDecodeError as error:
        text = head[: error.start].decode("utf-8").lower() if error.start > 990 else "\0"  # a character cut in two
    if "\0" in text:
        return "data of an unknown kind"
    return next((kind for mark, kind in _TEXT_KINDS.items() if mark in text), "text")
