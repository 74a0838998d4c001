"""The desk of a case: who sits at it, where its records are, which laws it answers to.

`respond.yaml` beside `safecase.yaml` declares it; without one the defaults below hold, and nobody may read what is
confidential.
"""

import datetime as dt
import os
import re
import shlex
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from safecase.assess import Case, Clock, record, utc_now
from safecase.declare import Document, Record
from safecase.evidence import Entry, write_atomic
from safecase.registry import Registry
from safecase.respond._errors import BadWord
from safecase.respond._packs import Loaded, load_packs

FILE = "respond.yaml"
FOLDER = "respond"
REGISTRY_VARIABLE = "SAFECASE_REGISTRY"
SCANNER_VARIABLE = "SAFECASE_SCANNER"
"""Names a command. It is the machine's and no line of the case: a case that is handed on would run its sender's."""
_PURPOSE = "respond-registry-v1"
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")

Name = Annotated[str, Field(min_length=1, max_length=120)]


class People(Record):
    """Who may do what. An empty list of triage or security leaves it to whoever has the case; compliance to nobody."""

    triage: tuple[Name, ...] = ()
    security: tuple[Name, ...] = ()
    compliance: tuple[Name, ...] = ()


class IntakeLimits(Record):
    """What one report may hold, and how fast reports may come."""

    per_minute: Annotated[int, Field(ge=1)] = 6
    per_minute_all: Annotated[int, Field(ge=1)] = 600
    characters: Annotated[int, Field(ge=100, le=100_000)] = 20_000
    attachments: Annotated[int, Field(ge=0, le=20)] = 3
    attachment_bytes: Annotated[int, Field(ge=1_000, le=50_000_000)] = 5_000_000


class Bounty(Record):
    """What security reports are paid, by severity; whole units."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    amounts: dict[Annotated[int, Field(ge=1, le=4)], Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class DeskSpec(Record):
    """`respond.yaml`.

    Attributes:
        contact: where security researchers write (`mailto:` or `https:`); without one no security.txt is served.
        app_keys: SHA-256 of the keys by which in-app feedback is told from the public's.
        packs: clock packs, by the id of a shipped one or by path.
    """

    organisation: Name = "the operator of this model"
    contact: Annotated[str, Field(pattern=r"^(mailto:|https://)\S+$")] | None = None
    policy: Annotated[str, Field(pattern=r"^https://\S+$")] | None = None
    languages: tuple[Name, ...] = ("en",)
    registry: str | None = None
    people: People = People()
    limits: IntakeLimits = IntakeLimits()
    bounty: Bounty = Bounty()
    app_keys: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = ()
    packs: tuple[str, ...] = ("framework", "eu-cop", "us-ca-sb53", "us-ny-raise")

    @field_validator("registry")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        """The file is handed on with the case."""
        if url is not None and _PASSWORD.search(url):
            raise ValueError(f"it holds a password; give the whole URL in ${REGISTRY_VARIABLE} instead")
        return url

    @model_validator(mode="after")
    def _one_line_each(self) -> Self:
        """A line break in any of these would forge a line of security.txt."""
        for value in (self.organisation, self.contact, self.policy, *self.languages):
            if value is not None and any(unicodedata.category(sign)[0] == "C" for sign in value):
                raise ValueError(f"{value!r} holds a control character")
        return self


_TEMPLATE = """\
# Who takes in reports, and what is owed. Every line may go; these are the defaults, but for the comments.
organisation: the operator of this model
# contact: mailto:security@your-domain   # then /.well-known/security.txt is served
# policy: https://your-domain/disclosure
languages: [en]
# registry: postgresql+psycopg://safecase@db/registry   # SQLite in respond/ without it
people:
  triage: []       # nobody named: whoever has the case
  security: []     # the same
  compliance: []   # nobody named: nobody reads confidential reports
limits: {per_minute: 6, per_minute_all: 600, characters: 20000, attachments: 3, attachment_bytes: 5000000}
bounty: {currency: USD, amounts: {}}
packs: [framework, eu-cop, us-ca-sb53, us-ny-raise]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A desk, open. Use it in a `with` block.

    Attributes:
        scanner: program and arguments that every file is given to; empty for none.
    """

    case: Case
    spec: DeskSpec
    registry: Registry
    packs: Mapping[str, Loaded]
    scanner: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.registry.close()

    def log(self, action: str, *, by: str, at: dt.datetime, **subject: Any) -> Entry:
        """Name a decision in the case's ledger, with the head of the registry that holds it."""
        said = {**subject, "registry_head": self.registry.head()}
        return self.case.ledger.append(action, actor=by, subject=said, at=at)

    def person_hash(self, person: str) -> str:
        """What stands for a person's name where the name must not."""
        return self.registry.keyed_hash("person", person_key(person))


def open_desk(case: Case, *, now: Clock = utc_now) -> Desk:
    """Open a case's desk, and make its registry where there is none. A new `respond.yaml` is named in the ledger.

    The registry is the one that `$SAFECASE_REGISTRY` names, else `registry:` of `respond.yaml`, else
    `respond/registry.db` in the case. Its key comes from the case's vault key, which lies outside the case.

    Raises:
        PackError: `respond.yaml` or a clock pack is wrong, with file and line.
        KeyTrouble: the vault's key cannot be used.
        RegistryError: the registry cannot be opened.
    """
    spec = load_desk(case.path)
    if (declared := case.path / FILE).exists():
        record(case, FILE, declared.read_bytes(), action="desk-declared", now=now)
    packs = load_packs(spec.packs, beside=case.path)
    url = os.environ.get(REGISTRY_VARIABLE) or spec.registry
    if url is None:
        folder = case.path / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        url = f"sqlite:///{folder.resolve() / 'registry.db'}"
    key = case.vault(create=True, now=now).derive(_PURPOSE)
    scanner = tuple(shlex.split(os.environ.get(SCANNER_VARIABLE, "")))
    return Desk(case=case, spec=spec, registry=Registry.open(url, key=key), packs=packs, scanner=scanner)


def has_desk(case: Case) -> bool:
    """Whether a case has a registry already, which opening its desk would make.

    Raises:
        PackError: `respond.yaml` is wrong.
    """
    elsewhere = os.environ.get(REGISTRY_VARIABLE) or load_desk(case.path).registry
    return elsewhere is not None or (case.path / FOLDER / "registry.db").exists()


def new_desk(folder: Path) -> Path:
    """Write a `respond.yaml` to fill in.

    Raises:
        BadWord: one is there.
    """
    try:
        write_atomic(folder / FILE, _TEMPLATE.encode(), replace=False)
    except FileExistsError:
        raise BadWord(f"{folder / FILE}: it is there already; edit it") from None
    return folder / FILE


def check_registry(desk: Desk) -> tuple[str, ...]:
    """What does not hold of the registry, against its own chain and every head that the case's ledger names."""
    heads = [entry.subject["registry_head"] for entry in desk.case.ledger.entries() if "registry_head" in entry.subject]
    found = desk.registry.check()
    missing = [head for head in dict.fromkeys(heads) if not desk.registry.has_head(head)]
    lost = f"the ledger names {len(missing)} heads that the registry does not have; it was cut short or written anew"
    return (*found, lost) if missing else found


def load_desk(folder: Path) -> DeskSpec:
    """Read `respond.yaml`, or take the defaults where there is none."""
    path = folder / FILE
    return Document(path).parse(DeskSpec) if path.exists() else DeskSpec()


def person_key(person: str) -> str:
    """One text for the spellings of one name.

    >>> person_key(" Ada  LOVELACE")
    'ada lovelace'
    """
    return " ".join(unicodedata.normalize("NFKC", person).casefold().split())


def person_name(person: str) -> str:
    """A person's name as kept.

    Raises:
        BadWord: it is empty or holds a control character.
    """
    plain = " ".join(unicodedata.normalize("NFC", person).split())
    if not plain or any(unicodedata.category(sign)[0] == "C" for sign in plain):
        raise BadWord(f"--by is {person!r}; give the name of a person")
    return plain
