"""Edit a YAML file in place: lines go in, come out or change, and every other byte stays.

A round trip through ruamel moves comments that stand between two items when one is put after them. Splicing lines does
not, and it proves itself: the values that the edited text parses to must be the values that were meant.
"""

import copy
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from safecase.declare._errors import PackError
from safecase.declare._yaml import Document, Location


class Edit:
    """A sequence of edits on one document.

    Attributes:
        text: the file as edited so far.

    Raises:
        PackError: the file is written in a way that lines cannot be spliced into (a list in brackets, an alias).
    """

    def __init__(self, document: Document) -> None:
        self.path: Path = document.path
        self.text = document.text
        self._meant: Any = copy.deepcopy(document.values)  # the values the text should parse to

    def append(self, location: Location, item: Any) -> None:
        """Put an item at the end of the list at a location; the list is made where there is none."""
        node = self._node(location)
        if node is None:
            self._open_list(location, item)
        elif isinstance(node, SequenceNode) and not node.flow_style:
            self._insert(_end(node, self.text), _block([item], node.start_mark.column))
        else:
            self._refuse(location)
        *holder, key = location
        self._value(holder).setdefault(key, []).append(item)
        self._prove(location)

    def remove(self, location: Location) -> None:
        """Take an item out of a list."""
        *holder, index = location
        held = self._node(holder)
        node = self._node(location)
        if not isinstance(held, SequenceNode) or held.flow_style or node is None or len(held.value) < 2:
            self._refuse(location)
        else:
            lines = self.text.splitlines(keepends=True)
            del lines[node.start_mark.line : _end(node, self.text)]
            self.text = "".join(lines)
        del self._value(holder)[index]
        self._prove(location)

    def set(self, location: Location, value: Any) -> None:
        """Replace the scalar at a location."""
        node = self._node(location)
        if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
            self._refuse(location)
        else:
            start, end = node.start_mark.index, node.end_mark.index
            self.text = self.text[:start] + _dump(value).removesuffix("...\n").strip() + self.text[end:]
        *holder, key = location
        self._value(holder)[key] = value
        self._prove(location)

    def _open_list(self, location: Location, item: Any) -> None:
        *above, key = location
        holder = self._node(above)
        if not isinstance(holder, MappingNode) or holder.flow_style:
            self._refuse(location)
            return
        column = holder.start_mark.column
        self._insert(_end(holder, self.text), [f"{' ' * column}{key}:\n", *_block([item], column + 2)])

    def _insert(self, at: int, new: Sequence[str]) -> None:
        lines = self.text.splitlines(keepends=True)
        if at and not lines[at - 1].endswith("\n"):
            lines[at - 1] += "\n"
        self.text = "".join([*lines[:at], *new, *lines[at:]])

    def _node(self, location: Location) -> Node | None:
        node: Node | None = YAML(typ="rt").compose(self.text)
        for part in location:
            if isinstance(node, MappingNode):
                node = next((value for key, value in node.value if key.value == part), None)
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                node = node.value[part]
            else:
                return None
        return node

    def _value(self, location: Location) -> Any:
        value = self._meant
        for part in location:
            value = value[part]
        return value

    def _prove(self, location: Location) -> None:
        try:
            values = Document.of(self.text, path=self.path).values
        except PackError:
            values = None
        if values != self._meant:
            self._refuse(location)

    def _refuse(self, location: Location) -> None:
        where = ".".join(str(part) for part in location)
        document = Document(self.path)
        raise PackError(
            (
                document.problem(
                    location, f"{where} cannot be edited in place", "write it in block style, without aliases"
                ),
            )
        )


def _end(node: Node, text: str) -> int:
    """The index of the first line after everything a node says; comments after it are not part of it."""
    if isinstance(node, (MappingNode, SequenceNode)) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        lines, end = text.splitlines(), int(node.end_mark.line)
        while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1
        return end
    return int(node.end_mark.line) + 1


def _block(items: list[Any], column: int) -> list[str]:
    return [f"{' ' * column}{line}\n" for line in _dump(items).splitlines()]


def _dump(value: Any) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False  # keep the order of the fields
    yaml.allow_unicode = True
    yaml.width = 110
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()
