"""`/v1/models`: what is served here, and nothing of what else the upstreams have."""

import time
from dataclasses import dataclass, field

import orjson

from safecase.serve._call import Call
from safecase.serve._config import TextMarks


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsRoute:
    """Lists the models."""

    names: tuple[str, ...]
    marks: TextMarks
    since: int = field(default_factory=lambda: int(time.time()))

    async def all(self, call: Call) -> None:
        """Answer `/v1/models`."""
        listed = [self._about(name) for name in dict.fromkeys(self.names)]
        await call.answer(orjson.dumps({"object": "list", "data": listed}))

    def one(self, name: str) -> "OneModel":
        """The route of one model."""
        return OneModel(body=orjson.dumps(self._about(name)))

    def _about(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self.since, "owned_by": self.marks.provider}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneModel:
    """Says that a model is served."""

    body: bytes

    async def __call__(self, call: Call) -> None:
        """Answer `/v1/models/{name}`."""
        await call.answer(self.body)
