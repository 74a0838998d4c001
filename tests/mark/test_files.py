"""Files: marked, stripped, found again, and never lost."""

import io
import json
import os
import struct
import time
import wave
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from safecase.mark import (
    SIDECAR,
    Keys,
    KeysUnusable,
    Label,
    MarkError,
    Marking,
    NotMarkable,
    Signer,
    detect_file,
    draw_label,
    make_chain,
    mark_file,
    read_keys,
    read_manifest,
    sign_manifest,
    write_keys,
)
from safecase.testing import picture
from tests.mark.extra import NEEDS_EXTRA

pytestmark = NEEDS_EXTRA
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def marking(keys: Keys) -> Marking:
    assert keys.signer
    assert keys.signer_key
    return Marking(
        model="image-2",
        provider="Example",
        created=NOW,
        label=Label(),
        watermark=keys.watermark,
        signer=Signer(chain=keys.signer, sign=keys.signer_key),
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "made.png", picture(7, width=400, height=300))


def save(path: Path, pixels, **how) -> Path:
    from PIL import Image

    Image.fromarray(pixels).save(path, **how)
    return path


def again(path: Path, out: Path) -> Path:
    """Saved again by a program that knows nothing of manifests."""
    opened(path).convert("RGB").save(out, quality=80)
    return out


def opened(path: Path):
    from PIL import Image

    return Image.open(io.BytesIO(path.read_bytes()))


def sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    return out.getvalue()


def box(name: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(b"".join(parts)), name) + b"".join(parts)


def film() -> bytes:
    """An MP4 by its boxes: a movie header without tracks, which plays nothing, and some data."""
    unity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    times = struct.pack(">IIIIIIH10x", 0, 0, 0, 1000, 0, 0x10000, 0x100)
    header = box(b"mvhd", times, unity, bytes(24), struct.pack(">I", 1))
    kind = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2mp41")
    return kind + box(b"moov", header) + box(b"mdat", b"frames go here")


def test_a_marked_picture_is_shown_stripped_and_still_found(image, marking, keys, tmp_path):
    before = image.read_bytes()

    done = mark_file(image, marking)
    shown = detect_file(done.path, trust=keys.trust, watermark=keys.watermark)
    bare = again(done.path, tmp_path / "again.jpg")
    left = detect_file(bare, trust=keys.trust, watermark=keys.watermark)

    assert done.path == tmp_path / "made.marked.png"
    assert done.marks == ("label", "watermark", "manifest")
    assert image.read_bytes() == before
    assert shown.verdict == "marked"
    assert shown.manifest is not None
    assert (shown.manifest.state, shown.manifest.says_generated) == ("trusted", True)
    assert shown.manifest.watermark == done.payload
    assert (left.verdict, left.manifest) == ("stripped", None)
    assert left.watermark is not None
    assert left.watermark.payload == bytes.fromhex(str(done.payload))
    assert left.watermark.p_value < 1e-9


def test_a_signer_whom_no_anchor_covers_is_untrusted(image, marking, keys):
    done = mark_file(image, marking)
    stranger = make_chain(now=datetime.now(UTC)).root

    seen = {trust: detect_file(done.path, trust=trust, watermark=keys.watermark) for trust in (stranger, None)}

    assert {one.verdict for one in seen.values()} == {"untrusted"}
    assert "not in the trust list" in seen[stranger].sentences[0]
    assert "no trust anchors were given" in seen[None].sentences[0]


def test_a_changed_byte_makes_the_manifest_invalid(image, marking, keys):
    done = mark_file(image, marking)
    data = bytearray(done.path.read_bytes())
    data[-40] ^= 1
    done.path.write_bytes(bytes(data))

    seen = detect_file(done.path, trust=keys.trust)

    assert seen.verdict == "invalid"
    assert seen.manifest is not None
    assert "assertion.dataHash.mismatch" in seen.manifest.failures


def test_pixels_of_another_file_under_a_valid_manifest_are_noticed(image, marking, keys, tmp_path):
    """Somebody with a signing key of their own puts their manifest on marked pixels."""
    done = mark_file(image, replace(marking, signer=None))
    assert marking.signer
    signed = sign_manifest(
        done.path.read_bytes(), mime="image/png", signer=marking.signer, model="m", title="t", watermark=b"else"
    )
    (tmp_path / "x.png").write_bytes(signed)

    seen = detect_file(tmp_path / "x.png", trust=keys.trust, watermark=keys.watermark)

    assert seen.verdict == "invalid"
    assert "contradict" in seen.sentences[-1]


def test_what_was_edited_after_it_was_generated_still_says_so(image, marking, keys):
    """Another program opened the picture, kept its manifest as an ingredient and signed what it did."""
    import c2pa

    made = mark_file(image, marking).path.read_bytes()
    assert keys.signer
    assert keys.signer_key
    info = c2pa.C2paSignerInfo(b"es256", keys.signer.encode(), keys.signer_key.encode(), None)
    out = io.BytesIO()
    with c2pa.Builder({"claim_generator_info": [{"name": "editor"}]}) as builder:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        with c2pa.Signer.from_info(info) as signer:
            builder.sign(signer, "image/png", io.BytesIO(made), out)

    seen = read_manifest(out.getvalue(), mime="image/png", trust=keys.trust)

    assert seen is not None
    assert (seen.state, seen.says_generated) == ("trusted", True)


def test_keys_are_never_printed(marking, keys):
    for value in (marking, keys, make_chain(now=NOW)):
        assert "PRIVATE KEY" not in repr(value)
    assert keys.watermark
    assert repr(keys.watermark) not in repr((marking, keys))


@pytest.mark.parametrize(("name", "data"), [("a.wav", sound()), ("a.mp4", film())], ids=["wav", "mp4"])
def test_audio_and_video_carry_a_manifest(name, data, marking, keys, tmp_path):
    (tmp_path / name).write_bytes(data)

    done = mark_file(tmp_path / name, marking)
    seen = detect_file(done.path, trust=keys.trust)

    assert done.marks == ("manifest",)
    assert (seen.verdict, seen.manifest and seen.manifest.generator) == ("marked", "safecase, image-2")
    if name == "a.wav":
        with wave.open(str(done.path)) as file:
            assert file.getnframes() == 800


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_every_picture_format_is_marked_and_keeps_its_kind(suffix, marking, keys, tmp_path):
    source = save(tmp_path / f"a{suffix}", picture(3, width=320, height=320))

    done = mark_file(source, marking)

    assert opened(done.path).format == opened(source).format
    assert detect_file(done.path, trust=keys.trust, watermark=keys.watermark).verdict == "marked"


def test_transparency_stays_and_a_turned_photo_is_marked_upright(marking, keys, tmp_path):
    from PIL import Image

    pixels = np.dstack([picture(4, width=300, height=200), np.full((200, 300), 77, np.uint8)])
    clear = mark_file(save(tmp_path / "clear.png", pixels), replace(marking, label=None)).path
    turned = Image.Exif()
    turned[0x0112] = 6
    photo = mark_file(save(tmp_path / "p.jpg", picture(5, width=300, height=200), exif=turned), marking).path

    assert set(np.unique(np.asarray(opened(clear))[:, :, 3])) == {77}
    assert opened(photo).size == (200, 300)
    assert detect_file(photo, watermark=keys.watermark).watermark.is_there  # type: ignore[union-attr]


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_the_label_reads_on_any_ground(ground):
    """Letters against plate: at least the 4.5 to 1 that WCAG asks of text."""
    from PIL import Image

    plain = Image.new("RGB", (600, 400), (ground, ground, ground))
    shown = np.asarray(draw_label(plain, Label(place="top-left")).convert("L")) / 255
    corner = shown[10:40, 10:140]
    light, dark = np.quantile(corner, 0.99), np.median(corner)

    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (light, dark)]
    assert (linear[0] + 0.05) / (linear[1] + 0.05) >= 4.5
    assert np.all(shown[200:] == shown[-1, -1])


def test_a_label_keeps_its_corner_and_shrinks_until_it_fits():
    from PIL import Image

    for place, corner in {"top-left": (0, 0), "bottom-right": (1, 1)}.items():
        for size in ((300, 1200), (1600, 500)):
            label = Label(text="Made by an artificial intelligence", place=place)  # type: ignore[arg-type]
            rows, columns = np.nonzero(np.asarray(draw_label(Image.new("L", size).convert("RGB"), label))[:, :, 0])
            assert (rows.mean() > size[1] / 2, columns.mean() > size[0] / 2 or size[0] == 300) == (
                bool(corner[0]),
                bool(corner[1]) or size[0] == 300,
            )
    with pytest.raises(NotMarkable, match="does not fit"):
        draw_label(Image.new("RGB", (40, 40)), Label(text="Made by an artificial intelligence"))


def test_text_gets_a_notice_and_provenance_and_a_change_is_noticed(marking, tmp_path):
    source = tmp_path / "note.txt"
    source.write_text("The sea is wide.\n", encoding="utf-8")

    done = mark_file(source, marking)
    fresh = detect_file(done.path)
    about = json.loads(done.beside[0].read_text(encoding="utf-8"))
    done.path.write_text(done.path.read_text(encoding="utf-8").replace("wide", "deep"), encoding="utf-8")
    changed = detect_file(done.path)

    assert done.path.read_text(encoding="utf-8").startswith("This text was generated by an AI system.\n\n")
    assert (fresh.verdict, fresh.provenance_fits) == ("marked", True)
    assert (about["model"], about["ai_generated"], about["created"][:10]) == ("image-2", True, "2026-11-21")
    assert (changed.verdict, changed.provenance_fits) == ("invalid", False)
    assert detect_file(source).verdict == "none"


@pytest.mark.parametrize(
    ("data", "marked"),
    [
        # a byte order mark stands at the very beginning or is a letter like others
        (b"\xef\xbb\xbfHello\n", b"\xef\xbb\xbfThis text was generated by an AI system.\n\nHello\n"),
        (b"Hello\r\nworld\r\n", b"This text was generated by an AI system.\r\n\r\nHello\r\nworld\r\n"),
        (b"", b"This text was generated by an AI system.\n\n"),
    ],
)
def test_a_notice_keeps_how_a_text_begins_and_how_its_lines_end(data, marked, marking, tmp_path):
    (tmp_path / "a.txt").write_bytes(data)
    first = mark_file(tmp_path / "a.txt", marking).path
    again = mark_file(first, marking, out=tmp_path / "again.txt").path

    assert first.read_bytes() == again.read_bytes() == marked
    assert detect_file(first).verdict == "marked"


def test_no_file_that_is_there_is_touched_unless_told(image, marking, tmp_path):
    taken = tmp_path / "taken.png"
    taken.write_bytes(b"mine")

    for out in (taken, image):
        with pytest.raises(NotMarkable, match="is there already"):
            mark_file(image, marking, out=out)
    dry = mark_file(image, marking, dry_run=True)
    assert not dry.path.exists()
    assert taken.read_bytes() == b"mine"
    assert mark_file(image, marking, in_place=True).path == image
    with pytest.raises(NotMarkable, match="carries a manifest already"):
        mark_file(image, marking, in_place=True)


def test_a_text_whose_provenance_is_in_the_way_is_left_alone(marking, tmp_path):
    source = tmp_path / "note.md"
    source.write_text("x", encoding="utf-8")
    (tmp_path / f"note.marked.md{SIDECAR}").write_text("{}", encoding="utf-8")

    with pytest.raises(NotMarkable, match="is there already"):
        mark_file(source, marking)
    assert not (tmp_path / "note.marked.md").exists()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.png", b"no picture", "a.png: cannot be read as image/png"),
        ("a.exe", b"", "cannot be marked; known are"),
        ("a.txt", b"\xff\xfe", "is not UTF-8"),
        ("a.wav", b"RIFF", "a.wav: cannot be read as audio/wav"),
    ],
)
def test_a_file_that_cannot_be_marked_is_named_with_its_reason(name, data, says, marking, tmp_path):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(MarkError, match=says) as caught:
        mark_file(tmp_path / name, marking)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_animation_and_a_file_without_any_mark_are_refused(marking, tmp_path, image):
    from PIL import Image

    frames = [Image.new("RGB", (200, 200), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])

    with pytest.raises(NotMarkable, match="is animated"):
        mark_file(tmp_path / "a.webp", marking)
    with pytest.raises(NotMarkable, match="nothing to put on it"):
        mark_file(image, replace(marking, label=None, watermark=None, signer=None))
    with pytest.raises(NotMarkable, match=r"must end in \.png"):
        mark_file(image, marking, out=tmp_path / "a.jpg")


def deep_png(pixels) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels.astype(np.uint16) * 257)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    made = [struct.pack(">I", len(data)) + kind + data for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(one + struct.pack(">I", zlib.crc32(one[4:])) for one in made)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_deep_picture_keeps_its_bits_or_is_refused(channels, marking, tmp_path):
    """Pillow opens it as one of 8 bits and says nothing."""
    plain = picture(7, width=400, height=300)
    pixels = np.concatenate([plain, plain[:, :, :1]], axis=2)[:, :, :channels]
    (tmp_path / "deep.png").write_bytes(deep_png(pixels))

    with pytest.raises(NotMarkable, match="more than 8 bits"):
        mark_file(tmp_path / "deep.png", marking)
    only_signed = mark_file(tmp_path / "deep.png", replace(marking, label=None, watermark=None))
    assert only_signed.path.read_bytes()[24] == 16


@pytest.mark.parametrize("how", ["grey", "colour", "animated"])
def test_saving_again_as_what_cannot_be_marked_hides_no_watermark(how, image, marking, keys, tmp_path):
    marked = opened(mark_file(image, marking).path)
    if how == "grey":
        grey = np.asarray(marked.convert("L")).astype(np.uint16) * 257
        save(tmp_path / "again.png", grey)
    elif how == "colour":
        (tmp_path / "again.png").write_bytes(deep_png(np.asarray(marked.convert("RGB"))))
    else:
        frames = [marked.convert("RGB"), marked.convert("RGB").rotate(180)]
        frames[0].save(tmp_path / "again.png", save_all=True, append_images=frames[1:])

    seen = detect_file(tmp_path / "again.png", trust=keys.trust, watermark=keys.watermark)

    assert seen.verdict == "stripped"


def test_a_colour_profile_that_does_not_fit_the_marked_picture_is_left_out(marking, tmp_path):
    """The marked picture is RGB: under a profile of inks or of grey it would be shown wrongly, or not at all."""
    from PIL import Image, ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    plain = Image.fromarray(picture(7, width=400, height=300))
    plain.save(tmp_path / "rgb.jpg", icc_profile=bytes(profile))
    profile[16:20] = b"CMYK"
    plain.convert("CMYK").save(tmp_path / "inks.jpg", icc_profile=bytes(profile))
    marked = {name: opened(mark_file(tmp_path / name, marking).path) for name in ("rgb.jpg", "inks.jpg")}

    assert {name: "icc_profile" in one.info for name, one in marked.items()} == {"rgb.jpg": True, "inks.jpg": False}
    assert marked["inks.jpg"].mode == "RGB"


def test_a_key_in_a_vault_signs_by_a_function(keys, image):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_private_key(str(keys.signer_key).encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = Signer(chain=str(keys.signer), sign=lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())))

    signed = sign_manifest(image.read_bytes(), mime="image/png", signer=signer, model="m", title="t")

    seen = read_manifest(signed, mime="image/png", trust=keys.trust)
    assert seen is not None
    assert seen.state == "trusted"


def test_keys_that_do_not_fit_together_are_refused(keys, image):
    other = make_chain(now=datetime.now(UTC))
    wrong = {
        "another's key": Signer(chain=str(keys.signer), sign=other.key),
        "a root that signs": Signer(chain=other.root, sign=other.key),
        "no key": Signer(chain=str(keys.signer), sign="rubbish"),
        "no chain": Signer(chain="rubbish", sign=other.key),
        "an expired chain": expired(),
    }
    for signer in wrong.values():
        with pytest.raises(KeysUnusable):
            sign_manifest(image.read_bytes(), mime="image/png", signer=signer, model="m", title="t")


def expired() -> Signer:
    old = make_chain(now=datetime(2020, 1, 1, tzinfo=UTC), days=10)
    return Signer(chain=old.signer, sign=old.key)


def test_a_keys_folder_is_written_once_and_its_secrets_are_private(tmp_path):
    paths = write_keys(tmp_path / "k", now=NOW)

    assert {path.name: path.stat().st_mode & 0o077 for path in paths if path.suffix == ".key"} == {
        "signer.key": 0,
        "watermark.key": 0,
    }
    with pytest.raises(KeysUnusable, match="never replaced"):
        write_keys(tmp_path / "k", now=NOW)
    (tmp_path / "k" / "watermark.key").write_text("abc")
    with pytest.raises(KeysUnusable, match="32 hex digits"):
        read_keys(tmp_path / "k")
    (tmp_path / "k" / "trust.pem").write_text("-----BEGIN CERTIFICATE-----\nrubbish\n")
    with pytest.raises(KeysUnusable, match="no readable certificate"):
        read_keys(tmp_path / "k")
    with pytest.raises(KeysUnusable, match="no such folder"):
        read_keys(tmp_path / "nowhere")


def test_a_certificate_that_has_expired_is_untrusted_and_said_so(image, marking):
    """Its bytes are in order; that it signed before nobody shows."""
    chain = make_chain(now=datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=3), days=1)
    signer = Signer(chain=chain.signer, sign=chain.key)
    made = mark_file(image, replace(marking, watermark=None, signer=signer)).path

    while (found := detect_file(made, trust=chain.root)).verdict == "marked":
        time.sleep(0.2)

    assert found.verdict == "untrusted"
    assert "the signer's certificate has expired" in found.sentences[0]


@pytest.mark.parametrize("in_place", [True, False])
def test_what_only_its_owner_may_read_stays_so(image, marking, in_place):
    image.chmod(0o600)

    made = mark_file(image, marking, in_place=in_place)

    assert made.path.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link_and_its_target_is_marked(tmp_path, image, marking):
    link = tmp_path / "link.png"
    link.symlink_to(image)

    made = mark_file(link, marking, in_place=True)

    assert link.is_symlink()
    assert made.path == image
    assert detect_file(image, watermark=marking.watermark).watermark.is_there


@pytest.mark.parametrize(("how", "chunk"), [({"lossless": True}, b"VP8L"), ({"quality": 80}, b"VP8 ")])
def test_a_webp_keeps_its_kind(tmp_path, marking, how, chunk):
    """A drawing without losses stays one, and a photograph does not become ten times as large."""
    source = save(tmp_path / "made.webp", picture(7, width=400, height=300), **how)
    made = mark_file(source, replace(marking, signer=None)).path

    assert chunk in made.read_bytes()[:64]


def test_a_watermark_is_not_put_over_another_of_the_same_key(image, marking):
    once = mark_file(image, replace(marking, signer=None))

    with pytest.raises(NotMarkable, match=f"payload {once.payload}.; mark the original"):
        mark_file(once.path, marking)
    other = replace(marking, signer=None, watermark=os.urandom(32))
    assert mark_file(once.path, other).payload


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_notice_goes_below_front_matter(tmp_path, marking, end):
    """Which counts at the very top of a file only."""
    path, block = tmp_path / "post.md", end.join(["---", "title: A post", "---", ""])
    path.write_bytes((block + f"# A post{end}").encode())

    made = mark_file(path, marking).path

    text = made.read_bytes().decode()
    assert text.startswith(f"{block}This text was generated by an AI system.{end}{end}# A post")
    assert detect_file(made).notice
    assert mark_file(made, marking, out=tmp_path / "again.md").path.read_bytes() == made.read_bytes()


def test_a_rule_at_the_top_of_a_text_is_no_front_matter(tmp_path, marking):
    path = tmp_path / "post.md"
    path.write_text("---\nOnce.\n")

    assert mark_file(path, marking).path.read_text().startswith("This text was generated")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_text_in_another_encoding_is_refused_and_not_mangled(tmp_path, marking, encoding):
    path = tmp_path / "note.txt"
    path.write_bytes("Once.".encode(encoding))

    with pytest.raises(NotMarkable, match="is not UTF-8"):
        mark_file(path, marking)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (159, 300), (2000, 1)])
def test_a_picture_that_is_too_small_says_so(tmp_path, marking, width, height):
    path = save(tmp_path / "small.png", np.zeros((height, width, 3), np.uint8))

    with pytest.raises(NotMarkable, match=r"does not fit|too few"):
        mark_file(path, marking)
    assert detect_file(path, watermark=marking.watermark).verdict == "none"
