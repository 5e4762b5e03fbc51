"""Covers rtcctl/media/picture.py: what a test picture says is read back, or nothing is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.media.picture import (
    COLUMNS,
    MARK_ROWS,
    MAX_HEIGHT,
    MAX_WIDTH,
    PictureMark,
    draw_frame,
    draw_still,
    read_mark,
    size_problem,
)

SIZES = [(160, 90), (320, 180), (426, 240), (640, 360), (1280, 720), (720, 1280), (480, 480), (1920, 1080)]
MARK = PictureMark(123_456, 987_654_321_012, 0xBEEF, "h")

MARKS = st.builds(
    PictureMark,
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 48) - 1),
    st.integers(0, (1 << 16) - 1),
    st.sampled_from(["", "f", "h", "q", "~"]),
)


def picture(width: int, height: int, mark: PictureMark = MARK, *, stride: int | None = None) -> bytearray:
    """Luma of a whole picture."""
    stride = stride or width
    luma = bytearray(stride * height)
    blue, red = bytearray(stride // 2 * (height // 2)), bytearray(stride // 2 * (height // 2))
    draw_still(luma, blue, red, stride, stride // 2, width, height)
    draw_frame(luma, stride, width, height, mark)
    assert (len(luma), len(blue), len(red)) == (stride * height, *[stride // 2 * (height // 2)] * 2)
    return luma


def scaled(luma: bytearray, width: int, height: int, to_width: int, to_height: int) -> bytes:
    """Nearest neighbour, which is the roughest there is."""
    return bytes(
        luma[y * height // to_height * width + x * width // to_width] for y in range(to_height) for x in range(to_width)
    )


@given(MARKS)
@settings(deadline=None)
def test_a_mark_is_read_back(mark: PictureMark):
    """Whatever a picture says, at the smallest size."""
    assert read_mark(picture(160, 90, mark), 160, 160, 90) == mark


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_reads_at_any_stride(width: int, height: int):
    """Lines may be longer than the picture is wide, as decoders have it."""
    assert read_mark(picture(width, height), width, width, height) == MARK
    stride = width + 64
    luma = picture(width, height, stride=stride)
    assert read_mark(memoryview(luma), stride, width, height) == MARK


@pytest.mark.parametrize(("width", "height"), [(160, 90), (1280, 720), (720, 1280)])
@pytest.mark.parametrize("percent", [50, 67, 75, 110, 150])
def test_a_scaled_picture_reads(width: int, height: int, percent: int):
    """Down to half of the smallest that is made."""
    size = width * percent // 100, height * percent // 100
    assert read_mark(scaled(picture(width, height), width, height, *size), size[0], *size) == MARK


def test_a_frame_differs_from_the_one_before_only_where_it_moves():
    """Drawing a frame over another leaves nothing of it behind: mark, box and noise."""
    luma = picture(320, 180, PictureMark(1, 2, 3, "f"))
    draw_frame(luma, 320, 320, 180, PictureMark(77, 5, 6, "q"))
    assert luma == picture(320, 180, PictureMark(77, 5, 6, "q"))
    assert picture(320, 180, PictureMark(77)) != picture(320, 180, PictureMark(78))


def test_the_box_crosses_the_picture_and_comes_back():
    """Below the mark something moves, one way and the other."""

    def left_edge(number: int) -> int:
        luma = picture(320, 180, PictureMark(number))
        line = luma[(MARK_ROWS + 2) * 16 * 320 :][:320]
        return line.index(235)

    assert [left_edge(number) for number in (0, 60, 120, 180, 240)] == [0, 144, 288, 144, 0]


@pytest.mark.parametrize(
    ("width", "height", "word"),
    [(158, 90, "small"), (160, 88, "small"), (321, 180, "odd"), (320, 181, "odd"), (MAX_WIDTH + 2, 720, "large")],
)
def test_sizes_that_are_refused_say_why(width: int, height: int, word: str):
    """Too small to be read back, odd, or too large."""
    problem = size_problem(width, height)
    assert problem is not None
    assert word in problem
    assert f"{width}x{height}" in problem
    assert size_problem(160, 90) is size_problem(MAX_WIDTH, MAX_HEIGHT) is None


@pytest.mark.parametrize("bit", range(COLUMNS * MARK_ROWS))
def test_one_wrong_cell_is_no_mark(bit: int):
    """Each cell counts: with any of them inverted, nothing is read."""
    luma = picture(160, 90)
    row, column = divmod(bit, COLUMNS)
    for y in range(row * 8, row * 8 + 8):
        for x in range(column * 8, column * 8 + 8):
            luma[y * 160 + x] = 255 - luma[y * 160 + x]
    assert read_mark(luma, 160, 160, 90) is None


def test_two_pictures_mixed_are_no_mark():
    """A decoder that lost data shows parts of two frames: never a number that is neither."""
    rng = random.Random(8)
    first, second = picture(160, 90, PictureMark(5, 1000, 7)), picture(160, 90, PictureMark(6, 34_333, 7))
    read = set()
    for _ in range(500):
        luma = bytearray(first)
        for row in range(MARK_ROWS):
            for column in rng.sample(range(COLUMNS), rng.randint(0, COLUMNS)):
                for y in range(row * 8, row * 8 + 8):
                    at = y * 160 + column * 8
                    luma[at : at + 8] = second[at : at + 8]
        read.add(read_mark(luma, 160, 160, 90))
    assert read <= {None, PictureMark(5, 1000, 7), PictureMark(6, 34_333, 7)}
    assert None in read


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 500), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_what_is_no_test_picture_says_nothing(width: int, height: int, stride: int, rng: random.Random):
    """Noise and single colours of any size, and buffers that are too short."""
    assert read_mark(rng.randbytes(min(width * height, 5000)), stride, width, height) is None
    stride = max(stride, width)
    for level in (0, 128, 255):
        assert read_mark(bytes([level]) * (stride * height), stride, width, height) is None


def test_a_picture_cut_short_says_nothing():
    """A buffer that ends before the picture does is no picture, nor is one of four-pixel cells and less."""
    luma = picture(160, 90)
    assert read_mark(luma[:-1], 160, 160, 90) is None
    small = scaled(luma, 160, 90, 78, 44)
    assert read_mark(small, 78, 78, 44) is None


def test_blur_noise_and_low_contrast_are_borne():
    """What low bitrates and bad displays do: a quarter of the contrast, noise, and edges gone soft."""
    rng = random.Random(3)
    luma = picture(320, 180)
    soft = bytearray(luma)
    for at in range(4, len(luma) - 4):
        mean = sum(luma[at - 4 : at + 5]) // 9
        soft[at] = max(0, min(255, 100 + (mean - 128) // 3 + rng.randint(-9, 9)))
    assert read_mark(soft, 320, 320, 180) == MARK


def test_latency_is_told_for_this_boot_only():
    """Whole microseconds, from making to arrival; other boots, loops and impossible times give nothing."""
    mark = PictureMark.at(7, 5_000_000_999, 0xABCD_1234, "half")
    assert mark == PictureMark(7, 5_000_000, 0x1234, "h")
    assert mark.latency_ms(5_012_345_678, 0xFFFF_1234) == 12.345
    assert mark.latency_ms(5_012_345_678, 0xFFFF_1235) is None
    assert mark.latency_ms(4_000_000_000, 0xFFFF_1234) is None
    assert PictureMark(7, 0, 0x1234).latency_ms(5_000, 0x1234) is None
    assert not PictureMark(7).is_dated


def test_time_wraps():
    """Forty-eight bits of microseconds: after nine years the clock begins anew, and latency does not notice."""
    wrap_ns = (1 << 48) * 1000
    mark = PictureMark.at(1, wrap_ns - 3_000_000, 1)
    assert mark.latency_ms(wrap_ns + 2_000_000, 1) == 5.0
