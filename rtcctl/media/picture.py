"""The test picture: it moves, and says in its pixels which frame it is and when it was made.

    20 columns × 11¼ rows; a cell is a macroblock (16×16) at 320x180, and as much of any other size

    +--+--+--+--+--+--+--     --+--+--+
    |d |  |  |  |  |  |   …     |  |b |     7 rows of cells, dark (0) or bright (1), in reading order; corners tell
    +--+--+--+--+--+--+--     --+--+--+     what dark (d) and bright (b) look like, the others are the mark:
     …                              …
    +--+--+--+--+--+--+--     --+--+--+     number 32 bit | time 48 bit | boot 16 bit | layer 8 bit | CRC-32 of these
    |b |  |  |  |  |  |   …     |  |d |
    +--+--+--+--+--+--+--     --+--+--+
    |  colour bars, and a box that     |
    |  crosses them in four seconds    |
    +----------------------------------+
    |  noise: work for the encoder     |    without it there is so little to code that no bitrate is ever reached
    +----------------------------------+

An SFU passes the pixels on as they are; a browser may scale them, and an encoder may blur them. So cells are found
relative to the size that came, only the middle of each is looked at, and the checksum decides: what does not fit is no
mark. A wrong number comes out once in 2³² damaged pictures.

Read down to 80x45 and at any proportions, as long as the picture was scaled as a whole and neither turned nor cropped.
Colour is for people; all of the mark is in the luma.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_128
from itertools import pairwise
from typing import Final
from zlib import crc32

COLUMNS: Final = 20
MARK_ROWS: Final = 7
MIN_WIDTH: Final = 160
MIN_HEIGHT: Final = 90
"Smallest picture that is made: cells of 8 × 8, so that half of it still reads."
MAX_WIDTH: Final = 4096
MAX_HEIGHT: Final = 4096

MIN_CELL: Final = 4
"Pixels; in smaller cells there is no middle to look at."
MIN_CONTRAST: Final = 40
"Between the darker of the bright corners and the brighter of the dark ones: 160 when drawn."

DARK: Final = 48
BRIGHT: Final = 208
NEUTRAL: Final = 128

BARS: Final = (
    (180, 128, 128),
    (168, 44, 136),
    (145, 147, 44),
    (133, 63, 52),
    (63, 193, 204),
    (51, 109, 212),
    (28, 212, 120),
)
"Y, Cb, Cr: white, yellow, cyan, green, magenta, red, blue at 75 % (ITU-R BT.601)."
BOX_LEVEL: Final = 235
CROSSING_FRAMES: Final = 120
NOISE_AMPLITUDE: Final = 24
NOISE_SHIFT: Final = 7919
"Bytes by which the noise moves on with each frame …"
NOISE_SHIFTS: Final = 1 << 16
"… until it begins again."
BARS_ROWS: Final = 3
BOX_ROWS: Final = (1, 3)
"From and to before, in the bars."

MAX_LATENCY_MS: Final = 3_600_000.0

_MARK = struct.Struct("!IHIHB")
_TIME_BITS: Final = 48
_TIME_MASK: Final = (1 << _TIME_BITS) - 1
_MARK_BYTES: Final = 17
_CORNERS: Final = (0, COLUMNS - 1, (MARK_ROWS - 1) * COLUMNS, MARK_ROWS * COLUMNS - 1)
"Cells that hold no bit: dark, bright, bright, dark."


@dataclass(frozen=True, slots=True)
class PictureMark:
    """What one picture says."""

    number: int
    "32 bit, one more with each frame of a source."
    monotonic_us: int = 0
    "48 bit, CLOCK_MONOTONIC of the sender when the picture was made; 0: it does not say (a loop made earlier)."
    boot_hash16: int = 0
    "16 bit of the hash of the sender's boot id, as in a send time."
    layer: str = ""
    "First character of the `rid`; empty without simulcast."

    @classmethod
    def at(cls, number: int, monotonic_ns: int, boot_id_hash: int, rid: str = "") -> PictureMark:
        """Of frame `number`, made at `monotonic_ns`."""
        return cls(number & 0xFFFFFFFF, monotonic_ns // 1000 & _TIME_MASK, boot_id_hash & 0xFFFF, rid[:1])

    @property
    def is_dated(self) -> bool:
        """Whether the picture says when it was made; of a loop only the order of frames inside it is known."""
        return self.monotonic_us != 0

    def latency_ms(self, monotonic_ns: int, boot_id_hash: int) -> float | None:
        """From the making of the picture to `monotonic_ns`; `None` when it comes from another boot or machine."""
        if not self.is_dated or self.boot_hash16 != boot_id_hash & 0xFFFF:
            return None
        # Sixteen bits are equal by chance once in 65,536 machines: what no picture can take is another one's clock.
        latency_ms = (monotonic_ns // 1000 - self.monotonic_us & _TIME_MASK) / 1000
        return latency_ms if latency_ms <= MAX_LATENCY_MS else None

    def __bytes__(self) -> bytes:
        time = self.monotonic_us
        layer = ord(self.layer) if self.layer else 0
        data = _MARK.pack(self.number, time >> 32, time & 0xFFFFFFFF, self.boot_hash16, layer)
        return data + crc32(data).to_bytes(4)


def size_problem(width: int, height: int) -> str | None:
    """Why no test picture of this size can be made; `None` if one can."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return f"a test picture of {width}x{height} is too small to be read back: at least {MIN_WIDTH}x{MIN_HEIGHT}"
    if width > MAX_WIDTH or height > MAX_HEIGHT:
        return f"a test picture of {width}x{height} is too large: at most {MAX_WIDTH}x{MAX_HEIGHT}"
    if width % 2 or height % 2:
        return f"a test picture of {width}x{height} has an odd side: both must be even"
    return None


def draw_still(
    luma: bytearray | memoryview,
    chroma_blue: bytearray | memoryview,
    chroma_red: bytearray | memoryview,
    stride: int,
    chroma_stride: int,
    width: int,
    height: int,
) -> None:
    """Draw, once, what stays: the bars. Colour is subsampled by two in both directions (4:2:0)."""
    assert size_problem(width, height) is None
    grid = _grid(width, height)
    _fill(luma, stride, 0, grid.tops[MARK_ROWS], bytes([DARK]) * width)
    _fill(luma, stride, grid.tops[MARK_ROWS], height, grid.bars[0])
    for plane, bars in ((chroma_blue, grid.bars[1]), (chroma_red, grid.bars[2])):
        middle = grid.tops[MARK_ROWS] // 2
        _fill(plane, chroma_stride, 0, middle, bytes([NEUTRAL]) * (width // 2))
        _fill(plane, chroma_stride, middle, height // 2, bars)


def draw_frame(luma: bytearray | memoryview, stride: int, width: int, height: int, mark: PictureMark) -> None:
    """Draw what differs from frame to frame: mark, box and noise. The rest stays as `draw_still` left it."""
    grid = _grid(width, height)
    data = f"{int.from_bytes(bytes(mark)):0{_MARK_BYTES * 8}b}"
    last = COLUMNS * (MARK_ROWS - 1)
    cells = "0" + data[: COLUMNS - 2] + "1" + data[COLUMNS - 2 : last - 2] + "1" + data[last - 2 :] + "0"
    for row in range(MARK_ROWS):
        bits = cells[row * COLUMNS : (row + 1) * COLUMNS]
        line = b"".join(segments[bit == "1"] for segments, bit in zip(grid.segments, bits, strict=True))
        _fill(luma, stride, grid.tops[row], grid.tops[row + 1], line)
    size = 2 * width // COLUMNS
    phase = mark.number % (2 * CROSSING_FRAMES)
    left = (width - size) * min(phase, 2 * CROSSING_FRAMES - phase) // CROSSING_FRAMES
    line = grid.bars[0][:left] + bytes([BOX_LEVEL]) * size + grid.bars[0][left + size :]
    top, bottom = (grid.tops[MARK_ROWS + row] for row in BOX_ROWS)
    _fill(luma, stride, top, bottom, line)
    start, size = grid.tops[MARK_ROWS + BARS_ROWS] * stride, (height - grid.tops[MARK_ROWS + BARS_ROWS]) * stride
    shift = mark.number * NOISE_SHIFT % NOISE_SHIFTS
    luma[start : start + size] = _noise(size)[shift : shift + size]


def read_mark(luma: bytes | bytearray | memoryview, stride: int, width: int, height: int) -> PictureMark | None:
    """What the picture says; `None` when it is no test picture, or too damaged to tell.

    `luma` may be of any size: `width` and `height` are what was decoded.
    """
    if width < MIN_CELL * COLUMNS or height * 4 < MIN_CELL * 45 or len(luma) < stride * (height - 1) + width:
        return None
    starts, span, rows = _places(width, height)
    sums = []
    for ys in rows:
        upper, middle, lower = (bytes(luma[y * stride : y * stride + width]) for y in ys)
        sums += [
            sum(upper[start : start + span]) + sum(middle[start : start + span]) + sum(lower[start : start + span])
            for start in starts
        ]
    dark_1, bright_1, bright_2, dark_2 = (sums[corner] for corner in _CORNERS)
    dark, bright = max(dark_1, dark_2), min(bright_1, bright_2)
    if bright - dark < MIN_CONTRAST * 3 * span:
        return None
    middle_level = (dark + bright) // 2
    for corner in reversed(_CORNERS):
        del sums[corner]
    value = int("".join("1" if level > middle_level else "0" for level in sums), 2)
    return _parse(value.to_bytes(_MARK_BYTES))


def _parse(data: bytes) -> PictureMark | None:
    content, checksum = data[: _MARK.size], data[_MARK.size :]
    if crc32(content) != int.from_bytes(checksum):
        return None
    number, time_high, time_low, boot_hash16, layer = _MARK.unpack(content)
    if layer >= 0x80:
        return None
    return PictureMark(number, time_high << 32 | time_low, boot_hash16, chr(layer) if layer else "")


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where things are in a picture of one size, in pixels."""

    tops: tuple[int, ...]
    "Of each row, and of the one that would follow."
    segments: tuple[tuple[bytes, bytes], ...]
    "Of each column: one line of a dark and of a bright cell."
    bars: tuple[bytes, bytes, bytes]
    "One line of Y, Cb and Cr."


@lru_cache(maxsize=16)
def _grid(width: int, height: int) -> _Grid:
    edges = [column * width // COLUMNS for column in range(COLUMNS + 1)]
    widths = [right - left for left, right in pairwise(edges)]
    return _Grid(
        tuple(_top(row, height) for row in range(MARK_ROWS + BARS_ROWS + 1)),
        tuple((bytes([DARK]) * size, bytes([BRIGHT]) * size) for size in widths),
        (_bars(0, width), _bars(1, width // 2), _bars(2, width // 2)),
    )


@lru_cache(maxsize=16)
def _noise(size: int) -> bytes:
    """Luma around the middle, always the same."""
    spread = 2 * NOISE_AMPLITUDE + 1
    levels = bytes(NEUTRAL - NOISE_AMPLITUDE + value * spread // 256 for value in range(256))
    return shake_128(b"rtcctl noise").digest(NOISE_SHIFTS + size).translate(levels)


@lru_cache(maxsize=16)
def _places(width: int, height: int) -> tuple[tuple[int, ...], int, tuple[tuple[int, int, int], ...]]:
    """Where to look: the first pixel of each column, how many from there, and three lines of each row."""
    span = max(1, width // COLUMNS // 3)
    starts = tuple(((2 * column + 1) * width // COLUMNS - span) // 2 for column in range(COLUMNS))
    rows = []
    for row in range(MARK_ROWS):
        middle, off = (_top(row, height) + _top(row + 1, height)) // 2, max(1, height * 4 // 45 // 6)
        rows.append((middle - off, middle, middle + off))
    return starts, span, tuple(rows)


def _top(row: int, height: int) -> int:
    return row * 4 * height // 45


def _bars(component: int, width: int) -> bytes:
    return bytes(BARS[x * len(BARS) // width][component] for x in range(width))


def _fill(plane: bytearray | memoryview, stride: int, top: int, bottom: int, line: bytes) -> None:
    """The same line from `top` to before `bottom`."""
    plane[top * stride : bottom * stride] = line.ljust(stride, b"\x80") * (bottom - top)


__all__ = ["MIN_HEIGHT", "MIN_WIDTH", "PictureMark", "draw_frame", "draw_still", "read_mark", "size_problem"]
