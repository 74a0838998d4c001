"""Pack a case for somebody else, without its sealed answers."""

import json
import zipfile
from pathlib import Path

from safecase.assess._case import Case
from safecase.evidence import canonical_json

MANIFEST = "bundle.json"
PEOPLES = ("evidence/redteam/", "respond/")
"""What people said: transcripts of red teaming, the desk's registry and drafts. They stay with the case, and no number
of an assessment is made from them."""
TRANSCRIPTS = "evidence/transcripts/"
"""Transcripts of suites. Where they are sealed they stay with the case; numbers are made from the attempts beside."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def bundle_case(case: Case, out: Path) -> tuple[Path, tuple[str, ...]]:
    """Write a zip of the case, leaving out every segment that holds a sealed answer, and people's transcripts.

    The engine writes sealed answers into segments of their own, so a case without chemical, biological or cyber trials
    is packed whole. The same case gives the same bytes.

    Returns:
        The file, and the paths left out; `bundle.json` inside lists them with the reason.

    Raises:
        FileExistsError: `out` is there already.
    """
    sealed = {segment.path for store in (case.trials, case.attempts) for segment in store.sealed_segments()}
    files = sorted(
        path.relative_to(case.path).as_posix()
        for path in case.path.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    left_out = tuple(name for name in files if name in sealed or name.startswith(PEOPLES))
    stays = frozenset(left_out)
    manifest = canonical_json(
        {
            "left_out": left_out,
            "reason": "answers to chemical, biological and cyber requests, and what people said, stay where they are",
        }
    )
    with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in files:
            if name not in stays:
                archive.writestr(zipfile.ZipInfo(f"{case.path.name}/{name}", _EPOCH), (case.path / name).read_bytes())
        archive.writestr(zipfile.ZipInfo(f"{case.path.name}/{MANIFEST}", _EPOCH), manifest + b"\n")
    return out, left_out


def left_out_of(case: Case) -> frozenset[str]:
    """Paths that a bundle left out; empty for a whole case."""
    path = case.path / MANIFEST
    return frozenset(json.loads(path.read_bytes())["left_out"]) if path.exists() else frozenset()
