"""Events in NATS JetStream: where they lie, and a consumer that a group shares.

    nats://[user:password@]host:port/STREAM[?per_message=32]       subjects STREAM.0 .. STREAM.15 and STREAM.end

All calls of one account go to one subject, so a group can split the subjects and still see an account whole. A message
holds one row, or several lines of them: that costs the sender a third.
"""

import asyncio
import contextlib
import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from safecase.evidence._errors import StorageTrouble
from safecase.evidence._event_rows import EventRow, EventUnreadable, WorkerEnd, decode_row

EVENT_SHARDS = 16
DEFAULT_STREAM = "safecase-events"

_MOST_UNCONFIRMED = 50_000
"""Messages of a consumer that may be out at one time, over all members of its group."""
_FIRST_MESSAGES = 256
"""Messages asked for before it is known how many rows each holds."""

_LOG = logging.getLogger("safecase.events")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAddress:
    """A server and a stream there.

    Attributes:
        per_message: rows that are sent in one message, at most.
    """

    server: str
    stream: str
    per_message: int = 1

    @classmethod
    def parse(cls, url: str) -> "StreamAddress":
        """Read a URL such as "nats://127.0.0.1:4222/safecase-events"; without a path the stream is that.

        Raises:
            ValueError: no host, another scheme, a stream name that NATS does not take, or `per_message` not in 1..256.
        """
        parts = urlsplit(url)
        stream = parts.path.strip("/") or DEFAULT_STREAM
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ValueError(f"{url!r} names no NATS server; give nats://host:4222/{DEFAULT_STREAM}")
        if not stream.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{url!r}: {stream!r} is no stream name; use letters, digits, dash, underscore")
        per_message = dict(parse_qsl(parts.query)).get("per_message", "1")
        if not per_message.isdecimal() or not 1 <= int(per_message) <= 256:
            raise ValueError(f"{url!r}: per_message is {per_message!r}; give a number from 1 to 256")
        return cls(server=f"{parts.scheme}://{parts.netloc}", stream=stream, per_message=int(per_message))

    def subject(self, account: str) -> str:
        """Where the events of an account go."""
        return f"{self.stream}.{zlib.crc32(account.encode('utf-8', 'replace')) % EVENT_SHARDS}"


class EventStream:
    """A pull consumer. What was read and not confirmed comes again, to any member of the group: at least once.

    Attributes:
        unreadable: lines that are no event rows; they are never delivered again.
    """

    def __init__(self, connection: Any, subscriptions: Sequence[Any]) -> None:  # nats-py ships no types
        self._connection, self._subscriptions = connection, tuple(subscriptions)
        self._unconfirmed: list[Any] = []
        self._rows_a_message = 0.0  # as messages held lately; 0 before the first came
        self.unreadable = 0

    @classmethod
    async def open(cls, url: str, *, group: str, shards: Sequence[int] | None = None) -> "EventStream":
        """Join a consumer group; the first to join begins at the oldest event.

        Args:
            group: its members share the events, each goes to one of them. Letters, digits, dash, underscore.
            shards: take only these subjects (0..15), each by a consumer of its own, and no ends of workers.

        Raises:
            StorageTrouble: no such server or stream, or nats-py is not installed.
        """
        address = StreamAddress.parse(url)
        connection = await connect_nats(address.server)
        from nats.errors import Error

        stream = connection.jetstream()
        names = [(f"{address.stream}.>", group)]
        if shards is not None:
            names = [(f"{address.stream}.{shard}", f"{group}-{shard}") for shard in shards]
        try:
            subscriptions = [await _subscribed(stream, address.stream, subject, name) for subject, name in names]
        except (Error, OSError) as error:
            await connection.close()
            line = f"{url}: the events cannot be read ({type(error).__name__}: {error})"
            raise StorageTrouble(f"{line}; the stream is made by a gateway's first event") from None
        return cls(connection, subscriptions)

    async def read(self, most: int = 1000, *, wait_s: float = 1.0) -> list[EventRow | WorkerEnd]:
        """The rows of the next messages; empty where none came in time.

        Args:
            most: rows, about: a message holds as many as its sender liked, so it goes by what messages held lately.
            wait_s: over all subjects at once, so that an idle one holds up nobody.

        Raises:
            StorageTrouble: the server is away; what was not confirmed comes again when it is back.
        """
        messages_at_once = most / self._rows_a_message if self._rows_a_message else min(most, _FIRST_MESSAGES)
        share = max(1, math.ceil(messages_at_once / len(self._subscriptions)))
        found = await asyncio.gather(*(_fetched(one, share, wait_s) for one in self._subscriptions))
        messages = [message for some in found if not isinstance(some, Exception) for message in some]
        if not messages:
            for error in found:
                if isinstance(error, Exception):
                    line = f"events cannot be read now ({type(error).__name__}); read again later"
                    raise StorageTrouble(line) from None
            return []
        self._unconfirmed += messages
        lines = [line for message in messages for line in message.data.split(b"\n")]
        held = len(lines) / len(messages)
        self._rows_a_message = (held + (self._rows_a_message or held)) / 2
        return [row for line in lines if (row := self._row(line))]

    async def confirm(self) -> None:
        """Say that the effects of all that was read are kept; it is not delivered again.

        Where the server is away it does not hear of it and delivers again, which is what it does anyway.
        """
        from nats.errors import Error

        unconfirmed, self._unconfirmed = self._unconfirmed, []
        try:
            for message in unconfirmed:
                await message.ack()
        except (Error, OSError) as error:
            _LOG.info("%d messages come again: %s while they were confirmed", len(unconfirmed), type(error).__name__)

    async def close(self) -> None:
        """Leave; what was not confirmed goes to the others of the group."""
        await self._connection.close()

    def _row(self, line: bytes) -> EventRow | WorkerEnd | None:
        try:
            return decode_row(line)
        except EventUnreadable as error:
            self.unreadable += 1
            _LOG.warning("a line that is no event row is passed over: %s", error)
            return None


async def _fetched(subscription: Any, most: int, wait_s: float) -> Sequence[Any] | Exception:
    """Messages of one subject, none in time, or why they cannot be had."""
    from nats.errors import Error
    from nats.errors import TimeoutError as NatsTimeout

    try:
        messages: Sequence[Any] = await subscription.fetch(most, timeout=wait_s)
    except (NatsTimeout, TimeoutError):
        return ()
    except (Error, OSError) as error:
        return error
    return messages


async def _subscribed(stream: Any, name: str, subject: str, group: str) -> Any:
    """A pull consumer that gives out as much as a reader reads between two confirmations.

    A server's own limit is 1,000 unconfirmed messages of a consumer. Who confirms twice a second then gets 2,000
    messages a second, however many read. One that was made with that limit is changed.
    """
    from nats.js.api import ConsumerConfig
    from nats.js.errors import NotFoundError

    try:
        config = (await stream.consumer_info(name, group)).config
    except NotFoundError:
        config = ConsumerConfig(name=group, durable_name=group, filter_subject=subject)
    if (config.max_ack_pending or 0) < _MOST_UNCONFIRMED:
        await stream.add_consumer(name, config=config, max_ack_pending=_MOST_UNCONFIRMED)
    return await stream.pull_subscribe(subject, durable=group, stream=name)


async def connect_nats(server: str, *, wait_s: float = 3.0) -> Any:
    """A connection that comes back by itself once it was there.

    Raises:
        StorageTrouble: no server answers in time, or nats-py is not installed.
    """
    try:
        from nats.aio.client import Client
        from nats.errors import Error
    except ImportError:
        raise StorageTrouble('events in NATS need the package nats-py; `pip install "safecase[nats]"`') from None
    client = Client()
    try:
        async with asyncio.timeout(wait_s):
            await _look_whether_it_listens(server)  # the client itself would try again until the time is over
            await client.connect(
                server, connect_timeout=2, reconnect_time_wait=0.2, max_reconnect_attempts=-1, error_cb=_log_trouble
            )
    except (Error, OSError, TimeoutError) as error:
        with contextlib.suppress(AssertionError):  # of a client that never got as far as connecting
            await client.close()
        where = urlsplit(server)
        line = f"no NATS server answers at {where.hostname}:{where.port or 4222} ({type(error).__name__})"
        raise StorageTrouble(f"{line}; start one, or name another") from None
    return client


async def _look_whether_it_listens(server: str) -> None:
    where = urlsplit(server)
    _, writer = await asyncio.open_connection(where.hostname, where.port or 4222)
    writer.close()
    await writer.wait_closed()


async def _log_trouble(error: Exception) -> None:
    _LOG.info("NATS: %s", type(error).__name__)
