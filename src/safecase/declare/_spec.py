"""The model spec: principles with their reasons, from which the system prompt is made."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field

from safecase.declare._framework import Id, Record, Text
from safecase.declare._yaml import Document, read_text


class Principle(Record):
    """One testable rule of conduct and why it holds."""

    id: Id
    rule: Text
    reason: Text
    categories: tuple[Id, ...] = Field(default=(), description="bank categories it speaks about")


class ModelSpec(Record):
    """Principles with reasons, and the preamble that opens the system prompt."""

    id: Id
    version: Text
    preamble: Text
    principles: tuple[Principle, ...] = Field(min_length=1)

    def system_prompt(self) -> str:
        """The text put before every guarded conversation: preamble, then rule and reason, a line each."""
        return "\n".join([self.preamble, *(f"- {p.rule} Why: {p.reason}" for p in self.principles)])


def load_model_spec(name: str, *, beside: Path | None = None) -> ModelSpec:
    """Load `default` or a file.

    Args:
        name: `default`, or a path, relative to `beside` when that is given.

    Raises:
        PackError: the file has faults.
    """
    path = Path(__file__).parent / "specs" / "default.yaml" if name == "default" else (beside or Path()) / name
    return _parsed(path, read_text(path))


@lru_cache(maxsize=16)  # as of packs
def _parsed(path: Path, text: str) -> ModelSpec:
    return Document.of(text, path=path).parse(ModelSpec)
