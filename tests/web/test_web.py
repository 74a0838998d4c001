"""What every page has in common."""

import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from safecase.web import CannotListen, Refused, answer, is_key, key_id_of, listen, new_key

LOG = logging.getLogger("test")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Refused(429, "too-fast", "slower", retry_after_s=2.5), 429, "too-fast"),
        (web.HTTPNotFound(), 404, "no-such-page"),
        (ValueError("a secret"), 500, "fault"),
    ],
)
async def test_a_fault_is_an_error_in_one_form_and_carries_every_header(fault, status, code):
    async def handler(_: web.Request) -> web.StreamResponse:
        raise fault

    made = await answer(make_mocked_request("GET", "/"), handler, log=LOG)

    assert made.status == status
    assert isinstance(made, web.Response)
    assert f'"code": "{code}"'.encode() in made.body
    assert b"a secret" not in made.body
    assert made.headers["X-Content-Type-Options"] == "nosniff"
    assert made.headers.get("Retry-After") == ("3" if status == 429 else None)


async def test_an_address_that_is_taken_is_told_with_the_way_out():
    runner = web.AppRunner(web.Application())
    await runner.setup()
    url = await listen(runner, "127.0.0.1", 0)
    port = int(url.rstrip("/").rpartition(":")[2])
    other = web.AppRunner(web.Application())
    await other.setup()

    with pytest.raises(CannotListen, match=f"127.0.0.1:{port} .*; give another --host or --port"):
        await listen(other, "127.0.0.1", port)
    await other.cleanup()
    await runner.cleanup()


def test_a_key_fits_its_own_hash_under_its_own_salt_and_nothing_else():
    salt, other = "ab" * 32, "cd" * 32
    made = new_key("sc", salt)

    assert key_id_of(made.text, "sc") == made.key_id
    assert key_id_of(made.text, "rt") is None
    assert key_id_of(f" {made.text}", "sc") is None
    assert is_key(made.text, salt=salt, kept=made.hash)
    assert not is_key(made.text, salt=other, kept=made.hash)
    assert not is_key(made.text, salt=salt, kept=None)
    assert not is_key(new_key("sc", salt).text, salt=salt, kept=made.hash)
    assert not is_key("", salt=salt, kept=made.hash)
