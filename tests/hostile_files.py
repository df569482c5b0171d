"""Files that lie: those of every format, damaged the way an attacker or a broken disk would."""

from __future__ import annotations

import functools
import random
import struct

import numpy as np

from audio_files import FORMATS, encode_audio, tone, video_file
from talkmill.engine.types import Samples

_LENGTHS = (0, 1, 2, 3, 255, 2**15 - 1, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@functools.cache
def _sound() -> Samples:
    noise = np.random.default_rng(0).normal(0, 0.05, 8000).astype(np.float32)
    return tone(440, 0.5) + noise


@functools.cache
def whole_file(index: int) -> bytes:
    """Return half a second of sound in the format `index`, one of `num_formats`."""
    if index == len(FORMATS):
        return video_file(_sound())
    container, codec, rate, channels, _ = FORMATS[index]
    bit_rate = 64_000 if codec.startswith("wma") else None
    return encode_audio(_sound(), container, codec, rate=rate, channels=channels, bit_rate=bit_rate)


num_formats = len(FORMATS) + 1


def hostile_file(seed: int) -> bytes:
    """Return a damaged file, the same for a seed each time."""
    rng = random.Random(seed)
    file = bytearray(whole_file(rng.randrange(num_formats)))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 20))):
        reach = min(rng.choice((40, 200, 1000, len(file))), len(file))
        place = rng.randrange(reach) if reach else 0
        _MUTATIONS[rng.randrange(len(_MUTATIONS))](file, place, rng)
    return bytes(file)


def _flip(file: bytearray, place: int, rng: random.Random) -> None:
    if file:
        file[place] ^= 1 << rng.randrange(8)


def _set(file: bytearray, place: int, rng: random.Random) -> None:
    noise = rng.randbytes(rng.choice((1, 2, 4, 40)))
    file[place : place + len(noise)] = noise


def _set_number(file: bytearray, place: int, rng: random.Random) -> None:
    width = rng.choice(tuple(_WIDTHS))
    value = rng.choice((*_LENGTHS, rng.randrange(2**32), len(file))) % 256**width
    if width == 8 and rng.random() < 0.5:
        value = 2**64 - 1 - value
    file[place : place + width] = struct.pack(rng.choice("<>") + _WIDTHS[width], value)


def _cut(file: bytearray, place: int, rng: random.Random) -> None:
    del file[place : place + rng.choice((1, 4, 40, 400))]


def _insert(file: bytearray, place: int, rng: random.Random) -> None:
    file[place:place] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(40), bytes(4000)))


def _repeat(file: bytearray, place: int, rng: random.Random) -> None:
    part = bytes(file[place : place + rng.choice((4, 40, 400))])
    file[place:place] = part * rng.choice((1, 2, 200))


def _truncate(file: bytearray, place: int, rng: random.Random) -> None:
    del file[max(place, 8) :]


def _append(file: bytearray, place: int, rng: random.Random) -> None:
    file += whole_file(rng.randrange(num_formats))


def _lengthen(file: bytearray, place: int, rng: random.Random) -> None:
    file += rng.choice((bytes(200_000), b"\xff" * 200_000, rng.randbytes(200_000)))


_MUTATIONS = (
    *(_flip, _set, _set, _set_number, _set_number, _set_number),
    *(_cut, _insert, _repeat, _truncate, _append, _lengthen),
)
