"""A desk in memory: mail, calendar, files, a toy bank, pages. It touches no real one, and nothing in it is chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safecase.declare import Record
from safecase.suites.injection._calls import Call


class Mail(Record):
    """A message; `sender` is the other side's address in the box, and `to` it in what was sent."""

    sender: str = ""
    to: str = ""
    subject: str
    text: str


class Event(Record):
    """An entry of the calendar, by day (2026-03-09) and time (09:00)."""

    title: str
    day: str
    time: str
    note: str = ""
    guest: str = ""


class Payment(Record):
    """Money that went out, in whole units of no currency."""

    to: str
    amount: float
    note: str = ""


class Desk(Record):
    """What lies on the desk as every session finds it. Pages are keyed by address, all else by id or name."""

    mails: dict[str, Mail]
    events: dict[str, Event]
    files: dict[str, str]
    pages: dict[str, str]
    payments: dict[str, Payment]
    balance: float


KINDS = ("mail", "event", "file", "page", "payment")
"""What a place begins with."""


@dataclass(slots=True, kw_only=True)
class World:
    """The state of one session; it changes with every call carried out.

    Attributes:
        seen: places whose text was handed to the model: "mail/m1", "event/e1", "file/a.txt", "page/http://...", and
            "payment/p1".
        done: the calls carried out, in order.
        sent, paid, opened: what left the desk.
        added: calendar entries that were made.
    """

    mails: dict[str, Mail]
    events: dict[str, Event]
    files: dict[str, str]
    pages: dict[str, str]
    payments: dict[str, Payment]
    balance: float
    seen: set[str] = field(default_factory=set)
    done: list[Call] = field(default_factory=list)
    sent: list[Mail] = field(default_factory=list)
    paid: list[Payment] = field(default_factory=list)
    added: list[Event] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def apply(self, call: Call) -> str:
        """Carry a call out and say what it gave; what the desk does not have is said, and is no fault."""
        self.done.append(call)
        try:
            return _TOOLS[call.name](self, **call.arguments)
        except _NotThere as missing:
            return f"error: {missing}"

    def has(self, place: str) -> bool:
        """Whether there is something at a place."""
        kind, _, name = place.partition("/")
        return kind in KINDS and name in self._of(kind)

    def put(self, place: str, text: str, *, instead: bool = False) -> None:
        """Add text at the end of what is at a place, or put it there instead; a page that is not there is made.

        Raises:
            KeyError: there is nothing at that place.
        """
        kind, _, name = place.partition("/")
        if kind == "page":
            self.pages[name] = text if instead else f"{self.pages.get(name, '')}\n{text}".strip()
            return
        held = self._of(kind)
        value = held[name]
        if isinstance(value, str):
            held[name] = text if instead else f"{value}\n{text}"
        else:
            where = "text" if kind == "mail" else "note"
            held[name] = value.model_copy(update={where: text if instead else f"{getattr(value, where)}\n{text}"})

    def _of(self, kind: str) -> dict[str, Any]:  # values are texts or records, by kind
        by_kind: Mapping[str, dict[str, Any]] = {
            "mail": self.mails,
            "event": self.events,
            "file": self.files,
            "page": self.pages,
            "payment": self.payments,
        }
        return by_kind[kind]

    def _found(self, kind: str, name: str) -> Any:
        if name not in self._of(kind):
            raise _NotThere(f"no {kind} {name!r}")
        self.seen.add(f"{kind}/{name}")
        return self._of(kind)[name]

    def _remove(self, kind: str, name: str) -> str:
        if self._of(kind).pop(name, None) is None:
            raise _NotThere(f"no {kind} {name!r}")
        return "deleted"

    # Tools

    def _list_mails(self) -> str:
        return "\n".join(f"{name}: from {mail.sender}, {mail.subject}" for name, mail in self.mails.items())

    def _read_mail(self, id: str) -> str:  # noqa: A002 - the tool's argument is called so
        mail = self._found("mail", id)
        return f"from: {mail.sender}\nsubject: {mail.subject}\n\n{mail.text}"

    def _send_mail(self, to: str, subject: str, text: str) -> str:
        self.sent.append(Mail(to=to, subject=subject, text=text))
        return "sent"

    def _delete_mail(self, id: str) -> str:  # noqa: A002
        return self._remove("mail", id)

    def _list_events(self) -> str:
        return "\n".join(f"{name}: {one.day} {one.time} {one.title}" for name, one in self.events.items())

    def _read_event(self, id: str) -> str:  # noqa: A002
        one = self._found("event", id)
        return f"{one.title}\n{one.day} {one.time}\nnote: {one.note}"

    def _add_event(self, title: str, day: str, time: str = "", guest: str = "") -> str:
        event = Event(title=title, day=day, time=time, guest=guest)
        self.added.append(event)
        self.events[f"e{100 + len(self.added)}"] = event
        return "added"

    def _delete_event(self, id: str) -> str:  # noqa: A002
        return self._remove("event", id)

    def _list_files(self) -> str:
        return "\n".join(self.files)

    def _read_file(self, name: str) -> str:
        text: str = self._found("file", name)
        return text

    def _write_file(self, name: str, text: str) -> str:
        self.files[name] = text
        return "written"

    def _delete_file(self, name: str) -> str:
        return self._remove("file", name)

    def _list_payments(self) -> str:
        self.seen |= {f"payment/{name}" for name in self.payments}
        lines = [f"{name}: {one.amount:g} to {one.to}, note: {one.note}" for name, one in self.payments.items()]
        return "\n".join([f"balance: {self.balance:g}", *lines])

    def _pay(self, to: str, amount: str, note: str = "") -> str:
        try:
            value = float(amount)
        except ValueError:
            raise _NotThere(f"the amount {amount!r} is no number") from None
        if not 0 < value <= self.balance:
            raise _NotThere(f"the amount must be over 0 and at most {self.balance:g}")
        self.balance -= value
        self.paid.append(Payment(to=to, amount=value, note=note))
        return "paid"

    def _open_page(self, address: str) -> str:
        self.opened.append(address)
        text: str = self._found("page", address)
        return text


class _NotThere(Exception):
    """A tool was asked for what the desk does not have."""


_TOOLS: Mapping[str, Callable[..., str]] = {
    "list_mails": World._list_mails,
    "read_mail": World._read_mail,
    "send_mail": World._send_mail,
    "delete_mail": World._delete_mail,
    "list_events": World._list_events,
    "read_event": World._read_event,
    "add_event": World._add_event,
    "delete_event": World._delete_event,
    "list_files": World._list_files,
    "read_file": World._read_file,
    "write_file": World._write_file,
    "delete_file": World._delete_file,
    "list_payments": World._list_payments,
    "pay": World._pay,
    "open_page": World._open_page,
}


def open_world(desk: Desk) -> World:
    """A desk of one session's own."""
    return World(
        mails=dict(desk.mails),
        events=dict(desk.events),
        files=dict(desk.files),
        pages=dict(desk.pages),
        payments=dict(desk.payments),
        balance=desk.balance,
    )
