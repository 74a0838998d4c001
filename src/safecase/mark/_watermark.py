"""An invisible mark in an image that survives saving it again.

The problem: whoever saves a picture again loses its manifest, so the mark has to be in the pixels, has to be found
without the original, after the picture was compressed, made smaller or larger, and cut; and "found" must come with the
chance of being wrong.

    keyed phases on a ring of mid frequencies  ->  one tile  ->  repeated over the picture, louder where it is busy
    picture  ->  whitened in the wavelet domain  ->  folded onto one tile  ->  phases compared with the key's

The picture is always looked at as if it had an area of 512 x 512, so making it larger or smaller changes nothing. A cut
moves the tile (one FFT compares all positions at once) and changes the scale (tried in small steps).

Whether it is there: with a key that the picture does not know, each compared phase is uniform and independent, whatever
the picture. The sum of their weighted cosines then exceeds t with a chance of at most exp(-t^2 / sum w^2) (Chernoff,
with I0(x) <= exp(x^2 / 4)), times the number of positions and scales tried. That is the p-value: a bound over the draw
of the key, for every picture, and no fit to a collection.

What it says: a part of the ring carries four bytes and a checksum, each six bits as one of 64 code words that differ in
half of their 32 signs (biorthogonal code), read by likelihood.
"""

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from safecase.mark._errors import MissingExtra, NotMarkable

Floats = npt.NDArray[np.float64]

SIDE = 512
"""Every picture is seen with an area of SIDE x SIDE."""
TILE = 128
RING = (6.0, 27.0)
"""Frequencies used, in waves per tile: wave lengths of 21 to 4.7 pixels at SIDE."""
PAYLOAD_BYTES = 4
SMALLEST = 160
"""Least length of a picture's shorter side in pixels; below it the waves are finer than its pixels."""
FOUND_AT = 1e-6
"""A p-value at or below it says that the mark is there."""
_WORDS, _CHIPS = 8, 32  # 8 code words of 6 bits: 32 bits of payload, 16 of checksum
_SCALES = np.exp(np.arange(log(0.62), log(1.26), 0.0075))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search for the invisible mark gave.

    Attributes:
        p_value: chance of at most this that an unmarked picture looks so marked; corrected for everything tried.
        payload: the four bytes, where their checksum fits and the mark is there; a wrong one passes with 2^-16.
        scale: side of the picture beside the marked one's; 1 is uncut.
    """

    p_value: float
    payload: bytes | None
    scale: float

    @property
    def is_there(self) -> bool:
        """Whether the p-value is at or below `FOUND_AT`."""
        return self.p_value <= FOUND_AT


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A key's pattern: positions on the ring, which belong to the sync and which to which chip, and their phases."""

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    phases: Floats
    chip: npt.NDArray[np.intp]  # -1 for the sync


def embed(pixels: npt.NDArray[np.uint8], *, key: bytes, payload: bytes, strength: float = 1.0) -> npt.NDArray[np.uint8]:
    """Put the mark into a picture.

    Args:
        pixels: RGB, (height, width, 3).
        key: secret, at least 16 bytes; who has it can find, copy and remove the mark.
        payload: four bytes.
        strength: 1 changes a pixel by about 1 of 255 in flat places and more where the picture is busy.

    Raises:
        NotMarkable: the picture is too small.
        ValueError: wrong length of key or payload, or strength not above 0.
    """
    height, width = _checked(pixels, key)
    if len(payload) != PAYLOAD_BYTES or not strength > 0:
        raise ValueError(f"payload must have {PAYLOAD_BYTES} bytes and strength be above 0")
    if min(height, width) < SMALLEST:
        raise NotMarkable(f"{width} x {height} pixels are too few for the invisible mark; it needs {SMALLEST} a side")
    luma = _luma(pixels)
    seen = _seen(luma, scale=1.0)
    tile = _tile(_pattern(key), _signs(payload))
    repeats = (-(-seen.shape[0] // TILE), -(-seen.shape[1] // TILE))
    mark = np.tile(tile, repeats)[: seen.shape[0], : seen.shape[1]]
    louder = _resized(np.clip(1.0 + 0.1 * _busy(seen), 1.0, 4.5) * mark, (height, width))
    changed = pixels + (strength * louder).astype(np.float32)[:, :, None]
    return np.asarray(np.clip(np.rint(changed), 0, 255), dtype=np.uint8)


def find(pixels: npt.NDArray[np.uint8], *, key: bytes, scales: tuple[float, ...] | None = None) -> Found:
    """Look for the mark, at every scale and position, without the original.

    Args:
        pixels: RGB, (height, width, 3); of any size.
        key: the secret that it was put in with.
        scales: to be tried; all by default. The scale 1 alone finds a picture that was not cut, in a fraction of the
            time.

    Raises:
        ValueError: the key has fewer than 16 bytes, or the array another shape.
    """
    _checked(pixels, key)
    pattern = _pattern(key)
    plain = _whitened(_seen(_luma(pixels), scale=1.0))
    best = _Look(log_p=0.0, scale=1.0, spectrum=None, shift=(0, 0))
    tried = scales or _scales()
    for scale in tried:
        look = _look(_resized(plain, _scaled(plain.shape, scale)), pattern, scale)
        best = min(best, look, key=lambda one: one.log_p)
    p_value = min(1.0, exp(max(best.log_p, -600.0)) * len(tried) * TILE * TILE)
    is_there = p_value <= FOUND_AT and best.spectrum is not None
    payload = _read(best.spectrum, best.shift, pattern) if is_there else None
    return Found(p_value=p_value, payload=payload, scale=best.scale)


def _checked(pixels: npt.NDArray[np.uint8], key: bytes) -> tuple[int, int]:
    if len(key) < 16:
        raise ValueError(f"key must have at least 16 bytes, got {len(key)}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"pixels must be uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
    return pixels.shape[0], pixels.shape[1]


def _scales() -> tuple[float, ...]:
    return (1.0, *(float(scale) for scale in _SCALES))


# What the key decides.


@lru_cache(maxsize=8)
def _pattern(key: bytes) -> _Pattern:
    rows, columns = np.mgrid[-TILE // 2 : TILE // 2, 0 : TILE // 2]
    distance = np.hypot(rows, columns)
    half = (columns > 0) | (rows > 0)  # the other half is its mirror
    on = (distance >= RING[0]) & (distance <= RING[1]) & half
    seed = int.from_bytes(hashlib.blake2b(b"safecase mark 1", key=key[:64], digest_size=16).digest())
    generator = np.random.Generator(np.random.Philox(key=seed))
    count = int(on.sum())
    chips = _WORDS * _CHIPS
    # Half of the ring finds the mark; the rest is dealt to the chips, low and high frequencies alike.
    chip = np.full(count, -1, dtype=np.intp)
    order = generator.permutation(count)
    chip[order[count // 2 :]] = np.arange(count - count // 2) % chips
    return _Pattern(rows[on], columns[on], generator.uniform(0.0, 2 * np.pi, count), chip)


def _tile(pattern: _Pattern, signs: Floats) -> Floats:
    """The tile that carries these signs, (TILE, TILE), with a root mean square of 1."""
    turned = pattern.phases + np.where(pattern.chip >= 0, np.where(signs[pattern.chip] < 0, np.pi, 0.0), 0.0)
    spectrum = np.zeros((TILE, TILE), dtype=np.complex128)
    spectrum[pattern.rows, pattern.columns] = np.exp(1j * turned)
    tile = np.fft.ifft2(spectrum).real
    return np.asarray(tile / np.sqrt(np.mean(tile**2)))


def _signs(payload: bytes) -> Floats:
    """Signs of all chips, (256,), for a payload."""
    code = _code()
    checked = payload + (zlib.crc32(payload) & 0xFFFF).to_bytes(2)
    bits = np.unpackbits(np.frombuffer(checked, dtype=np.uint8)).reshape(_WORDS, 6)
    words = bits @ (1 << np.arange(5, -1, -1))
    return np.concatenate([code[word] for word in words])


@lru_cache(maxsize=1)
def _code() -> Floats:
    """64 words of 32 signs; any two differ in 16 places or in all."""
    half: Floats = np.ones((1, 1))
    while len(half) < _CHIPS:  # Sylvester's construction
        half = np.block([[half, half], [half, -half]])
    return np.concatenate([half, -half])


# What the picture shows.


@dataclass(frozen=True, slots=True)
class _Look:
    """One scale tried: the log of the Chernoff bound at its best position, before correction."""

    log_p: float
    scale: float
    spectrum: npt.NDArray[np.complex128] | None
    shift: tuple[int, int]


def _look(white: Floats, pattern: _Pattern, scale: float) -> _Look:
    spectrum = np.fft.fft2(_folded(white))
    values = spectrum[pattern.rows, pattern.columns]
    sizes = np.abs(values)
    # Weights may depend on the picture, never on the key: the louder a wave, the more it says, up to a point.
    weights = np.minimum(sizes, 2.0 * np.median(sizes))
    sync = pattern.chip < 0
    weighed = np.zeros((TILE, TILE), dtype=np.complex128)
    turned = weights * np.exp(1j * (np.angle(values) - pattern.phases))
    weighed[pattern.rows[sync], pattern.columns[sync]] = turned[sync]
    sums = np.fft.ifft2(weighed).real * TILE * TILE
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    power = float(np.sum(weights[sync] ** 2))
    peak = float(sums[row, column])
    log_p = 0.0 if power == 0.0 or peak <= 0.0 else -(peak**2) / power
    return _Look(log_p=log_p, scale=scale, spectrum=spectrum, shift=(int(row), int(column)))


def _read(spectrum: npt.NDArray[np.complex128] | None, shift: tuple[int, int], pattern: _Pattern) -> bytes | None:
    """The payload at this position, where its checksum fits."""
    if spectrum is None:
        return None
    at = 2 * np.pi * (pattern.rows * shift[0] + pattern.columns * shift[1]) / TILE
    values = spectrum[pattern.rows, pattern.columns] * np.exp(1j * (at - pattern.phases))
    size = np.median(np.abs(values)) or 1.0
    soft = np.clip(values.real / size, -2.0, 2.0)
    data = pattern.chip >= 0
    chips = np.bincount(pattern.chip[data], weights=soft[data], minlength=_WORDS * _CHIPS).reshape(_WORDS, _CHIPS)
    words = np.argmax(chips @ _code().T, axis=1)
    bits = (words[:, None] >> np.arange(5, -1, -1)) & 1
    checked = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
    payload, checksum = checked[:PAYLOAD_BYTES], checked[PAYLOAD_BYTES:]
    return payload if (zlib.crc32(payload) & 0xFFFF).to_bytes(2) == checksum else None


def _folded(white: Floats) -> Floats:
    """All tiles of a picture added up, (TILE, TILE)."""
    height, width = (-(-length // TILE) * TILE for length in white.shape)
    padded = np.zeros((height, width))
    padded[: white.shape[0], : white.shape[1]] = white
    return np.asarray(padded.reshape(height // TILE, TILE, width // TILE, TILE).sum(axis=(0, 2)))


def _luma(pixels: npt.NDArray[np.uint8]) -> Floats:
    return np.asarray(pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def _seen(luma: Floats, *, scale: float) -> Floats:
    """The picture with an area of SIDE x SIDE, times `scale` a side."""
    height, width = luma.shape
    factor = SIDE * scale / sqrt(height * width)
    return _resized(luma, (max(1, round(height * factor)), max(1, round(width * factor))))


def _scaled(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized(values: Floats, shape: tuple[int, int]) -> Floats:
    if values.shape == shape:
        return values
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("pillow") from None
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float64)


_LEVELS = 4


def _whitened(seen: Floats) -> Floats:
    """The picture without what is coarse, every wavelet coefficient held down to the size usual around it."""
    wavelets = _wavelets()
    levels = min(_LEVELS, wavelets.dwtn_max_level(seen.shape, "bior4.4"))
    coarse, *details = wavelets.wavedec2(seen, "bior4.4", mode="reflect", level=levels)
    even = [tuple(band / (_spread(band) + 1.0) for band in bands) for bands in details]
    white = wavelets.waverec2([np.zeros_like(coarse), *even], "bior4.4", mode="reflect")
    return np.asarray(white[: seen.shape[0], : seen.shape[1]], dtype=np.float64)


def _busy(seen: Floats) -> Floats:
    """How much goes on around each pixel: local standard deviation of the detail, in grey levels."""
    from scipy.ndimage import uniform_filter

    fine = seen - uniform_filter(seen, size=15, mode="reflect")
    return _spread(fine)


def _spread(values: Floats) -> Floats:
    """Root mean square around each place."""
    from scipy.ndimage import uniform_filter

    power = uniform_filter(values**2, size=9, mode="reflect")
    return np.asarray(np.sqrt(np.maximum(power, 0.0)))  # a running sum can end just below 0


def _wavelets() -> Any:  # PyWavelets ships no types
    try:
        import pywt
    except ImportError:
        raise MissingExtra("PyWavelets") from None
    return pywt
