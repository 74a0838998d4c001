"""Mark a picture, show what it says, strip it by saving it again, and still find it. Text and its headers too."""

import importlib.util
import shutil
from datetime import UTC, datetime
from pathlib import Path

from safecase.mark import Label, Marking, Signer, add_notice, detect_file, mark_file, provenance, read_keys, write_keys
from safecase.testing import picture

OUT = Path(__file__).parent / "out" / "mark"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
now = datetime.now(UTC)

# Text: a notice that people see; headers and JSON that programs read.
answer = add_notice("The sea covers most of the planet.")
about = provenance(model="text-1", provider="Example Lab", created=now, content=answer)
print(answer.splitlines()[0])
print(f"AI-Disclosure: {about.headers()['AI-Disclosure'].rpartition(',')[0]}")

if missing := [name for name in ("c2pa", "PIL", "pywt") if importlib.util.find_spec(name) is None]:
    print(f"pictures need {', '.join(missing)}; pip install 'safecase[mark]'")
    raise SystemExit

from PIL import Image  # noqa: E402  # of the extra

write_keys(OUT / "keys", now=now)  # a test chain; your own goes into the same places
keys = read_keys(OUT / "keys")
Image.fromarray(picture(1)).save(OUT / "sea.png")

marking = Marking(
    model="image-2",
    provider="Example Lab",
    created=now,
    label=Label(text="AI-generated", place="bottom-right"),
    watermark=keys.watermark,
    payload=bytes.fromhex("0000002a"),
    signer=Signer(chain=keys.signer or "", sign=keys.signer_key or ""),
)
done = mark_file(OUT / "sea.png", marking)
print(f"\n{done.path.name} carries {', '.join(done.marks)}")
for sentence in detect_file(done.path, trust=keys.trust, watermark=keys.watermark).sentences:
    print(f"  {sentence}")

with Image.open(done.path) as shown:  # what a site does to it: smaller, another format, no metadata
    shown.convert("RGB").resize((480, 360)).save(OUT / "stripped.jpg", quality=75)
seen = detect_file(OUT / "stripped.jpg", trust=keys.trust, watermark=keys.watermark)
print(f"\nstripped.jpg: {seen.verdict}")
for sentence in seen.sentences:
    print(f"  {sentence}")

unmarked = detect_file(OUT / "sea.png", trust=keys.trust, watermark=keys.watermark)
print(f"\nsea.png: {unmarked.verdict}")
