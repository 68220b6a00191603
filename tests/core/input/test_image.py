"""Pictures and text from strangers: served correctly or refused with one sentence, within the memory allowed."""

import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from skimage import data

from core.errors import InputError
from core.input.image import ImageLimits, list_images, load_image
from core.input.text import clean_text
from tests.bad_input import BAD_IMAGES, encode, exif_rotated, heic, quarters

CORNERS = {"red": (40, 30), "lime": (120, 30), "blue": (40, 90), "white": (120, 90)}
FAST = {"preset": "ultrafast"}  # of the HEVC encoder
COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def assert_quarters(photo: Image.Image, scale: float = 1.0) -> None:
    assert photo.mode == "RGB"
    assert photo.size == (round(160 * scale), round(120 * scale))
    for name, (x, y) in CORNERS.items():
        pixel = photo.getpixel((round(x * scale), round(y * scale)))
        assert pixel == pytest.approx(COLOURS[name], abs=12), name


@pytest.mark.parametrize("case", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_served_or_refused_by_name(case, tmp_path):
    path = case.write(tmp_path)
    if case.refusal is None:
        photo = load_image(path)
        assert photo.mode == "RGB"
        assert max(photo.size) <= ImageLimits().side
    else:
        with pytest.raises(InputError) as caught:
            load_image(path)
        sentence = str(caught.value)
        assert case.refusal in sentence
        assert sentence[0].isupper() or sentence.startswith(str(tmp_path))
        assert sentence.endswith(".")


# --- the right pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["png_named_jpg", "jpeg_named_png", "animated_gif", "animated_webp", "cmyk_jpeg", "exif_rotated", "heic_photo"],
)
def test_colours_stand_where_they_belong(name, tmp_path):
    assert_quarters(load_image(BAD_IMAGES[name].write(tmp_path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_every_exif_orientation_is_undone(file_format, orientation):
    turn = Image.Transpose
    inverse = [None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE,
               turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270][orientation - 1]  # fmt: skip
    stored = quarters() if inverse is None else quarters().transpose(inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if file_format == "HEIF":  # as bytes, so that the encoder writes the turn where HEIF keeps it
        content = heic(stored, exif=exif.tobytes(), quality=95)
    else:
        content = encode(stored, file_format, exif=exif, **({} if file_format in ("PNG", "TIFF") else {"quality": 95}))
    assert_quarters(load_image(content))


def test_damaged_exif_does_not_refuse_a_sound_photo():
    damaged = b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20)
    assert_quarters(load_image(encode(quarters(), "JPEG", exif=damaged, quality=95)))


def rgba_half_red() -> Image.Image:
    return Image.new("RGBA", (40, 20), (255, 0, 0, 128))


TRANSPARENT = {
    "RGBA png": (encode(rgba_half_red(), "PNG"), (255, 127, 127)),
    "RGBA webp": (encode(rgba_half_red(), "WEBP", lossless=True), (255, 127, 127)),
    "RGBA avif": (encode(rgba_half_red(), "AVIF", quality=100), (255, 127, 127)),
    "RGBA heic": (heic(rgba_half_red(), quality=-1, chroma=444), (255, 127, 127)),
    "LA png": (encode(Image.new("LA", (40, 20), (0, 128)), "PNG"), (127, 127, 127)),
    "RGB with a transparent colour": (encode(Image.new("RGB", (40, 20), "red"), "PNG", transparency=(255, 0, 0)),
                                      (255, 255, 255)),
    "grey with a transparent level": (encode(Image.new("L", (40, 20), 7), "PNG", transparency=7), (255, 255, 255)),
    "black and white with transparent black": (encode(Image.new("1", (40, 20), 0), "PNG", transparency=0),
                                               (255, 255, 255)),
    "palette gif": (encode(Image.new("P", (40, 20), 0), "GIF", transparency=0), (255, 255, 255)),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_transparency_lies_on_white(content, expected):
    assert load_image(content).getpixel((20, 10)) == pytest.approx(expected, abs=3)


def test_palette_with_graded_alpha_given_as_an_image():
    photo = Image.new("PA", (4, 4))
    photo.putpalette([200, 0, 0] * 256)
    photo.putalpha(0)
    assert load_image(photo).getpixel((1, 1)) == (255, 255, 255)


def test_transparency_stays_white_when_a_large_picture_is_shrunk():
    photo = Image.new("RGBA", (3000, 2000), (0, 0, 0, 0))
    photo.paste((255, 0, 0, 255), (0, 0, 1500, 2000))
    small = load_image(photo)
    assert small.size == (1024, 683)
    assert small.getpixel((100, 100)) == (255, 0, 0)
    assert small.getpixel((900, 100)) == (255, 255, 255)


def test_16_bit_greyscale_is_scaled_not_clipped(tmp_path):
    row = np.asarray(load_image(BAD_IMAGES["grey_16_bit_png"].write(tmp_path)))[60, :, 0]
    assert row == pytest.approx(np.linspace(0, 255, 160), abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-1e6, 0.0, 1e6]], np.float32), [0, 128, 255]),
        (np.array([[0.0, np.nan, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 2**15, 2**16 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**29, 2**30]], np.int32), [0, 128, 255]),
    ],
)
def test_deep_greyscale_is_scaled(values, expected):
    photo = load_image(encode(Image.fromarray(values), "TIFF"))
    assert np.asarray(photo)[0, :, 0] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("deep_mode", ["RGB;16", "I;16"])
def test_ten_bit_heic(deep_mode):
    channels = 3 if deep_mode == "RGB;16" else 1
    pixels = np.full((64, 64, channels), 32768, np.uint16)
    buffer = io.BytesIO()
    pillow_heif.from_bytes(deep_mode, (64, 64), pixels.tobytes()).save(buffer, quality=95)
    assert load_image(buffer.getvalue()).getpixel((30, 30)) == pytest.approx((128,) * 3, abs=4)


def test_a_large_photo_keeps_its_aspect_ratio_and_its_colours():
    large = quarters(160 * 20, 120 * 20)
    for content in (encode(large, "JPEG"), encode(large, "PNG"), heic(large, enc_params=FAST), large):
        assert_quarters(load_image(content), scale=1024 / 160)


def test_shrinking_agrees_with_pillow():
    photo = Image.fromarray(data.astronaut()).resize((1500, 1100))
    ours = np.asarray(load_image(encode(photo, "PNG")), dtype=float)
    pillows = photo.copy()
    pillows.thumbnail((1024, 1024))
    assert np.abs(ours - np.asarray(pillows, dtype=float)).mean() < 1.5


def test_a_small_photo_is_not_touched():
    pixels = data.astronaut()
    assert np.array_equal(np.asarray(load_image(encode(Image.fromarray(pixels), "PNG"))), pixels)


# --- the ways a picture is given ---------------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same_picture(tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(exif_rotated())
    sources = [str(path), path, path.read_bytes(), bytearray(path.read_bytes()), io.BytesIO(path.read_bytes())]
    for source in sources:
        assert_quarters(load_image(source))
    with path.open("rb") as file, Image.open(path) as image:
        assert_quarters(load_image(file))
        assert not file.closed
        assert_quarters(load_image(image))


def test_an_image_that_was_given_is_not_changed():
    photo = rgba_half_red()
    load_image(photo)
    assert photo.mode == "RGBA"
    assert photo.getpixel((0, 0)) == (255, 0, 0, 128)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "No photo was given"),
        ("", "No photo was given"),
        (b"", "empty"),
        (io.StringIO("text"), "binary mode"),
        (12, "int is not a picture"),
        ("a\0b.jpg", "cannot be opened"),
        ("x" * 5000, "cannot be opened"),
        ("/dev/zero", "not a regular file"),
        (Image.new("RGB", (0, 10)), "no pixels"),
        (Image.new("1", (9_000, 9_000)), "80 megapixels"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_file_is_refused(source, words):
    with pytest.raises(InputError, match=words):
        load_image(source)


def test_the_limits_hold():
    photo = encode(quarters(), "PNG")
    with pytest.raises(InputError, match="larger than"):
        load_image(photo, ImageLimits(file_bytes=len(photo) - 1))
    with pytest.raises(InputError, match="160 x 120"):
        load_image(photo, ImageLimits(pixels=160 * 120 - 1))
    with pytest.raises(InputError, match="too large for PNG"):
        load_image(photo, ImageLimits(memory=4 * 160 * 120 - 1))
    assert_quarters(load_image(photo, ImageLimits(side=80)), scale=0.5)


# --- whatever the bytes ------------------------------------------------------------------------------------------


def mutate(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Cut off, flip bits, swap the header for another format's, or repeat and drop a stretch."""
    damaged = bytearray(content)
    match rng.integers(4):
        case 0:
            del damaged[rng.integers(1, len(damaged)) :]
        case 1:
            for place in rng.integers(len(damaged), size=rng.integers(1, 20)):
                damaged[place] ^= 1 << rng.integers(8)
        case 2:
            length = rng.integers(4, 64)
            damaged[:length] = other[:length]
        case 3:
            start, stop = sorted(rng.integers(len(damaged), size=2))
            damaged[start:stop] = damaged[start:stop] * int(rng.integers(3))
    return bytes(damaged)


def test_300_mutations_give_a_picture_or_an_input_error():
    photo = Image.fromarray(data.astronaut()).resize((96, 64))
    formats = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
    valid = [encode(photo, name) for name in formats] + [heic(photo)]
    rng = np.random.default_rng(0)
    outcomes = []
    for turn in range(300):
        content = mutate(valid[turn % len(valid)], rng, other=valid[rng.integers(len(valid))])
        try:
            loaded = load_image(content)
        except InputError:
            outcomes.append(False)
        else:
            assert loaded.mode == "RGB"
            loaded.tobytes()
            outcomes.append(True)
    assert 30 < sum(outcomes) < 270  # both ways were taken


# --- folders and text --------------------------------------------------------------------------------------------


def test_list_images_is_sorted_and_leaves_out_the_rest(tmp_path):
    for name in ("b.JPG", "a.heic", ".hidden.jpg", "notes.txt", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.heic", "b.JPG", "c.png"]


def test_list_images_names_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        list_images(tmp_path / "nowhere")


def test_clean_text_normalises_and_drops_control_characters():
    assert clean_text("  Cafe\u0301\0 \x07au\r\nlait\t! \ud800\n", 50) == "Caf\u00e9 au\nlait\t!"
    assert clean_text("\ufeffhello", 5) == "hello"
    assert clean_text("\N{FAMILY} \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", 50)[-5] == "\u062e"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "question is missing"),
        (7, "question must be a string"),
        ("", "question is empty"),
        (" \n\t", "question is empty"),
        ("\0\x01", "question is empty"),
        ("x" * 11, "11 characters, more than the 10"),
    ],
)
def test_clean_text_names_the_problem(text, words):
    with pytest.raises(InputError, match=words):
        clean_text(text, 10, what="question")


def test_clean_text_takes_as_many_characters_as_it_says():
    assert clean_text("x" * 10, 10) == "x" * 10
