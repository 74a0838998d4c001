"""YAML files with line numbers: parse, validate, and say where a fault stands."""

import datetime as dt
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from safecase.declare._errors import PackError, Problem

Location = Sequence[int | str]
ModelT = TypeVar("ModelT", bound=BaseModel)

# A declared file is a few hundred lines. These bounds stop a file from elsewhere that would fill memory, be it by
# size, by depth or by aliases that multiply.
_MAX_CHARACTERS = 1_000_000
_MAX_NODES = 300_000
_MAX_DEPTH = 40

# What the quick parser would read as something else, or not at all: tags, names of anchors with signs, merge keys,
# directives. Or would take where the other refuses it: tabs, a value close on a quoted key, block scalars with a
# comment or a line of blanks at their head.
_SLOW = re.compile(r"(?:^|[\s\[{,:])(?:!|[&*][\w-]*[?:%@`])|<<|^%|\t|[\"']:\S|[|>][-+0-9]*(?:#| *\n +\n)", re.MULTILINE)
# It descends in C, where too deep a file ends the process. No file within both bounds has more levels than their sum:
# what opens a level in brackets, and what stands before the first word of a line, two levels a column.
_MOST_OPENED = 1_000
_FAR_IN = re.compile(r"(?<![ ?:-])[ ?:-]{500}")

# Two-word kinds for messages: which list an item without a better name stands in.
_KINDS = {
    "gates": "gate",
    "domains": "domain",
    "outcomes": "outcome",
    "threat_scenarios": "scenario",
    "scenarios": "scenario",
    "capabilities": "capability",
    "suites": "suite",
    "tiers": "tier",
    "contexts": "context",
    "roles": "role",
    "principles": "principle",
    "terms": "term",
    "rules": "rule",
    "refused": "refused entry",
}


def read_text(path: Path) -> str:
    """What a declared file says.

    Raises:
        PackError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackError((Problem(file=path, line=1, what="is not UTF-8 text", mend="save it as UTF-8"),)) from error
    except OSError as error:
        what, mend = f"cannot be read ({error.strerror})", f"check the path {str(path)!r}"
        raise PackError((Problem(file=path, line=1, what=what, mend=mend),)) from error


class Document:
    """A parsed YAML file that remembers the line of every key.

    Attributes:
        path: where it came from, named in every fault.
        text: what was read.
        values: the mapping as plain dictionaries, lists and scalars.
        data: the same with lines; parsed when a line is asked for.

    Raises:
        PackError: the file cannot be read or is not YAML.
    """

    def __init__(self, path: Path, *, text: str | None = None) -> None:
        self.path = path
        self.text = read_text(path) if text is None else text
        if len(self.text) > _MAX_CHARACTERS:
            raise self._refusal(1, f"holds {len(self.text)} characters", f"keep it below {_MAX_CHARACTERS}")
        parsed = self._quick()
        if not isinstance(parsed, dict):
            raise self._refusal(1, "holds no mapping", "start with `id:` and the other fields")
        self._nodes = 0
        # `Any`: YAML is untyped until Pydantic has seen it.
        self.values: Any = self._plain(parsed, ())

    @classmethod
    def of(cls, text: str, *, path: Path) -> Self:
        """A document from text that stands, or is to stand, at a path."""
        return cls(path, text=text)

    def line(self, location: Location) -> int:
        """The line, from 1, of the deepest part of a location that the file holds."""
        node, line = self.data, 1
        for part in location:
            if isinstance(node, CommentedMap) and part in node and part in node.lc.data:
                line = node.lc.key(part)[0] + 1
                node = node[part]
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1
                node = node[part]
            else:
                break
        return int(line)

    def problem(self, location: Location, what: str, mend: str) -> Problem:
        """A fault at a location of this file."""
        return self._at(self.line(location), what, mend)

    def parse(self, model: type[ModelT]) -> ModelT:
        """Validate the file as a model.

        Raises:
            PackError: one problem for every field that does not fit.
        """
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            problems = [self._from_pydantic(fault) for fault in error.errors()]
            raise PackError(tuple(sorted(problems, key=lambda problem: problem.line))) from error

    @cached_property
    def data(self) -> Any:
        return self._load()

    def _quick(self) -> Any:
        """The values by a parser in C, a sixth of the time; what it may read otherwise, or refuses, by `_load`."""
        if self.text.count("[") + self.text.count("{") > _MOST_OPENED or _FAR_IN.search(self.text):
            return self.data
        if _SLOW.search(self.text):
            return self.data
        try:
            return YAML(typ="safe").load(self.text)
        except (YAMLError, ValueError, TypeError, RecursionError):
            return self.data

    def _load(self) -> Any:
        try:
            return YAML(typ="rt").load(self.text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = (error.problem or error.context or "cannot be parsed").splitlines()[0]
            raise self._refusal(mark.line + 1 if mark else 1, f"not YAML: {what}", "mend the syntax there") from error
        except (YAMLError, ValueError, TypeError) as error:
            raise self._refusal(1, f"not YAML: {str(error).splitlines()[0]}", "mend the syntax") from error
        except RecursionError as error:
            raise self._refusal(1, "is nested too deeply", f"keep it below {_MAX_DEPTH} levels") from error

    def _plain(self, node: Any, at: tuple[int | str, ...]) -> Any:
        """Nodes, round-trip ones too, as plain containers and scalars."""
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(at) > _MAX_DEPTH:
            raise PackError((self.problem(at, "the file unfolds without end", "write it without aliases"),))
        if isinstance(node, dict):
            return {str(key): self._plain(value, (*at, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self._plain(item, (*at, index)) for index, item in enumerate(node)]
        if isinstance(node, ScalarBoolean):  # one with an anchor, which is a kind of int
            return bool(node)
        for scalar in (bool, int, float, str):  # ruamel's scalars carry their style; the values should not
            if isinstance(node, scalar):
                return scalar(node)
        if node is None or isinstance(node, dt.date):
            return node
        raise PackError((self.problem(at, f"a YAML {type(node).__name__} has no meaning here", "write a plain value"),))

    def _from_pydantic(self, fault: Any) -> Problem:
        location = fault["loc"]
        where, name = self._subject(location)
        message = fault["msg"].removeprefix("Value error, ")
        limits = fault.get("ctx", {})
        match fault["type"]:
            case "extra_forbidden":
                return self.problem(location, f"{where}unknown field {name!r}", "remove it or mend its spelling")
            case "missing":
                return self.problem(location, f"{where}field {name!r} is missing", "add it")
            case "too_short":
                return self.problem(location, f"{where}{name} names nothing", "name at least one")
            case "literal_error":
                mend = f"use one of {limits['expected'].replace(' or ', ', ')}"
            case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
                mend = message[0].lower() + message[1:].replace("Input should be", "it must be")
                mend = mend.replace("input should be", "it must be")
            case "string_pattern_mismatch":
                mend = "use lower-case words joined by '-' or '.'"
            case "string_too_short":
                mend = "write something there"
            case "value_error":
                return self.problem(location, f"{where}{name}: {message}", "give what it asks for")
            case _:
                mend = message[0].lower() + message[1:]
        return self.problem(location, f"{where}{name} is {fault['input']!r:.80}", mend)

    def _subject(self, location: Location) -> tuple[str, str]:
        """The innermost thing with an id that a location passes, as \"gate 'x': \", and the path left after it."""
        node, named, rest = self.values, "", 0
        for depth, part in enumerate(location):
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
            kind = _KINDS.get(str(location[depth - 1])) if isinstance(part, int) and depth else None
            if kind and isinstance(node, dict) and isinstance(node.get("id"), str):
                named, rest = f"{kind} {node['id']!r}: ", depth + 1
        return named, ".".join(str(part) for part in location[rest:]) or "the file"

    def _refusal(self, line: int, what: str, mend: str) -> PackError:
        return PackError((self._at(line, what, mend),))

    def _at(self, line: int, what: str, mend: str) -> Problem:
        return Problem(file=self.path, line=line, what=what, mend=mend)
