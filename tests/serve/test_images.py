"""Pictures through the gateway: the prompt is checked, and every picture that goes out is marked."""

import base64
import io
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import numpy as np
import pytest

from safecase.mark import Keys, Label, Signer, find, read_keys, read_manifest, sign_manifest, write_keys
from safecase.serve import Images, Upstream
from safecase.serve._unsigned import without_manifest
from safecase.testing import StubEndpoint, StubReply, picture

from .gateways import KEY, Running, gateway, words_stack

openai = pytest.importorskip("openai")
pytest.importorskip("c2pa", reason="needs the extra mark")
pytest.importorskip("pywt", reason="needs the extra mark")
image_module = pytest.importorskip("PIL.Image", reason="needs the extra mark")
pytestmark = pytest.mark.mark


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("marks") / "keys"
    write_keys(folder, now=datetime.now(UTC))
    return read_keys(folder)


def png(form: str = "PNG") -> bytes:
    out = io.BytesIO()
    image_module.fromarray(picture(3, width=512, height=384)).save(out, form)
    return out.getvalue()


def reply(data: bytes = b"", **fields: Any) -> StubReply:
    encoded = base64.b64encode(data or png()).decode()
    return StubReply(raw=[json.dumps({"created": 1, "data": [{"b64_json": encoded, **fields}]}).encode()])


def images(stub: StubEndpoint, keys: Keys, **fields: Any) -> Images:
    return Images(
        upstream=Upstream(base_url=stub.url, serves="painter"),
        label=Label(text="AI-generated"),
        watermark=keys.watermark,
        signer=Signer(chain=keys.signer or "", sign=keys.signer_key or ""),
        **fields,
    )


async def generate(running: Running, **fields: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as client:
        return await client.images.generate(**{"model": "painter", "prompt": "A lighthouse", **fields})


async def test_a_picture_carries_label_watermark_and_manifest(keys: Keys):
    async with (
        StubEndpoint([reply(revised_prompt="A white lighthouse")]) as stub,
        gateway(stub.url, stack=words_stack(), images=images(stub, keys)) as running,
    ):
        made = await generate(running)
        await running.wait_for_events()

    data = base64.b64decode(made.data[0].b64_json)
    manifest = read_manifest(data, mime="image/png", trust=keys.trust)
    assert manifest is not None
    assert manifest.says_generated
    assert manifest.state == "trusted"
    pixels = image_module.open(io.BytesIO(data)).convert("RGB")
    assert keys.watermark is not None
    assert find(np.asarray(pixels), key=keys.watermark).is_there
    assert made.data[0].revised_prompt == "A white lighthouse"
    assert (running.event.route, running.event.outcome) == ("/v1/images/generations", "served")


@pytest.mark.parametrize(
    ("fields", "answer", "status", "code"),
    [
        ({"prompt": "A z\u200banziscope"}, {}, 400, "content_filter"),
        ({"style": "zanziscope"}, {}, 400, "content_filter"),
        ({}, {"revised_prompt": "A zanziscope"}, 400, "content_filter"),
        ({}, {"b64_json": None, "url": "http://127.0.0.1:1/x.png"}, 502, "picture-by-address"),
        ({}, {"b64_json": "AAAA"}, 502, "unmarkable"),
        ({}, {"b64_json": "?"}, 502, "upstream-malformed"),
        ({}, {"b64_json": "\u00e9"}, 502, "upstream-malformed"),
        ({"stream": True}, {}, 400, "bad-request"),
        ({"response_format": "url"}, {}, 400, "bad-request"),
        ({"moderation": "low"}, {}, 400, "bad-request"),
    ],
)
async def test_nothing_unchecked_or_unmarked_goes_out(
    fields: dict[str, Any], answer: dict[str, Any], status: int, code: str, keys: Keys
):
    async with (
        StubEndpoint([reply(**answer)]) as stub,
        gateway(stub.url, stack=words_stack(), images=images(stub, keys)) as running,
    ):
        body = {"model": "painter", "prompt": "A lighthouse", **fields}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{running.url}/images/generations", json=body, headers=headers) as got,
        ):
            told = await got.json()

    assert (got.status, told["error"]["code"]) == (status, code)
    assert "zanziscope" not in json.dumps(told)


async def test_a_picture_is_fetched_from_a_host_that_is_named(keys: Keys):
    async with StubEndpoint([StubReply(raw=[png()], content_type="image/png")]) as host:
        address = host.url.replace("/v1", "/x.png")
        name = address.split("/")[2]
        async with (
            StubEndpoint([reply(b64_json=None, url=address)]) as stub,
            gateway(stub.url, stack=words_stack(), images=images(stub, keys, fetch=frozenset({name}))) as running,
        ):
            made = await generate(running)

    assert read_manifest(base64.b64decode(made.data[0].b64_json), mime="image/png") is not None
    assert "authorization" not in host.asked[0].headers


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("marks", ["all", "manifest"])
async def test_a_picture_that_its_maker_signed_goes_out_signed_by_us(keys: Keys, form: str, marks: str):
    """Servers of pictures sign what they make; one manifest stands in a file."""
    signer, mime = Signer(chain=keys.signer or "", sign=keys.signer_key or ""), f"image/{form.lower()}"
    theirs = sign_manifest(png(form), mime=mime, signer=signer, model="theirs", title="x")
    async with StubEndpoint([reply(theirs)]) as stub:
        ours = images(stub, keys)
        ours = ours if marks == "all" else Images(upstream=ours.upstream, signer=ours.signer)
        async with gateway(stub.url, stack=words_stack(), images=ours) as running:
            made = base64.b64decode((await generate(running)).data[0].b64_json)

    manifest = read_manifest(made, mime=mime, trust=keys.trust)
    assert manifest is not None
    assert (manifest.state, manifest.says_generated) == ("trusted", True)
    assert "painter" in manifest.generator
    assert "theirs" not in manifest.generator
    assert (manifest.watermark is not None) == (marks == "all")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_loses_its_manifest_and_nothing_else(keys: Keys, form: str):
    signer, mime, plain = (
        Signer(chain=keys.signer or "", sign=keys.signer_key or ""),
        f"image/{form.lower()}",
        png(form),
    )
    signed = sign_manifest(plain, mime=mime, signer=signer, model="theirs", title="x")

    taken = without_manifest(signed)

    assert read_manifest(taken, mime=mime) is None
    assert np.array_equal(*(np.asarray(image_module.open(io.BytesIO(one))) for one in (plain, taken)))
    assert without_manifest(plain) == plain
    for cut in range(0, len(signed), 97):
        without_manifest(signed[:cut])


def test_pictures_are_not_served_without_any_mark():
    with pytest.raises(ValueError, match="no mark"):
        Images(upstream=Upstream(base_url="http://127.0.0.1:1/v1", serves="painter"))
