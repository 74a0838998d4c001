"""YAML files with line numbers: parse, validate, and say where a fault stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from safecase.declare._errors import PackError, Problem

Location = Sequence[int | str]
ModelT = TypeVar("ModelT", bound=BaseModel)


class Document:
    """A parsed YAML file that remembers the line of every key.

    Raises:
        PackError: the file cannot be read or is not YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PackError((self._at(1, f"cannot be read: {error}", "check the path and that it is UTF-8"),)) from error
        try:
            self.data: Any = YAML(typ="rt").load(text)  # YAML is untyped until Pydantic has seen it
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise PackError((self._at(line, f"not YAML: {error.problem}", "mend the syntax there"),)) from error
        if not isinstance(self.data, CommentedMap):
            raise PackError((self._at(1, "holds no mapping", "start with `id:` and the other fields"),))

    def line(self, location: Location) -> int:
        """The line, from 1, of the deepest part of a location that the file holds."""
        node, line = self.data, 1
        for part in location:
            if isinstance(node, CommentedMap) and part in node:
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
            return model.model_validate(_plain(self.data))
        except ValidationError as error:
            raise PackError(tuple(self._from_pydantic(fault) for fault in error.errors())) from error

    def _from_pydantic(self, fault: Any) -> Problem:
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        if fault["type"] == "extra_forbidden":
            return self.problem(fault["loc"], f"unknown field {where!r}", "remove it or mend its spelling")
        if fault["type"] == "missing":
            return self.problem(fault["loc"], f"field {where!r} is missing", "add it")
        message = fault["msg"].removeprefix("Value error, ")
        return self.problem(fault["loc"], f"{where} is {fault['input']!r:.80}: {message}", "give a value that fits")

    def _at(self, line: int, what: str, mend: str) -> Problem:
        return Problem(file=self.path, line=line, what=what, mend=mend)


def _plain(node: Any) -> Any:
    """Round-trip nodes as plain containers; scalars such as dates stay as YAML typed them."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(item) for item in node]
    return node
