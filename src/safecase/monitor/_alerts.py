"""Where alerts go: the console, a signed webhook, e-mail, Prometheus Alertmanager, the case's ledger.

A sink takes an alert at least once; `alert_id` tells a repeat. A sink that fails does not hold up the others, nor the
monitor: what it did not take stays in the monitor's file and is tried again.

    webhook    POST, JSON; Safecase-Timestamp: seconds; Safecase-Signature: v1=HMAC-SHA-256(secret, timestamp "." body)
"""

import asyncio
import hashlib
import hmac
import json
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from safecase.assess import utc_now
from safecase.evidence import Ledger
from safecase.monitor._errors import AlertTrouble, MonitorError
from safecase.monitor._values import Alert

_TIMEOUT_S = 10.0
TOLERANCE_S = 300.0
"""How old a signed webhook may be."""


class AlertSink(Protocol):
    """Takes alerts."""

    @property
    def name(self) -> str:
        """Under which deliveries are remembered."""
        ...

    async def deliver(self, alert: Alert) -> None:
        """Return when it was taken.

        Raises:
            AlertTrouble: not now.
        """
        ...


@dataclass(frozen=True)
class Console:
    """One line per alert, for people or (`as_json`) for programs."""

    write: Callable[[str], None]
    as_json: bool = False
    name: str = "console"

    async def deliver(self, alert: Alert) -> None:
        """Print it."""
        self.write(json.dumps(asdict(alert)) if self.as_json else f"{alert.at} {alert.severity.upper()} {alert.what}")


@dataclass(frozen=True)
class Webhook:
    """Posts each alert as JSON, signed.

    Args:
        secret: shared with the receiver, who calls `is_from_us`.
    """

    url: str
    secret: bytes = field(repr=False)
    now: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """Host and path; a token in the query is no part of a name."""
        parts = urlsplit(self.url)
        return f"webhook:{parts.hostname}{parts.path}"

    async def deliver(self, alert: Alert) -> None:
        """Post it."""
        body = json.dumps(asdict(alert), sort_keys=True).encode()
        stamp = str(int(self.now()))
        headers = {
            "Content-Type": "application/json",
            "Safecase-Timestamp": stamp,
            "Safecase-Signature": _signature(self.secret, stamp, body),
        }
        await _post(self.url, body, headers)


def is_from_us(headers: Mapping[str, str], body: bytes, *, secret: bytes, now: float) -> bool:
    """Whether a webhook was signed with this secret, not longer ago than `TOLERANCE_S`."""
    stamp, signature = headers.get("Safecase-Timestamp", ""), headers.get("Safecase-Signature", "")
    if not (stamp.isascii() and stamp.isdecimal()) or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    return hmac.compare_digest(_signature(secret, stamp, body).encode(), signature.encode("utf-8", "replace"))


def _signature(secret: bytes, stamp: str, body: bytes) -> str:
    return "v1=" + hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Alertmanager:
    """Prometheus Alertmanager, API v2.

    Args:
        url: such as "http://127.0.0.1:9093".
        generator: link back, shown there.
    """

    url: str
    generator: str = ""

    @property
    def name(self) -> str:
        """Its host."""
        return f"alertmanager:{urlsplit(self.url).netloc.rpartition('@')[2]}"

    async def deliver(self, alert: Alert) -> None:
        """Post it. Labels tell alerts apart there, so numbers are annotations."""
        said = {
            "labels": {
                "alertname": "".join(word.capitalize() for word in ("safecase", *alert.kind.split("-"))),
                "severity": alert.severity,
                "series": alert.series,
                "alert_id": alert.alert_id,
            },
            "annotations": {"summary": alert.what, **{name: f"{value:.6g}" for name, value in alert.numbers.items()}},
            "startsAt": alert.at,
            **({"generatorURL": self.generator} if self.generator else {}),
        }
        url = f"{self.url.rstrip('/')}/api/v2/alerts"
        await _post(url, json.dumps([said]).encode(), {"Content-Type": "application/json"})


@dataclass(frozen=True)
class Mail:
    """E-mail by SMTP.

    Attributes:
        security: "starttls" and "tls" check the server's certificate; "none" is for a relay on this machine.
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: str = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Who gets it."""
        return f"mail:{','.join(self.to)}"

    async def deliver(self, alert: Alert) -> None:
        """Send it."""
        try:
            await asyncio.to_thread(self._send, self._message(alert))
        except (OSError, smtplib.SMTPException) as error:
            line = f"{self.name}: {self.host}:{self.port} did not take the mail ({type(error).__name__})"
            raise AlertTrouble(line) from None

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Subject"] = f"[safecase] {alert.severity}: {alert.kind} {alert.series}"[:200]
        message["Message-ID"] = f"<{alert.alert_id}@safecase.invalid>"  # a repeat is the same message
        numbers = "\n".join(f"{name}: {value:.6g}" for name, value in alert.numbers.items())
        message.set_content(f"{alert.what}\n\nat {alert.at}\n{numbers}\n\nalert {alert.alert_id}\n")
        return message

    def _send(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self.security == "tls":
            with smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=context) as server:
                self._hand_over(server, message)
            return
        with smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S) as server:
            if self.security == "starttls":
                server.starttls(context=context)
            self._hand_over(server, message)

    def _hand_over(self, server: smtplib.SMTP, message: EmailMessage) -> None:
        if self.user:
            server.login(self.user, self.password)
        server.send_message(message)


@dataclass(frozen=True)
class LedgerSink:
    """An entry `alerted` in the case's ledger for each warning and critical alert; once, also after a crash.

    The entry is of when it was written: from then on it is known, whenever the calls behind it came.
    """

    ledger: Ledger
    name: str = "ledger"
    now: Callable[[], datetime] = utc_now

    async def deliver(self, alert: Alert) -> None:
        """Write it, unless it is there."""
        if alert.severity == "info" or self._holds(alert.alert_id):
            return
        said = {"alert_id": alert.alert_id, "kind": alert.kind, "series": alert.series, "what": alert.what}
        subject = {**said, "severity": alert.severity, "seen_at": alert.at, "numbers": dict(alert.numbers)}
        self.ledger.append("alerted", actor="safecase", subject=subject, at=self.now())

    def _holds(self, alert_id: str) -> bool:
        if not self.ledger.path.exists():
            return False
        return any(
            entry.action == "alerted" and entry.subject.get("alert_id") == alert_id for entry in self.ledger.entries()
        )


def open_sink(
    target: str, *, write: Callable[[str], None], as_json: bool = False, secret_file: Path | None = None
) -> AlertSink:
    """A sink by its name: `console`, `webhook:URL`, `alertmanager:URL`, or
    `smtp://[user:password@]host:port/?from=...&to=...&security=starttls`.

    Args:
        secret_file: the webhook's shared secret, at least 16 bytes.

    Raises:
        MonitorError: the name is of no sink, or something it needs is missing.
    """
    kind, _, rest = target.partition(":")
    if target == "console":
        return Console(write=write, as_json=as_json)
    if kind == "webhook" and rest:
        return Webhook(url=rest, secret=_secret(secret_file))
    if kind == "alertmanager" and rest:
        return Alertmanager(url=rest)
    if kind == "smtp":
        return _mail(target)
    raise MonitorError(
        f"{target!r} names no sink; give console, webhook:URL, alertmanager:URL or smtp://host:port/?to="
    )


def _secret(file: Path | None) -> bytes:
    if file is None:
        raise MonitorError("a webhook is signed; give its shared secret with --secret-file")
    secret = file.read_bytes().strip()
    if len(secret) < 16:
        raise MonitorError(f"{file}: {len(secret)} bytes; a shared secret has at least 16")
    return secret


def _mail(target: str) -> Mail:
    parts, said = urlsplit(target), parse_qs(urlsplit(target).query)
    to, security = said.get("to", []), said.get("security", ["starttls"])[0]
    if not parts.hostname or not to or security not in {"none", "starttls", "tls"}:
        raise MonitorError("a mail sink is smtp://host:port/?from=...&to=..., with security none, starttls or tls")
    return Mail(
        host=parts.hostname,
        port=parts.port or 587,
        sender=said.get("from", ["safecase@localhost"])[0],
        to=tuple(to),
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


async def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    import aiohttp

    where = urlsplit(url).hostname
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=dict(headers), allow_redirects=False) as response,
        ):
            if response.status >= 300:
                raise AlertTrouble(f"{where} answered {response.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise AlertTrouble(f"{where} cannot be reached ({type(error).__name__})") from None
