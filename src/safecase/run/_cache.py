"""Answers by the content of their request: asked for once, given again on demand.

What a cache must not do is make evidence look independent that is not: a trial answered from it says so (`cached`),
and a repetition is a request of its own, as is a further attempt of an episode. A cache is plain text, so answers in
hazardous domains are never in one, nor is apparent child-abuse material.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self

from safecase.detect import apparent_child_abuse
from safecase.evidence import Identity, digest_value
from safecase.models import Answer, Delta, Model, Request
from safecase.run._errors import CacheTrouble

NOT_CACHED = "not-cached"
"""Tag of a request whose answer no cache may hold."""


class AnswerCache:
    """A file of answers. One object is for one thread; several processes may share the file.

    Args:
        path: made when it is not there.

    Raises:
        CacheTrouble: the file is no cache, or cannot be written; also by `get` and `put`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._naming():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) STRICT"
                )
            except sqlite3.Error:
                self._db.close()
                raise

    def get(self, key: str) -> Answer | None:
        """The answer under a key."""
        with self._naming(), closing(self._db.execute("SELECT answer FROM answers WHERE key = ?", (key,))) as found:
            row = found.fetchone()
            return None if row is None else Answer(**{**json.loads(row[0]), "cached": True, "queued_s": 0.0})

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; the first one under a key stays."""
        with self._naming():
            self._db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, json.dumps(asdict(answer))))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:  # the last two of a row that is no answer
            line = f"{self._path}: cannot be used as a cache of answers ({error})"
            raise CacheTrouble(f"{line}; name another file, or leave out the cache") from error


class CachedModel:
    """A model that is asked only for what was never answered.

    Args:
        identity: whose answers these are. Two models never share an answer, nor two identities of one name.
    """

    def __init__(self, model: Model, cache: AnswerCache, *, identity: Identity) -> None:
        self._model, self._cache, self._identity = model, cache, identity
        self._asking: dict[str, asyncio.Future[None]] = {}

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    @property
    def concurrency(self) -> int:
        """The model's own."""
        return self._model.concurrency

    async def generate(self, request: Request) -> Answer:
        """Answer from the cache, or ask and keep."""
        if NOT_CACHED in request.tags:
            return await self._model.generate(request)
        key = digest_value(
            [
                [self._identity.kind, self._identity.model, self._identity.digest],
                [[turn.role, turn.content] for turn in request.messages],
                asdict(request.settings),
                request.tags.get("repetition", "0"),
                request.tags.get("attempt", "0"),
            ]
        )
        while (asking := self._asking.get(key)) is not None:
            await asyncio.wait([asking])  # somebody asks the same just now
        if (known := self._cache.get(key)) is not None:
            return known
        done = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._model.generate(request)
            if not any(apparent_child_abuse(text) for text in (answer.text, answer.reasoning or "")):
                self._cache.put(key, answer)
        finally:
            del self._asking[key]
            done.set_result(None)
        return answer

    def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """Streams are passed on, never kept."""
        return self._model.stream(request)

    async def identity(self) -> Identity:
        """The model's own."""
        return self._identity

    async def aclose(self) -> None:
        """Nothing of its own is open: whoever made the cache and the model closes them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
