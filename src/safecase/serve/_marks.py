"""Marks on generated text: headers, a block of JSON, and a notice where one is wanted."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from safecase.mark import add_notice, provenance
from safecase.serve._call import Header
from safecase.serve._config import TextMarks


class Marker:
    """Says of every answer that a model made it. What changes once a second is kept.

    The statistical watermark in a text is put on where tokens are drawn (`LocalOptions.bias`), which is not here.
    """

    def __init__(self, marks: TextMarks, *, model: str) -> None:
        self._marks, self._model = marks, model
        self._second = -1
        self._headers: tuple[Header, ...] = ()
        self._block: dict[str, Any] = {}
        add_notice("", language=marks.notice or "en")  # a language that has none is told now, not to the first client

    def headers(self) -> tuple[Header, ...]:
        """Headers of an answer."""
        self._refresh()
        return self._headers

    def block(self, texts: Iterable[str]) -> dict[str, Any]:
        """The block of an answer; its digest is of the choices' texts as sent, joined by line ends."""
        self._refresh()
        return {**self._block, "content_sha256": sha256("\n".join(texts).encode()).hexdigest()}

    def noticed(self, text: str) -> str:
        """The beginning of a text, under the notice."""
        return add_notice(text, language=self._marks.notice) if self._marks.notice else text

    @property
    def has_notice(self) -> bool:
        """Whether texts carry one."""
        return self._marks.notice is not None

    def _refresh(self) -> None:
        second = int(time.time())
        if second != self._second:
            created = datetime.fromtimestamp(second, UTC)
            made = provenance(model=self._model, provider=self._marks.provider, created=created)
            self._headers = tuple((name.lower().encode(), text.encode()) for name, text in made.headers().items())
            self._block = made.to_json()
            self._second = second
