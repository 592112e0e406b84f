"""Images are decoded to one form, and a broken one is named."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import decode_image

Encode = Callable[..., bytes]
PICTURE = np.random.default_rng(0).integers(0, 256, size=(6, 9, 3), dtype=np.uint8)


def test_colours_come_back_as_height_width_channel(encode: Encode) -> None:
    np.testing.assert_array_equal(decode_image(encode(PICTURE), name="a"), PICTURE)


def test_gray_is_repeated(encode: Encode) -> None:
    gray = PICTURE[..., 0]
    np.testing.assert_array_equal(
        decode_image(encode(gray), name="a"), np.repeat(gray[..., None], 3, axis=2)
    )


def test_transparency_shows_mid_gray(encode: Encode) -> None:
    opacity = np.linspace(0, 255, 54).round().astype(np.uint8).reshape(6, 9, 1)
    expected = np.rint((opacity / 255.0) * PICTURE + (1 - opacity / 255.0) * 128)
    for picture in (
        np.concatenate([PICTURE, opacity], axis=2),
        np.concatenate([PICTURE[..., :1], opacity], axis=2),
    ):
        shown = expected if picture.shape[2] == 4 else np.repeat(expected[..., :1], 3, axis=2)
        np.testing.assert_array_equal(decode_image(encode(picture), name="a"), shown)


def test_a_transparent_colour_of_a_palette_or_of_rgb_shows_mid_gray() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    rgb = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8))
    for image, transparent in ((palette, 1), (rgb, (40, 50, 60))):
        content = io.BytesIO()
        image.save(content, format="PNG", transparency=transparent)
        assert decode_image(content.getvalue(), name="a").tolist() == [
            [[10, 20, 30], [128, 128, 128], [70, 80, 90]]
        ]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(encode: Encode, form: str) -> None:
    gray = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)  # 65535 / 255 = 257
    assert decode_image(encode(gray, form=form), name="a")[0].tolist() == [
        [v] * 3 for v in (0, 0, 1, 1, 128, 255)
    ]


SIXTEEN = np.random.default_rng(0).integers(0, 2**16, (5, 7, 4)).astype(np.uint16)
# In 8 bits these are 1, 255, 0, 1; their upper bytes are 0, 255, 0, 0.
SIXTEEN[0, :4, 0] = [200, 65407, 128, 129]


def write_png16(values: np.ndarray, *, transparent: list[int] | None = None) -> bytes:
    """Return a PNG of 16 bits (height width channel), bytes as differences to the left pixel."""
    height, width, n = values.shape
    pixels = np.ascontiguousarray(values, dtype=">u2").view(np.uint8).reshape(height, width, 2 * n)
    rows = np.diff(pixels, axis=1, prepend=np.zeros((height, 1, 2 * n), np.uint8)).reshape(
        height, -1
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[n], 0, 0, 0)
    )
    clear = b"" if transparent is None else chunk(b"tRNS", struct.pack(f">{n}H", *transparent))
    data = zlib.compress(b"".join(b"\1" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_tiff16(values: np.ndarray, *, order: str, deflated: bool) -> bytes:
    """Return a TIFF of 16 bits (height width channel) in an order of bytes."""
    height, width, n = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflated else data
    tags = {
        256: width,
        257: height,
        258: 0,
        259: 8 if deflated else 1,
        262: 2,
        273: 256,
        277: n,
        278: height,
        279: len(data),
    }
    tags |= {338: 2} if n == 4 else {}
    tags[258] = 10 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items() if tag != 258
    )
    bits = struct.pack(f"{order}HHII", 258, 3, n, tags[258])
    entries = entries[:24] + bits + entries[24:] + bytes(4) + struct.pack(f"{order}{n}H", *[16] * n)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return (head + entries).ljust(256, b"\0") + data


@pytest.mark.parametrize(
    ("form", "n_channels"),
    [
        ("png", 2),
        *((form, n) for form in ("png", "<", ">", "< deflated", "> deflated") for n in (3, 4)),
    ],
)
def test_sixteen_bits_in_colour_are_scaled_and_not_cut(form: str, n_channels: int) -> None:
    values = SIXTEEN[..., [0, 3] if n_channels == 2 else slice(n_channels)]
    content = (
        write_png16(values)
        if form == "png"
        else write_tiff16(values, order=form[0], deflated="deflated" in form)
    )
    eight = np.rint(values / 257)
    colours = np.repeat(eight[..., :1], 3, axis=2) if n_channels == 2 else eight[..., :3]
    opacity = 1.0 if n_channels == 3 else eight[..., -1:] / 255
    assert np.rint(values[0, :4, 0] / 257).tolist() == [1, 255, 0, 1]
    np.testing.assert_array_equal(
        decode_image(content, name="a"), np.rint(128 + (colours - 128) * opacity)
    )


def test_a_transparent_colour_of_sixteen_bits_is_one_and_not_its_neighbours() -> None:
    values = np.array([[[1000, 2000, 3000], [1000, 2000, 3001]]], np.uint16)
    assert decode_image(write_png16(values, transparent=[1000, 2000, 3000]), name="a").tolist() == [
        [[128] * 3, [4, 8, 12]]
    ]


def test_a_picture_of_sixteen_bits_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, format="PNG", exif=exif)
    (length,) = struct.unpack_from(
        ">I", content.getvalue(), at := content.getvalue().index(b"eXIf") - 4
    )
    chunk, png = content.getvalue()[at : at + 12 + length], write_png16(SIXTEEN[..., :3])
    turned = np.rot90(np.rint(SIXTEEN[..., :3] / 257), -1)
    np.testing.assert_array_equal(decode_image(png[:33] + chunk + png[33:], name="a"), turned)


def test_big_endian_sixteen_bits_are_read() -> None:
    tags = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 4096),
        (277, 3, 1),
        (278, 3, 1),
        (279, 4, 4),
    ]
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + struct.pack(">HH" if kind == 3 else ">I", *([n, 0] if kind == 3 else [n]))
        for tag, kind, n in tags
    )
    tiff = (b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4)).ljust(
        4096, b"\0"
    ) + struct.pack(">HH", 257, 65535)
    assert decode_image(tiff, name="a")[..., 0].tolist() == [[1, 255]]


def test_pixels_of_32_bits_are_refused(encode: Encode) -> None:
    for dtype in (np.int32, np.float32):
        with pytest.raises(NeurofitError, match=r"x\.tif cannot be read: its pixels have 32 bits"):
            decode_image(encode(np.ones((2, 2), dtype), form="TIFF"), name="x.tif")


def test_cmyk_and_black_and_white_become_rgb(encode: Encode) -> None:
    cmyk = Image.fromarray(
        np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), mode="CMYK"
    )
    content = io.BytesIO()
    cmyk.save(content, format="TIFF")
    assert decode_image(content.getvalue(), name="a").tolist() == [
        [[255, 255, 255], [0, 255, 255], [0, 0, 0]]
    ]
    assert decode_image(encode(np.array([[True, False]])), name="a").tolist() == [
        [[255] * 3, [0] * 3]
    ]


def test_a_photograph_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, format="PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(content.getvalue(), name="a"), np.rot90(PICTURE, -1))


def test_a_format_that_is_not_stated_is_refused() -> None:
    qoi = (
        b"qoif"
        + struct.pack(">IIBB", 2, 1, 3, 0)
        + b"\xfe\x0a\x14\x1e\xfe\xc8\xd2\xdc"
        + bytes(7)
        + b"\1"
    )
    with pytest.raises(NeurofitError, match=r"its format is .*QOI; known formats are PNG"):
        decode_image(qoi, name="a")


def test_of_an_animation_the_first_frame_is_taken() -> None:
    content = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (0, 255)]
    frames[0].save(content, format="GIF", save_all=True, append_images=frames[1:])
    assert decode_image(content.getvalue(), name="a").max() == 0


def test_a_decompression_bomb_is_refused_before_it_is_decompressed() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (9_000, 60_000):  # ours, and above what Pillow refuses by itself
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        with pytest.raises(NeurofitError, match=r"bomb\.png cannot be read"):
            decode_image(
                b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))),
                name="bomb.png",
            )


def test_palette_and_jpeg_are_read(encode: Encode) -> None:
    assert decode_image(encode(PICTURE, form="GIF"), name="a").shape == PICTURE.shape
    assert decode_image(encode(PICTURE, form="JPEG"), name="a").dtype == np.uint8


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of broken TIFFs before it fails
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
@given(kept=st.floats(0, 0.5))
def test_a_truncated_picture_is_named(encode: Encode, form: str, kept: float) -> None:
    content = encode(np.tile(PICTURE, (8, 8, 1)), form=form)
    with pytest.raises(NeurofitError, match=r"face\.png cannot be read"):
        decode_image(content[: int(kept * len(content))], name="face.png")


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of broken TIFFs before it fails
@given(
    content=st.binary(max_size=200),
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\x00", b"BM"]
    ),
)
def test_rubbish_is_never_anything_but_our_error(content: bytes, start: bytes) -> None:
    try:
        decoded = decode_image(start + content, name="x")
    except NeurofitError as error:
        assert str(error).startswith("Stimulus image x cannot be read")  # noqa: PT017
    else:
        assert decoded.shape[2] == 3


STATED = {"PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF"}
"""Pillow's names of the formats that are read."""


def test_only_stated_formats_are_opened_and_others_are_named(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.init()
    opened: list[str] = []
    for name, (factory, accept) in list(Image.OPEN.items()):

        def spy(
            *args: object, name: str = name, factory: Callable[..., object] = factory
        ) -> object:
            opened.append(name)
            return factory(*args)

        monkeypatch.setitem(Image.OPEN, name, (spy, accept))
    refused = []
    for form in sorted({"EPS", *Image.SAVE} - {"PDF"}):
        content = io.BytesIO()
        try:
            Image.fromarray(PICTURE).save(content, form)
        except (OSError, ValueError, TypeError):  # not a format of colours, or written elsewhere
            continue
        opened.clear()
        if form in STATED or content.getvalue()[:2] in (b"\xff\xd8", b"BM"):
            assert decode_image(content.getvalue(), name="a").shape == PICTURE.shape, form
        else:
            with pytest.raises(NeurofitError, match=r"its format is .*; known formats are PNG"):
                decode_image(content.getvalue(), name="a")
            assert not opened
            refused.append(form)
        assert set(opened) <= STATED
    assert {"EPS", "ICNS", "ICO", "TGA"} <= set(refused)
    for start, form in ((b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"), (b"8BPS\0\1", "PSD")):
        with pytest.raises(NeurofitError, match=f"its format is {form}; known formats are PNG"):
            decode_image(start.ljust(64), name="a")
