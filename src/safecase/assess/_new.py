"""Start a case: a directory with a `safecase.yaml` that runs as it is."""

from pathlib import Path

_TEMPLATE = """\
# What to assess. `safecase assess {name}` runs it; `safecase declare schema case` prints what
# every field means, for your editor.
id: {name}
title: Assessment of SmolLM2-135M-Instruct
framework: scaling-v2
author: unnamed
model:
  name: llama-cpp/smollm2-135m-instruct
  title: SmolLM2-135M-Instruct (4-bit)
  safeguard_state: partial
  # 6 x 135 million parameters x 2 trillion tokens; the size and the tokens are its authors' published figures.
  training_operations: 1.62e+21
  operations_source: 6 x 135e6 parameters x 2e12 tokens, from the published size and training tokens
  more_capable_than_reference: {{cyber: false, chem-bio: false, loss-of-control: false}}
  intended_uses: [local text assistance, software tests]
contexts: [{contexts}]
safeguards: default
judge: embedded
sampling:
  gates: [{gates}]
  intents: {intents}
  attacks: [{attacks}]
  attacks_per_intent: {per_intent}
  languages: [en]
  seed: 20260407
generation: {{max_tokens: {max_tokens}, temperature: 0.0, seed: 7}}
reference_class:
  - name: Qwen2.5-0.5B-Instruct
    why: an open-weights chat model of the next size up, used for the same tasks
  - name: SmolLM2-360M-Instruct
    why: its larger sibling, trained on the same kind of data
benefits:
  - who: people with small machines
    claim: runs offline on two cores, so private text need not leave the machine
    evidence: this case was run that way
"""


class CaseExists(Exception):
    """A case cannot be started where one stands."""


def new_case(
    directory: Path,
    *,
    contexts: tuple[str, ...] = ("internal", "limited", "controlled", "closed", "open"),
    gates: tuple[str, ...] = (),
    intents: int = 60,
    attacks: tuple[str, ...] = (),
    per_intent: int | None = None,
    max_tokens: int = 128,
) -> Path:
    """Write `safecase.yaml` into a new directory and return its path.

    Args:
        gates, intents, attacks, per_intent, max_tokens: the sampling it starts with (`declare.Sampling`).

    Raises:
        CaseExists: the directory holds a case already.
    """
    path = directory / "safecase.yaml"
    if path.exists():
        raise CaseExists(f"{str(path)!r} exists; choose another directory, or edit that file")
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(
        _TEMPLATE.format(
            name=case_id(directory.resolve().name),
            contexts=", ".join(contexts),
            gates=", ".join(gates),
            intents=intents,
            attacks=", ".join(attacks),
            per_intent="null" if per_intent is None else per_intent,
            max_tokens=max_tokens,
        ),
        encoding="utf-8",
    )
    return path


def case_id(name: str) -> str:
    """A directory name as a kebab-case id."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()
    return "-".join(words) or "case"
