"""Alerts reach every kind of sink, whole, signed and once in the ledger."""

import json
import socket
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from safecase.evidence import Ledger
from safecase.monitor import (
    Alert,
    Alertmanager,
    AlertTrouble,
    Console,
    LedgerSink,
    Mail,
    MonitorError,
    Webhook,
    is_from_us,
    open_sink,
)

ALERT = Alert(
    alert_id="a" * 24,
    at="2026-04-07T12:00:00.000000Z",
    kind="promise-broken",
    severity="critical",
    series="unsafe/any",
    what="the rate unsafe/any is over the promised 5 %",
    numbers={"p0": 0.05, "e_value": 31.5},
    accounts=("u1",),
    event_ids=("e1",),
)
SECRET = b"sixteen bytes and more"


@pytest.fixture
async def receiver():
    """An HTTP server that keeps what it is sent, and answers as told."""
    took, answer = [], {"status": 200}

    async def take(request):
        took.append((request.path, dict(request.headers), await request.read()))
        return web.Response(status=answer["status"], headers={"Location": "http://127.0.0.1:9/"})

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", took, answer
    await runner.cleanup()


async def test_a_webhook_can_be_told_from_a_forgery(receiver):
    url, took, _ = receiver
    await Webhook(url=f"{url}/hook?token=t", secret=SECRET, now=lambda: 1000.0).deliver(ALERT)

    _, headers, body = took[0]
    assert json.loads(body)["alert_id"] == ALERT.alert_id
    assert is_from_us(headers, body, secret=SECRET, now=1100.0)
    assert not is_from_us(headers, body + b" ", secret=SECRET, now=1100.0)
    assert not is_from_us(headers, body, secret=b"another secret 123", now=1100.0)
    assert not is_from_us(headers, body, secret=SECRET, now=2000.0)  # replayed later
    assert not is_from_us({**headers, "Safecase-Timestamp": "1001"}, body, secret=SECRET, now=1100.0)
    assert not is_from_us({}, body, secret=SECRET, now=1100.0)


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_a_receiver_that_says_no_did_not_take_it(receiver, status):
    url, _, answer = receiver
    answer["status"] = status

    with pytest.raises(AlertTrouble, match=str(status)):
        await Webhook(url=url, secret=SECRET).deliver(ALERT)


async def test_a_receiver_that_is_away_did_not_take_it():
    with pytest.raises(AlertTrouble, match="cannot be reached"):
        await Webhook(url="http://127.0.0.1:9/", secret=SECRET).deliver(ALERT)


async def test_alertmanager_gets_what_its_api_takes(receiver):
    url, took, _ = receiver
    await Alertmanager(url=f"{url}/").deliver(ALERT)

    path, _, body = took[0]
    (posted,) = json.loads(body)
    assert path == "/api/v2/alerts"
    assert posted["labels"]["alertname"] == "SafecasePromiseBroken"
    assert all(isinstance(value, str) for part in ("labels", "annotations") for value in posted[part].values())
    assert posted["startsAt"] == ALERT.at


class _Box:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture
def mail_server():
    box = _Box()
    check = lambda *_: AuthResult(success=True)  # noqa: E731
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port, authenticator=check, auth_require_tls=False)
    server.start()
    yield port, box
    server.stop()


async def test_a_mail_says_it_in_words(mail_server):
    port, box = mail_server
    sink = open_sink(f"smtp://u:p%40ss@127.0.0.1:{port}/?from=a@b.example&to=c@d.example&security=none", write=print)
    assert sink.password == "p@ss"
    await sink.deliver(ALERT)

    assert "Subject: [safecase] critical: promise-broken unsafe/any" in box.mails[0]
    assert ALERT.what in box.mails[0]
    assert f"<{ALERT.alert_id}@safecase.invalid>" in box.mails[0]


async def test_a_mail_server_without_encryption_is_refused_unless_said(mail_server):
    port, box = mail_server

    with pytest.raises(AlertTrouble, match="did not take the mail"):
        await Mail(host="127.0.0.1", port=port, sender="a@b.example", to=("c@d.example",)).deliver(ALERT)
    assert box.mails == []


async def test_the_ledger_has_an_alert_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("began", actor="t", subject={}, at=datetime(2026, 4, 7, tzinfo=UTC))
    for _ in range(2):
        await LedgerSink(ledger).deliver(ALERT)

    assert [entry.action for entry in ledger.entries()] == ["began", "alerted"]
    assert ledger.check() == []


async def test_the_console_speaks_to_people_and_to_programs():
    lines = []
    await Console(lines.append).deliver(ALERT)
    await Console(lines.append, as_json=True).deliver(ALERT)

    assert lines[0].startswith("2026-04-07T12:00:00.000000Z CRITICAL the rate")
    assert json.loads(lines[1])["series"] == "unsafe/any"


@pytest.mark.parametrize(
    "name", ["", "nothing", "webhook:", "smtp://host", "smtp://h/?to=a&security=maybe", "webhook:http://x"]
)
def test_a_name_of_no_sink_is_refused(name):
    with pytest.raises(MonitorError):
        open_sink(name, write=print)


def test_secrets_are_in_no_name_and_no_repr(tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    hook = open_sink("webhook:http://h.example/x?token=t0k", write=print, secret_file=tmp_path / "secret")
    mail = open_sink("smtp://u:hidden@h.example/?to=a@b.example", write=print)

    assert "t0k" not in hook.name
    assert SECRET.decode() not in repr(hook)
    assert "hidden" not in repr(mail) + mail.name
