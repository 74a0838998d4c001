"""A key is bound to its host."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from safecase.models import BadKey
from safecase.models._keys import find_key, is_loopback, key_variable

_LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
_HOST = st.lists(_LABEL, min_size=1, max_size=3).map(".".join)


@given(_HOST, _HOST)
def test_two_hosts_never_share_a_variable(one: str, other: str) -> None:
    """Or whoever registers `api-example.org` could ask for the key of `api.example.org`."""
    assert (key_variable(one) == key_variable(other)) == (one == other)


def test_a_hyphen_is_not_a_dot() -> None:
    assert key_variable("api-mistral.ai") != key_variable("api.mistral.ai")


def test_a_hosts_own_variable_is_found() -> None:
    environ = {"SAFECASE_API_KEY_LLM_EXAMPLE_ORG": "k1"}

    assert find_key(URL("https://llm.example.org/v1"), environ=environ) == "k1"
    assert find_key(URL("https://LLM.Example.org/v1"), environ=environ) == "k1"


@pytest.mark.parametrize(
    "base",
    [
        "https://evil.example/v1",
        "https://llm.example.org.evil.example/v1",
        "https://llm-example.org/v1",
        "https://xllm.example.org/v1",
        "https://api.openai.com.evil.example/v1",
        "https://llm.example.org@evil.example/v1",
    ],
)
def test_another_host_gets_no_key(base: str) -> None:
    environ = {"SAFECASE_API_KEY_LLM_EXAMPLE_ORG": "k1", "OPENAI_API_KEY": "k2"}

    assert find_key(URL(base), environ=environ) is None


def test_the_openai_key_goes_to_openai_only() -> None:
    environ = {"OPENAI_API_KEY": "k2"}

    assert find_key(URL("https://api.openai.com/v1"), environ=environ) == "k2"
    assert find_key(URL("http://127.0.0.1:8000/v1"), environ=environ) is None


def test_a_key_does_not_travel_unencrypted() -> None:
    environ = {"SAFECASE_API_KEY_LLM_EXAMPLE_ORG": "k1", "OPENAI_API_KEY": "k2"}

    for base in ("http://llm.example.org/v1", "http://api.openai.com/v1"):
        with pytest.raises(BadKey, match="unencrypted") as caught:
            find_key(URL(base), environ=environ)
        assert "k1" not in str(caught.value)
        assert "k2" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    with pytest.raises(BadKey, match="SAFECASE_API_KEY_LOCALHOST") as caught:
        find_key(URL("http://localhost/v1"), environ={"SAFECASE_API_KEY_LOCALHOST": "se\ncret"})

    assert "se\ncret" not in str(caught.value)


def _keys_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_keys_file_is_read_by_host_and_port(tmp_path: Path) -> None:
    path = _keys_file(tmp_path, "llm.example.org: k1\nllm.example.org:8443: k2\nhttp://10.0.0.5:8000: k3\n")

    def found(base: str) -> str | None:
        return find_key(URL(base), environ={}, keys_file=path)

    assert found("https://llm.example.org/v1") == "k1"
    assert found("https://llm.example.org:8443/v1") == "k2"
    assert found("http://10.0.0.5:8000/v1") == "k3"  # written with http://, so meant to go unencrypted
    assert found("http://10.0.0.5:8001/v1") is None
    assert found("https://other.example.org/v1") is None


def test_a_keys_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = _keys_file(tmp_path, "llm.example.org: k1\n", mode=0o644)

    with pytest.raises(BadKey, match="chmod 600"):
        find_key(URL("https://llm.example.org/v1"), environ={}, keys_file=path)


@pytest.mark.parametrize("text", ["- a\n", "a: [1]\n", "a: 1\n", "a: 'b\n"])
def test_a_keys_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadKey, match="host: key"):
        find_key(URL("https://llm.example.org/v1"), environ={}, keys_file=_keys_file(tmp_path, text))


def test_loopback_is_read_off_the_text() -> None:
    assert all(is_loopback(URL(base)) for base in ("http://127.0.0.1", "http://127.9.9.9", "http://[::1]"))
    assert not any(is_loopback(URL(base)) for base in ("http://0.0.0.0", "http://localhost.example", "http://10.0.0.1"))
