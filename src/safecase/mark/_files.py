"""Files: which marks they can carry, put on in the right order, and what is found in them again."""

import hashlib
import io
import json
import stat
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from safecase.evidence import write_atomic
from safecase.mark._errors import MarkError, MissingExtra, NotMarkable
from safecase.mark._label import Label, draw_label
from safecase.mark._manifest import EXPIRED, Manifest, Signer, read_manifest, sign_manifest
from safecase.mark._text import add_notice, below_front_matter, find_notice, fits, provenance, without_notice
from safecase.mark._tokens import TokenEvidence, TokenMark, count_green, green_needed
from safecase.mark._watermark import FOUND_AT, PAYLOAD_BYTES, Found, embed, find

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["image", "media", "text"]
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_MEDIA = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
}
_TEXT = {".txt": "text/plain", ".md": "text/markdown"}
KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(_PICTURES, "image"),
    **dict.fromkeys(_MEDIA, "media"),
    **dict.fromkeys(_TEXT, "text"),
}
"""Kind by file name ending."""
_MIME = _PICTURES | _MEDIA | _TEXT
_BOM = "\ufeff"
SIDECAR = ".provenance.json"
"""Added to a text's name: the file beside it that says where it comes from."""
LARGEST = 2 << 30
"""Most bytes of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """Which marks to put on; None leaves one out.

    Attributes:
        model: what made the content, as it shall be named.
        provider: who runs the model.
        created: when, with a time zone.
        label: burnt into pictures.
        watermark: key of the invisible mark in pictures.
        payload: its four bytes; None takes the first of the file's SHA-256, so that records find the file.
        signer: for a manifest in pictures, audio and video.
        notice: language of the notice in text.
    """

    model: str
    provider: str
    created: datetime
    label: Label | None = None
    watermark: bytes | None = field(default=None, repr=False)
    payload: bytes | None = None
    signer: Signer | None = None
    notice: str | None = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What was written, or would be.

    Attributes:
        source: the file read.
        path: the marked file. beside: further files, such as the provenance of a text.
        marks: what it carries now, in the order in which it was put on.
        left_out: marks that this kind of file could carry, with the reason why it does not.
        payload: of the invisible mark, hex.
    """

    source: Path
    path: Path
    beside: tuple[Path, ...]
    marks: tuple[str, ...]
    left_out: tuple[str, ...]
    payload: str | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "source": str(self.source),
            "path": str(self.path),
            "beside": [str(path) for path in self.beside],
            "marks": list(self.marks),
            "left_out": list(self.left_out),
            "payload": self.payload,
        }


def mark_file(
    source: Path, marking: Marking, *, out: Path | None = None, in_place: bool = False, dry_run: bool = False
) -> Marked:
    """Mark one file: label, then watermark, then manifest, which binds the bytes that the others left.

    Args:
        out: where to; `NAME.marked.SUFFIX` beside the source by default. Never a file that is there.
        in_place: replace the source.
        dry_run: do everything but write.

    Raises:
        NotMarkable: no mark fits this file, or a file is in the way.
        MarkError: what else can go wrong with marks; nothing was written.
    """
    kind = _kind(source)
    data = _bytes(source)
    path = source.resolve() if in_place else out or source.with_name(f"{source.stem}.marked{source.suffix}")
    if not in_place and path.suffix.lower() != source.suffix.lower():
        raise NotMarkable(f"{path}: must end in {source.suffix} like {source.name}; convert the file before")
    sidecar = path.with_name(path.name + SIDECAR)
    if not in_place and (there := [p for p in (path, *([sidecar] if kind == "text" else [])) if p.exists()]):
        raise NotMarkable(f"{there[0]}: is there already; give another place, or say that the input shall be replaced")
    try:
        if kind == "text":
            made, marks, left_out, payload = *_marked_text(data, marking), None
        else:
            made, marks, left_out, payload = _marked_media(data, marking, kind=kind, mime=_mime(source), name=path.name)
    except MarkError as error:
        raise type(error)(f"{source}: {error}") if not isinstance(error, MissingExtra) else error from None
    beside = (sidecar,) if kind == "text" else ()
    if not dry_run:
        mode = stat.S_IMODE(source.stat().st_mode)  # what only its owner may read stays so
        _write(path, made, replace=in_place, mode=mode)
        for one in beside:
            about = provenance(
                model=marking.model, provider=marking.provider, created=marking.created, content=made
            ).to_json()
            _write(one, json.dumps(about, indent=2).encode() + b"\n", replace=in_place, mode=mode)
    return Marked(
        source=source,
        path=path,
        beside=beside,
        marks=tuple(marks),
        left_out=tuple(left_out),
        payload=None if payload is None else payload.hex(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPicture:
    """A picture with its marks.

    Attributes:
        data: the file.
        mime: its media type.
        marks: in the order in which they were put on.
    """

    data: bytes
    mime: str
    marks: tuple[str, ...]


def mark_picture(data: bytes, marking: Marking, *, name: str) -> MarkedPicture:
    """Mark a picture that is no file: PNG, JPEG or WebP, told by its first bytes.

    Args:
        name: title in the manifest.

    Raises:
        NotMarkable: it is none of these, or no mark fits it.
        MarkError: what else can go wrong with marks.
    """
    mime = _mime_of(data)
    made, marks, _, _ = _marked_media(data, marking, kind="image", mime=mime, name=name)
    return MarkedPicture(data=made, mime=mime, marks=tuple(marks))


def _mime_of(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise NotMarkable("is no PNG, JPEG or WebP picture")


def _marked_text(data: bytes, marking: Marking) -> tuple[bytes, list[str], list[str]]:
    try:
        text: str | None = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:  # UTF-16 without a mark of its byte order can be UTF-8 too
        raise NotMarkable("is not UTF-8; save it as UTF-8 before")
    if marking.notice is None:
        return data, ["provenance"], ["notice (not asked for)"]
    body = below_front_matter(text.removeprefix(_BOM))
    head = add_notice(body, language=marking.notice).removesuffix(body)
    head = head.replace("\n", "\r\n") if "\r\n" in body else head  # line ends as the text has them
    return f"{text.removesuffix(body)}{head}{body}".encode(), ["notice", "provenance"], []


def _marked_media(
    data: bytes, marking: Marking, *, kind: Kind, mime: str, name: str
) -> tuple[bytes, list[str], list[str], bytes | None]:
    marks: list[str] = []
    left_out: list[str] = []
    payload: bytes | None = None
    if kind == "image":
        if marking.label is None:
            left_out.append("label (not asked for)")
        if marking.watermark is None:
            left_out.append("watermark (no key)")
        else:
            payload = marking.payload or hashlib.sha256(data).digest()[:PAYLOAD_BYTES]
        if marking.label is not None or marking.watermark is not None:
            if marking.signer is not None and read_manifest(data, mime=mime) is not None:
                raise NotMarkable("carries a manifest already, which a changed picture would lose; mark the original")
            data = _changed(data, marking, payload)
        marks += ["label"] * (marking.label is not None) + ["watermark"] * (payload is not None)
    if marking.signer is None:
        left_out.append("manifest (no signer)")
    else:
        data = sign_manifest(data, mime=mime, signer=marking.signer, model=marking.model, title=name, watermark=payload)
        marks.append("manifest")
    if not marks:
        raise NotMarkable(f"nothing to put on it: {'; '.join(left_out)}")
    return data, marks, left_out, payload


def _changed(data: bytes, marking: Marking, payload: bytes | None) -> bytes:
    """The picture with label and watermark, in the format it came in."""
    from PIL import Image, ImageOps

    image = _opened(data)
    if getattr(image, "n_frames", 1) > 1:
        raise NotMarkable("is animated; only still pictures can carry a label and a watermark")
    if image.mode.startswith(("I", "F")) or _is_deep(data):
        raise NotMarkable("has more than 8 bits a channel, which would be lost; convert it before")
    kept = {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
    if kept.get("icc_profile", b"")[16:20] != b"RGB ":
        kept.pop("icc_profile", None)  # it speaks of inks or of grey, and what is written is RGB
    form = str(image.format)
    upright = ImageOps.exif_transpose(image)
    has_alpha = upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info
    colours = upright.convert("RGBA" if has_alpha else "RGB")
    if marking.watermark is not None:
        _must_be_unmarked(colours, marking.watermark)
    if marking.label is not None:
        colours = draw_label(colours, marking.label)
    if marking.watermark is not None and payload is not None:
        pixels = np.array(colours)
        pixels[:, :, :3] = embed(pixels[:, :, :3].copy(), key=marking.watermark, payload=payload)
        colours = Image.fromarray(pixels)
    out = io.BytesIO()
    webp = {"lossless": True} if _is_lossless_webp(data) else {"quality": 95}
    how: dict[str, Any] = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": webp}[form]
    colours.save(out, form, **how, **kept)
    return out.getvalue()


def _must_be_unmarked(picture: "Image", key: bytes) -> None:
    """A second watermark of one key would make the first unreadable, and with it the payload that records hold."""
    found = find(np.array(picture.convert("RGB")), key=key, scales=(1.0,))
    if found.is_there:
        payload = "unreadable" if found.payload is None else found.payload.hex()
        raise NotMarkable(f"carries a watermark of this key already (payload {payload}); mark the original")


def _opened(data: bytes) -> "Image":
    """A picture in a format that we write, the first of several; decoded, so that a damaged one is noticed here."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingExtra("pillow") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise NotMarkable(f"is no whole PNG, JPEG or WebP picture ({type(error).__name__})") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise NotMarkable(f"has too many pixels to be opened safely ({error})") from None
    return image


def _is_deep(data: bytes) -> bool:
    """Whether it is a PNG of 16 bits a channel, of which Pillow gives 8 where there is more than one channel."""
    return data[12:16] == b"IHDR" and data[24:25] == b"\x10"


def _is_lossless_webp(data: bytes) -> bool:
    """Whether a still WebP holds its pixels in a `VP8L` chunk, the first one or behind those of an extended file."""
    at = 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        if data[at : at + 4] in (b"VP8L", b"VP8 "):
            return data[at : at + 4] == b"VP8L"
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return False


Verdict = Literal["marked", "stripped", "untrusted", "invalid", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What is in a file.

    Attributes:
        verdict: `marked`: marks found, nothing against them; `stripped`: the invisible mark without its manifest;
            `untrusted`: a manifest whose signer no anchor covers, or whose certificate has expired; `invalid`: a
            manifest or provenance that does not fit the file; `none`: no mark found among those looked for.
        manifest, watermark, notice, provenance_fits, tokens: the finds; None for not found or not looked for.
        sentences: the finds for people.
        not_looked_for: marks that this run could not see, with the reason.
    """

    path: Path
    verdict: Verdict
    manifest: Manifest | None = None
    watermark: Found | None = None
    notice: str | None = None
    provenance_fits: bool | None = None
    tokens: TokenEvidence | None = None
    sentences: tuple[str, ...] = ()
    not_looked_for: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        seen, found = self.manifest, self.watermark
        return {
            "path": str(self.path),
            "verdict": self.verdict,
            "manifest": None
            if seen is None
            else {
                "state": seen.state,
                "signer": seen.signer,
                "generator": seen.generator,
                "source_type": seen.source_type,
                "says_generated": seen.says_generated,
                "watermark": seen.watermark,
                "failures": list(seen.failures),
            },
            "watermark": None
            if found is None
            else {
                "found": found.is_there,
                "p_value": found.p_value,
                "payload": None if found.payload is None else found.payload.hex(),
                "scale": round(found.scale, 3),
            },
            "notice": self.notice,
            "provenance_fits": self.provenance_fits,
            "tokens": None if self.tokens is None else asdict(self.tokens),
            "sentences": list(self.sentences),
            "not_looked_for": list(self.not_looked_for),
        }


Tokenize = Callable[[str], Sequence[int]]


def detect_file(
    path: Path, *, trust: str | None = None, watermark: bytes | None = None, tokenize: Tokenize | None = None
) -> Detection:
    """Look for every mark that can be seen with these keys.

    Args:
        trust: anchors, PEM: whose manifests are trusted.
        watermark: key of the invisible mark, and of the statistical one in text (`TokenMark(key=..., context=0)`).
        tokenize: the tokens of the model that the text may be from.

    Raises:
        NotMarkable: the file cannot be read as what its name says.
    """
    kind, data = _kind(path), _bytes(path)
    try:
        if kind == "text":
            return _detected_text(path, data, watermark, tokenize)
        manifest = read_manifest(data, mime=_mime(path), trust=trust)
        found, blind = _watermark_in(data, watermark) if kind == "image" else (None, ())
    except MarkError as error:
        raise type(error)(f"{path}: {error}") if not isinstance(error, MissingExtra) else error from None
    sentences = [*_manifest_sentences(manifest, trust), *_watermark_sentences(found)]
    there = found is not None and found.is_there
    verdict: Verdict = "marked" if there or (manifest is not None and manifest.says_generated) else "none"
    if manifest is None and there:
        verdict = "stripped"
        sentences.append("marked once, and the manifest was stripped since")
    elif manifest is not None and manifest.state == "invalid":
        verdict = "invalid"
    elif manifest is not None and there and not _agree(manifest, found):
        verdict = "invalid"
        sentences.append("manifest and watermark contradict each other: the pixels are from another file than it says")
    elif manifest is not None and manifest.state == "untrusted" and verdict == "marked":
        verdict = "untrusted"
    return Detection(
        path=path,
        verdict=verdict,
        manifest=manifest,
        watermark=found,
        sentences=tuple(sentences),
        not_looked_for=blind,
    )


def _agree(manifest: Manifest, found: Found | None) -> bool:
    """Whether the manifest admits the watermark and names its payload, where both can be read."""
    if not manifest.says_generated:
        return False
    if found is None or found.payload is None or manifest.watermark is None:
        return True
    return manifest.watermark == found.payload.hex()


def _watermark_in(data: bytes, key: bytes | None) -> tuple[Found | None, tuple[str, ...]]:
    blind = ("visible label (people see it; no text recognition here)",)
    if key is None:
        return None, (*blind, "watermark (no key)")
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(_opened(data))
    if upright.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off instead of scaling down
        grey = np.asarray(upright, dtype=np.float64) / 257.0
        upright = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    return find(np.array(upright.convert("RGB")), key=key), blind


def _detected_text(path: Path, data: bytes, key: bytes | None, tokenize: Tokenize | None) -> Detection:
    text = below_front_matter(data.decode(errors="replace").removeprefix(_BOM))
    notice = find_notice(text)
    sidecar = path.with_name(path.name + SIDECAR)
    same = fits(_bytes(sidecar), data) if sidecar.exists() else None
    sentences = [f"notice: {notice}" if notice else "no notice at the top"]
    if sidecar.exists():
        what = {True: "fits this text", False: "is of another text, or this one was changed", None: "is not readable"}
        sentences.append(f"provenance beside it {what[same]}")
    else:
        sentences.append("no provenance beside it")
    counted: TokenEvidence | None = None
    if key is not None and tokenize is not None:
        counted = count_green(tokenize(without_notice(text)), TokenMark(key=key, context=0))
        sentences.append(_token_sentence(counted))
    is_green = counted is not None and counted.p_value is not None and counted.p_value <= FOUND_AT
    verdict: Verdict = "marked" if notice or same or is_green else "none"
    if sidecar.exists() and not same:
        verdict = "invalid"
    return Detection(
        path=path,
        verdict=verdict,
        notice=notice,
        provenance_fits=same,
        sentences=tuple(sentences),
        tokens=counted,
        not_looked_for=() if counted is not None else ("statistical mark (needs its key and the model's tokens)",),
    )


def _token_sentence(seen: TokenEvidence) -> str:
    needed = green_needed(seen.counted, error=FOUND_AT)
    if seen.p_value is None or needed is None:
        return f"statistical mark: {seen.counted} distinct tokens are too few to tell"
    says = "found" if seen.p_value <= FOUND_AT else "not found"
    return f"statistical mark {says}: {seen.green} of {seen.counted} distinct tokens green, {needed} say it is there"


def _manifest_sentences(manifest: Manifest | None, trust: str | None) -> list[str]:
    if manifest is None:
        return ["no manifest"]
    who = manifest.signer or "nobody named"
    said = "made by a trained model" if manifest.says_generated else f"source {manifest.source_type or 'not said'}"
    head = f"manifest says: {said} ({manifest.generator or 'generator not said'}), signed by {who}"
    if manifest.state == "trusted":
        return [f"{head}; signature, bytes and signer are in order"]
    if EXPIRED in manifest.failures:
        why = "the signer's certificate has expired, and no time stamp shows that it signed before"
        return [f"{head}; signature and bytes are in order, but {why}"]
    if manifest.state == "untrusted":
        why = "no trust anchors were given" if trust is None else "the signer is not in the trust list"
        return [f"{head}; signature and bytes are in order, but {why}: anyone can call themselves so"]
    return [f"{head}; NOT VALID: {', '.join(manifest.failures) or 'no reason given'}; do not believe what it says"]


def _watermark_sentences(found: Found | None) -> list[str]:
    if found is None:
        return []
    if not found.is_there:
        return [f"no watermark of this key found (p = {found.p_value:.2g})"]
    payload = "payload not readable" if found.payload is None else f"payload {found.payload.hex()}"
    return [f"watermark of this key found, p <= {max(found.p_value, 1e-300):.1e}, {payload}"]


def _kind(path: Path) -> Kind:
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise NotMarkable(f"{path}: {path.suffix or 'no suffix'} cannot be marked; known are {', '.join(KINDS)}")
    return kind


def _mime(path: Path) -> str:
    return _MIME[path.suffix.lower()]


def _bytes(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise NotMarkable(f"{path}: has {size} bytes, and files are held in memory; the most is {LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise NotMarkable(f"{path}: cannot be read ({error.strerror})") from None


def _write(path: Path, data: bytes, *, replace: bool, mode: int) -> None:
    try:
        write_atomic(path, data, replace=replace, mode=mode)
    except FileExistsError:
        raise NotMarkable(f"{path}: is there already; give another place") from None
    except OSError as error:
        raise NotMarkable(f"{path}: cannot be written ({error.strerror})") from None
