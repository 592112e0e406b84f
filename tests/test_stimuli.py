"""Pictures: decoded to one form, and a broken one is named."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neurofit import stimuli
from neurofit.errors import NeurofitError
from neurofit.stimuli import ImageFiles, ImageSource, ImageZip, StimulusSet, decode_image

PICTURE = np.random.default_rng(0).integers(0, 256, size=(6, 9, 3), dtype=np.uint8)


def encode(picture: np.ndarray, *, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format=form)
    return content.getvalue()


def stimulus_set(ids: list[object], images: ImageSource) -> StimulusSet:
    return StimulusSet(name="set", table=pd.DataFrame({"stimulus_id": ids}), images=images, visual_degrees=8.0, duration_ms=100.0)


def one_line(error: pytest.ExceptionInfo[NeurofitError]) -> str:
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_colours_come_back_as_height_width_channel() -> None:
    np.testing.assert_array_equal(decode_image(encode(PICTURE), name="a"), PICTURE)


def test_gray_is_repeated() -> None:
    gray = PICTURE[..., 0]
    np.testing.assert_array_equal(decode_image(encode(gray), name="a"), np.repeat(gray[..., None], 3, axis=2))


def test_transparency_shows_mid_gray() -> None:
    opacity = np.linspace(0, 255, 54).round().astype(np.uint8).reshape(6, 9, 1)
    expected = np.rint((opacity / 255.0) * PICTURE + (1 - opacity / 255.0) * 128)
    for picture in (np.concatenate([PICTURE, opacity], axis=2), np.concatenate([PICTURE[..., :1], opacity], axis=2)):
        shown = expected if picture.shape[2] == 4 else np.repeat(expected[..., :1], 3, axis=2)
        np.testing.assert_array_equal(decode_image(encode(picture), name="a"), shown)


def test_a_transparent_colour_of_a_palette_or_of_rgb_shows_mid_gray() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    rgb = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8))
    for image, transparent in ((palette, 1), (rgb, (40, 50, 60))):
        content = io.BytesIO()
        image.save(content, format="PNG", transparency=transparent)
        assert decode_image(content.getvalue(), name="a").tolist() == [[[10, 20, 30], [128, 128, 128], [70, 80, 90]]]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(form: str) -> None:
    gray = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)  # 65535 / 255 = 257
    assert decode_image(encode(gray, form=form), name="a")[0].tolist() == [[v] * 3 for v in (0, 0, 1, 1, 128, 255)]


SIXTEEN = np.random.default_rng(0).integers(0, 2**16, (5, 7, 4)).astype(np.uint16)
SIXTEEN[0, :4, 0] = [200, 65407, 128, 129]  # of which 8 bits are 1, 255, 0, 1; their upper bytes are 0, 255, 0, 0


def write_png16(values: np.ndarray, *, transparent: list[int] | None = None) -> bytes:
    """Return a PNG of 16 bits (height width channel), each byte the difference to that of the pixel on its left."""
    height, width, n = values.shape
    pixels = np.ascontiguousarray(values, dtype=">u2").view(np.uint8).reshape(height, width, 2 * n)
    rows = np.diff(pixels, axis=1, prepend=np.zeros((height, 1, 2 * n), np.uint8)).reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[n], 0, 0, 0))
    clear = b"" if transparent is None else chunk(b"tRNS", struct.pack(f">{n}H", *transparent))
    data = zlib.compress(b"".join(b"\1" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_tiff16(values: np.ndarray, *, order: str, deflated: bool) -> bytes:
    """Return a TIFF of 16 bits (height width channel) in an order of bytes."""
    height, width, n = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflated else data
    tags = {256: width, 257: height, 258: 0, 259: 8 if deflated else 1, 262: 2, 273: 256, 277: n, 278: height, 279: len(data)}
    tags |= {338: 2} if n == 4 else {}
    tags[258] = 10 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items() if tag != 258)
    bits = struct.pack(f"{order}HHII", 258, 3, n, tags[258])
    entries = entries[:24] + bits + entries[24:] + bytes(4) + struct.pack(f"{order}{n}H", *[16] * n)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return (head + entries).ljust(256, b"\0") + data


@pytest.mark.parametrize(
    ("form", "n_channels"), [("png", 2), *((form, n) for form in ("png", "<", ">", "< deflated", "> deflated") for n in (3, 4))]
)
def test_sixteen_bits_in_colour_are_scaled_and_not_cut(form: str, n_channels: int) -> None:
    values = SIXTEEN[..., [0, 3] if n_channels == 2 else slice(n_channels)]
    content = write_png16(values) if form == "png" else write_tiff16(values, order=form[0], deflated="deflated" in form)
    eight = np.rint(values / 257)
    colours = np.repeat(eight[..., :1], 3, axis=2) if n_channels == 2 else eight[..., :3]
    opacity = 1.0 if n_channels == 3 else eight[..., -1:] / 255
    assert np.rint(values[0, :4, 0] / 257).tolist() == [1, 255, 0, 1]
    np.testing.assert_array_equal(decode_image(content, name="a"), np.rint(128 + (colours - 128) * opacity))


def test_a_transparent_colour_of_sixteen_bits_is_one_and_not_its_neighbours() -> None:
    values = np.array([[[1000, 2000, 3000], [1000, 2000, 3001]]], np.uint16)
    assert decode_image(write_png16(values, transparent=[1000, 2000, 3000]), name="a").tolist() == [[[128] * 3, [4, 8, 12]]]


def test_a_picture_of_sixteen_bits_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, format="PNG", exif=exif)
    (length,) = struct.unpack_from(">I", content.getvalue(), at := content.getvalue().index(b"eXIf") - 4)
    chunk, png = content.getvalue()[at : at + 12 + length], write_png16(SIXTEEN[..., :3])
    turned = np.rot90(np.rint(SIXTEEN[..., :3] / 257), -1)
    np.testing.assert_array_equal(decode_image(png[:33] + chunk + png[33:], name="a"), turned)


def test_big_endian_sixteen_bits_are_read() -> None:
    tags = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 4096), (277, 3, 1), (278, 3, 1), (279, 4, 4)]
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + struct.pack(">HH" if kind == 3 else ">I", *([n, 0] if kind == 3 else [n]))
        for tag, kind, n in tags
    )
    tiff = (b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4)).ljust(4096, b"\0") + struct.pack(">HH", 257, 65535)
    assert decode_image(tiff, name="a")[..., 0].tolist() == [[1, 255]]


def test_pixels_of_32_bits_are_refused() -> None:
    for dtype in (np.int32, np.float32):
        with pytest.raises(NeurofitError, match=r"x\.tif is not a readable picture: its pixels have 32 bits"):
            decode_image(encode(np.ones((2, 2), dtype), form="TIFF"), name="x.tif")


def test_cmyk_and_black_and_white_become_rgb() -> None:
    cmyk = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), mode="CMYK")
    content = io.BytesIO()
    cmyk.save(content, format="TIFF")
    assert decode_image(content.getvalue(), name="a").tolist() == [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]
    assert decode_image(encode(np.array([[True, False]])), name="a").tolist() == [[[255] * 3, [0] * 3]]


def test_a_photograph_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, format="PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(content.getvalue(), name="a"), np.rot90(PICTURE, -1))


def test_a_format_that_says_nothing_of_its_bytes_is_read() -> None:
    qoi = b"qoif" + struct.pack(">IIBB", 2, 1, 3, 0) + b"\xfe\x0a\x14\x1e\xfe\xc8\xd2\xdc" + bytes(7) + b"\1"
    assert decode_image(qoi, name="a").tolist() == [[[10, 20, 30], [200, 210, 220]]]


def test_of_an_animation_the_first_frame_is_taken() -> None:
    content = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (0, 255)]
    frames[0].save(content, format="GIF", save_all=True, append_images=frames[1:])
    assert decode_image(content.getvalue(), name="a").max() == 0


def test_a_decompression_bomb_is_refused_before_it_is_decompressed() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (9_000, 60_000):  # ours, and above what Pillow refuses by itself
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        with pytest.raises(NeurofitError, match=r"bomb\.png is not a readable picture"):
            decode_image(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))), name="bomb.png")


def test_a_zip_bomb_is_refused_before_it_is_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurofit.stimuli.MAX_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(2 * 10**6))
    with pytest.raises(NeurofitError, match=r"0\.png in .*images\.zip would be 2 MB, over 1"):
        ImageZip(tmp_path / "images.zip", ["0.png"])[0]


def test_palette_and_jpeg_are_read() -> None:
    assert decode_image(encode(PICTURE, form="GIF"), name="a").shape == PICTURE.shape
    assert decode_image(encode(PICTURE, form="JPEG"), name="a").dtype == np.uint8


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of broken TIFFs before it fails
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
@given(kept=st.floats(0, 0.5))
def test_a_truncated_picture_is_named(form: str, kept: float) -> None:
    content = encode(np.tile(PICTURE, (8, 8, 1)), form=form)
    with pytest.raises(NeurofitError, match=r"face\.png is not a readable picture"):
        decode_image(content[: int(kept * len(content))], name="face.png")


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of broken TIFFs before it fails
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\x00", b"BM"]))
def test_rubbish_is_never_anything_but_our_error(content: bytes, start: bytes) -> None:
    try:
        decoded = decode_image(start + content, name="x")
    except NeurofitError as error:
        assert str(error).startswith("Stimulus image x is not a readable picture")  # noqa: PT017
    else:
        assert decoded.shape[2] == 3


def test_files_are_decoded_when_asked_for_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(encode(PICTURE))
    (tmp_path / "1.png").write_bytes(encode(PICTURE)[:50])
    files = ImageFiles([tmp_path / f"{i}.png" for i in range(3)])
    assert len(files) == 3
    np.testing.assert_array_equal(files[0], PICTURE)
    with pytest.raises(NeurofitError, match=r"1\.png is not a readable picture") as caught:
        files[1]
    one_line(caught)
    with pytest.raises(NeurofitError, match=r"2\.png does not exist") as caught:
        files[2]
    one_line(caught)


def test_the_same_bytes_are_decoded_once_whatever_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(stimuli, "_kept", stimuli._Kept())

    def counted(content: bytes, *, name: str) -> np.ndarray:
        decoded.append(name)
        return decode_image(content, name=name)

    monkeypatch.setattr(stimuli, "decode_image", counted)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, picture in zip(paths, (first, first, second), strict=True):
        path.write_bytes(encode(picture))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(paths[0], "d.png")
    for _ in range(2):
        shown = [ImageFiles(paths)[row] for row in range(3)] + [ImageZip(tmp_path / "all.zip", ["d.png"])[0]]
        for picture, truth in zip(shown, (first, first, second, first), strict=True):
            np.testing.assert_array_equal(picture, truth)
            assert not picture.flags.writeable
    assert decoded == [str(paths[0]), str(paths[2])]
    paths[0].write_bytes(encode(second))  # the same name, another picture
    np.testing.assert_array_equal(ImageFiles(paths)[0], second)
    assert len(decoded) == 2
    ImageFiles(paths, keep=False)[0]
    assert len(decoded) == 3


def test_pictures_are_kept_while_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stimuli._Kept()
    monkeypatch.setattr(stimuli, "KEPT_BYTES", 3 * 8 * 8 * 2)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for _ in range(2):
        for picture in pictures:
            np.testing.assert_array_equal(kept.decode(encode(picture), name="a"), picture)
    assert (len(kept.pictures), kept.n_bytes) == (2, 3 * 8 * 8 * 2)


def test_a_zip_is_read_where_it_lies(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a/0.png", encode(PICTURE))
        archive.writestr("a/1.png", b"no picture")
    images = ImageZip(tmp_path / "images.zip", ["a/0.png", "a/1.png", "a/2.png"])
    assert len(images) == 3
    np.testing.assert_array_equal(images[0], PICTURE)
    with pytest.raises(NeurofitError, match=r"a/1\.png in .*images\.zip is not a readable picture"):
        images[1]
    with pytest.raises(NeurofitError, match=r"a/2\.png is not in .*images\.zip"):
        images[2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_in_a_zip_is_found(tmp_path: Path, method: int) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("0.bmp", encode(np.tile(PICTURE, (8, 8, 1)), form="BMP"))
    whole = path.read_bytes()
    for position in range(40, 300, 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(NeurofitError, match=r"images\.zip"):
            ImageZip(path, ["0.bmp"])[0]


def test_a_zip_that_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    for name in ("cut.zip", "missing.zip"):
        with pytest.raises(NeurofitError, match=f"Cannot read .*{name} as a zip archive") as caught:
            ImageZip(tmp_path / name, ["0.png"])[0]
        one_line(caught)


def test_a_set_knows_its_ids_in_the_order_of_its_images() -> None:
    stimuli = stimulus_set(["b", "a"], [PICTURE, PICTURE])
    assert len(stimuli) == 2
    assert stimuli.ids.tolist() == ["b", "a"]


@pytest.mark.parametrize("rows", [[3, 1], [2, 0, 3, 1], [1]])
def test_a_part_has_each_picture_in_the_row_of_its_id(rows: list[int]) -> None:
    planted = [np.full((2, 2, 3), 10 * number, np.uint8) for number in range(4)]
    whole = stimulus_set([f"level {10 * number}" for number in range(4)], planted)
    part = whole.only(rows)
    assert part.ids.tolist() == [f"level {10 * row}" for row in rows]
    levels = [int(part.images[row][0, 0, 0]) for row in range(len(part))]
    assert levels == [10 * row for row in rows]
    last = part.only([len(rows) - 1])  # a part of a part
    assert last.ids.tolist() == [f"level {10 * rows[-1]}"]
    assert int(last.images[0][0, 0, 0]) == 10 * rows[-1]


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(NeurofitError, match="'a' occurs more than once") as caught:
        stimulus_set(["a", "b", "a"], [PICTURE] * 3)
    one_line(caught)


def test_missing_ids_are_refused() -> None:
    with pytest.raises(NeurofitError, match="row 1 has none") as caught:
        stimulus_set(["a", None], [PICTURE] * 2)
    one_line(caught)


def test_a_wrong_number_of_images_is_refused() -> None:
    with pytest.raises(NeurofitError, match="2 rows but 1 images") as caught:
        stimulus_set(["a", "b"], [PICTURE])
    one_line(caught)


def test_a_table_without_ids_is_refused() -> None:
    with pytest.raises(NeurofitError, match="needs a column stimulus_id; it has image_id, 0") as caught:
        StimulusSet(name="set", table=pd.DataFrame(columns=["image_id", 0]), images=[], visual_degrees=8.0, duration_ms=100.0)
    one_line(caught)
