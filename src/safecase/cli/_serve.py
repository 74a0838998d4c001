"""`safecase serve`: the gateway, under a case's permit."""

import contextlib
import dataclasses
import hashlib
import ipaddress
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, DEFAULT, FAILED, DefaultGroup, emit, fail, guarded, json_option, note
from safecase.cli._serve_keys import COMMANDS as KEY_COMMANDS

if TYPE_CHECKING:
    from safecase.assess import Case
    from safecase.serve import GatewaySetup, Images, Permit, Retention, TextMarks, Upstream


@click.group("serve", cls=DefaultGroup)
def serve_group() -> None:
    """Serve a model behind the safeguards that were assessed with it, under a permit or not at all.

    \b
    Example:
        safecase serve keys add keys.json --account me
        safecase serve my-case --context closed --upstream http://127.0.0.1:8000/v1 --keys keys.json --root root.pub.pem
    """


@serve_group.command(DEFAULT)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", required=True, help="The context to serve; it needs a permit.")
@click.option(
    "--upstream", required=True, metavar="URL|embedded", help="The permitted model's server, up to /v1; or run it here."
)
@click.option("--weights", type=click.Path(path_type=Path), help="The file that the server at URL runs, to be hashed.")
@click.option("--keys", required=True, type=click.Path(path_type=Path), help="API keys; `safecase serve keys add`.")
@click.option("--pepper-file", type=click.Path(path_type=Path), help="As the keys were made with.")
@click.option("--root", type=click.Path(path_type=Path), help="Public key of the roster's root, from outside the case.")
@click.option("--head", help="A ledger head kept elsewhere, which the ledger must contain.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes on one socket.")
@click.option("--events", help="A folder, or nats://host:4222/stream; STATE/events by default.")
@click.option("--durable", is_flag=True, help="Each event is on disk before its call is answered.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="What the workers share; under SAFECASE_HOME by default."
)
@click.option("--embeddings", metavar="openai/MODEL@URL", help="A server of vectors, for /v1/embeddings.")
@click.option("--images", metavar="openai/MODEL@URL", help="A server of pictures, for /v1/images/generations.")
@click.option("--image-keys", type=click.Path(path_type=Path), help="Their marks; `safecase mark certificates`.")
@click.option("--image-label", default="AI-generated", show_default=True, help="Burnt into pictures; '' for none.")
@click.option("--provider", default="safecase", show_default=True, help="Who runs the model, as answers' marks say.")
@click.option("--notice", metavar="LANGUAGE", help="A line above answers in prose: a model made this; en, de, fr, ...")
@click.option(
    "--traces", metavar="URL", help="An OTLP/HTTP endpoint for spans, such as http://127.0.0.1:4318/v1/traces."
)
@click.option("--traces-share", default=0.01, show_default=True, type=click.FloatRange(0, 1), help="Of calls traced.")
@click.option(
    "--keep",
    default="sealed",
    show_default=True,
    type=click.Choice(["sealed", "flagged", "nothing"]),
    help="Of flagged calls: prompt and reply, sealed for the case's vault under a key of the account; the prompt, "
    "redacted, readable for ever; or nothing.",
)
@click.option(
    "--content-days", default=30, show_default=True, type=click.IntRange(1), help="That sealed content can be opened."
)
@click.option(
    "--audit",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Chance to keep a call's content, sealed.",
)
@click.option(
    "--shadow",
    metavar="STACK",
    help="A second stack (a file, or one that ships) that only observes: what it would have done stands in the events.",
)
@click.option("--drain", default=30.0, show_default=True, help="Seconds that a worker may take to end its calls.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be served; serve nothing.")
@json_option
@guarded
def serve_command(
    case: Path, host: str, port: int, workers: int, drain: float, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Check the permit, then serve until stopped. SIGTERM drains.

    A permit for other safeguards, and SIGHUP, replace the workers one by one, each before the next one leaves.

    Exit code 3 when the permit does not let it serve, 4 when something was tampered with; the line says what to do.

    \b
    Example:
        safecase serve my-case --context closed --upstream embedded --keys keys.json --dry-run
        safecase serve my-case --context closed --upstream http://127.0.0.1:8000/v1 --keys keys.json \\
            --root root.pub.pem --host 0.0.0.0 --port 8080 --workers 4
    """
    with prepared(case, host=host, workers=workers, **given) as (setup, permit):
        value, lines = _described(setup, permit), _banner(setup, permit)
        if dry_run:
            emit(value, as_json=as_json, lines=[*lines, "nothing is served: this was a dry run"])
            return
        setup = _with_reset(setup, days=given["content_days"])
        _serve(setup, host, port, workers=workers, drain_s=drain, value=value, lines=lines, as_json=as_json)


def _serve(
    setup: "GatewaySetup",
    host: str,
    port: int,
    *,
    workers: int,
    drain_s: float,
    value: dict[str, Any],
    lines: list[str],
    as_json: bool,
) -> None:
    from safecase.serve import Patience, Supervisor, listen, permitted_stack

    sock = listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}/v1"

    def up() -> None:
        emit({**value, "address": address, "pid": os.getpid()}, as_json=as_json, lines=[address, *lines])

    patience = Patience(drain_s=drain_s)
    supervisor = Supervisor(
        setup, sock, workers=workers, patience=patience, say=note, wants=lambda: permitted_stack(setup.place)
    )
    if not supervisor.run(up):
        fail("a worker did not come up; its own words are above", FAILED)


def _with_reset(setup: "GatewaySetup", *, days: int) -> "GatewaySetup":
    """The setup with `/reset-ai`. Deletions that were interrupted are ended first."""
    from safecase.assess import open_case
    from safecase.monitor import BY_SUBJECT, ResetCommand, content_vault

    case = open_case(setup.place.case)
    contents = content_vault(case, keep_days=days)
    contents.finish(ledger=case.ledger, actor=BY_SUBJECT)
    return dataclasses.replace(setup, on_command=ResetCommand(contents=contents, ledger=case.path / "ledger.jsonl"))


@contextlib.contextmanager
def prepared(
    case: Path,
    *,
    host: str,
    workers: int,
    upstream: str,
    keys: Path,
    context: str,
    shadow: str | None = None,
    **given: Any,
) -> Iterator[tuple["GatewaySetup", "Permit"]]:
    """The setup that would be served, and the permit as checked with it: embedded weights are loaded for it."""
    from safecase.assess import home, open_case
    from safecase.serve import CaseAuthority, FileKeyBook, GatewaySetup, Place, case_stack, read_pepper

    opened = open_case(case)
    model = _permitted_model(opened.path, context)
    state = given["state"] or home() / "serve" / _folder_name(opened.path, context)
    FileKeyBook(keys, pepper=read_pepper(given["pepper_file"]))  # raises what is wrong with it
    with _opened_upstream(upstream, model) as (way, weights):
        place = Place(
            case=opened.path.resolve(),
            context=context,
            stack_digest=case_stack(opened, context).digest,
            upstream="" if upstream == "embedded" else upstream,
            weights=weights or given["weights"],
            trusted_root=_root_keyid(given["root"], opened.path),
            loopback=is_loopback_host(host),
            head=given["head"],
        )
        authority = CaseAuthority(place)
        authority.check()
        authority.replay()
        if authority.fault is not None or authority.permit is None:
            raise authority.fault  # type: ignore[misc]  # there is one where there is no permit
        setup = GatewaySetup(
            place=place,
            upstream=way,
            keys=keys.resolve(),
            pepper=given["pepper_file"],
            state=state,
            events=given["events"] or str(state / "events"),
            most_workers=3 * workers + 1,
            durable=given["durable"],
            retention=_retention(opened, keep=given["keep"], audit_p=given["audit"], days=given["content_days"]),
            marks=_text_marks(given["provider"], notice=given["notice"]),
            embeddings=_further(given["embeddings"], "--embeddings"),
            images=_images(given["images"], keys=given["image_keys"], label=given["image_label"]),
            traces=given["traces"],
            traces_share=given["traces_share"],
            shadow=_shadow(opened, shadow, durable=given["durable"]),
        )
        yield setup, authority.permit


def _shadow(case: "Case", name: str | None, *, durable: bool) -> str | None:
    """The stack's name as a worker finds it, wherever it runs; it is loaded once here, which raises what is wrong."""
    from safecase.serve import shadow_stack

    if name is None:
        return None
    if durable:
        line = "--shadow lets an event wait until the shadow has ruled, and --durable has it on disk before the answer"
        fail(f"{line}; leave out one of them", BAD_INPUT)
    found = str(Path(name).resolve()) if Path(name).is_file() else name
    shadow_stack(case, found)
    return found


def _permitted_model(case: Path, context: str) -> str:
    """The model's name in the permit; what it is worth is checked afterwards."""
    from safecase.assess import permit_name
    from safecase.evidence import read_envelope
    from safecase.serve import NotPermitted

    path = case / permit_name(context)
    if not path.exists():
        line = f"{path}: there is none; `safecase decide permit {case} --context {context}` issues one"
        raise NotPermitted("no-permit", "there is no permit for this context", line)
    model = read_envelope(path).statement().predicate.get("model")
    if not isinstance(model, str):
        line = f"{path}: it names no model; `safecase decide permit {case} --context {context}` issues one"
        raise NotPermitted("no-permit", "the permit is none", line)
    return model


@contextlib.contextmanager
def _opened_upstream(upstream: str, model: str) -> Iterator[tuple["Upstream", Path | None]]:
    """The way to the model, and the file of its weights where this process runs it."""
    from safecase.serve import EmbeddedModel, open_upstream, served_name, target

    if upstream != "embedded":
        if not upstream.startswith(("http://", "https://")):
            fail(f"--upstream {upstream!r}: give a URL up to /v1 (http://127.0.0.1:8000/v1), or `embedded`", BAD_INPUT)
        with open_upstream(target(model, upstream), serves=served_name(model)) as way:
            yield way, None
        return
    kind, _, rest = model.partition("/")
    if kind != "llama-cpp":
        fail(f"--upstream embedded: the permit is for {model!r}, which no file here holds; give its URL", BAD_INPUT)
    with EmbeddedModel(rest) as embedded:
        yield embedded.start(serves=served_name(model)), embedded.path


def _retention(case: "Case", *, keep: str, audit_p: float, days: int) -> "partial[Retention]":
    """The policy on content, as a worker makes it anew; what is sealed, the case's vault opens and no gateway."""
    from safecase.evidence import CONTENT_BOX, PostKey
    from safecase.monitor import content_vault
    from safecase.serve import Retention

    if keep == "flagged" and audit_p == 0.0:
        return partial(Retention)
    if keep == "nothing" and audit_p == 0.0:
        return partial(Retention, flagged=False)
    box = PostKey(case.vault(create=True), CONTENT_BOX).box
    subjects = content_vault(case, keep_days=days)
    return partial(Retention, flagged=keep != "nothing", audit_p=audit_p, box=box, subjects=subjects)


def _further(name: str | None, option: str) -> "Upstream | None":
    """A further server, which is asked and not started here."""
    from safecase.serve import open_upstream

    if name is None:
        return None
    if not name.startswith("openai/"):
        fail(f"{option} {name!r}: give openai/<model>@<base-url>", BAD_INPUT)
    with open_upstream(name) as way:
        return way


def _text_marks(provider: str, *, notice: str | None) -> "TextMarks":
    """The marks of answers; a language without a notice is told before a worker starts."""
    from safecase.mark import add_notice
    from safecase.serve import TextMarks

    if notice is not None:
        add_notice("", language=notice)
    return TextMarks(provider=provider, notice=notice)


def _images(name: str | None, *, keys: Path | None, label: str) -> "partial[Images] | None":
    """What makes the model of pictures in a worker; made once here, so that what is wrong is told before one starts."""
    upstream = _further(name, "--images")
    if upstream is None:
        return None
    if keys is None and not label:
        fail("--images: no picture goes out unmarked; give --image-keys, --image-label or both", BAD_INPUT)
    made = partial(marked_images, upstream, keys=keys and keys.resolve(), label=label)
    made()
    return made


def marked_images(upstream: "Upstream", *, keys: Path | None, label: str) -> "Images":
    """A model of pictures and its marks, read from their files."""
    from safecase.mark import Keys, Label, Signer, read_keys
    from safecase.serve import Images

    held = Keys() if keys is None else read_keys(keys)
    return Images(
        upstream=upstream,
        label=Label(text=label) if label else None,
        watermark=held.watermark,
        signer=Signer(chain=held.signer, sign=held.signer_key) if held.signer and held.signer_key else None,
    )


def _root_keyid(root: Path | None, case: Path) -> str | None:
    from safecase.evidence import parse_public_key

    if root is None:
        return None
    if root.resolve().is_relative_to(case.resolve()):
        fail(
            f"--root {root}: it lies in the case, so it proves nothing; give one that you have from elsewhere",
            BAD_INPUT,
        )
    try:
        return parse_public_key(root.read_text(encoding="utf-8"), origin=str(root)).keyid
    except OSError as error:
        fail(f"--root {root}: cannot be read ({error.strerror}); give the root's public key", BAD_INPUT)


def is_loopback_host(host: str) -> bool:
    """Whether only this machine reaches a server that listens there.

    >>> is_loopback_host("127.0.0.1"), is_loopback_host("0.0.0.0")
    (True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _folder_name(case: Path, context: str) -> str:
    """One folder for each case and context, wherever the command is run from."""
    return f"{context}-{hashlib.sha256(str(case.resolve()).encode()).hexdigest()[:12]}"


def _described(setup: "GatewaySetup", permit: "Permit") -> dict[str, Any]:
    from safecase.serve import describe, sink_name

    of_setup = {"serves": setup.upstream.serves, "events": sink_name(setup.events), "state": str(setup.state)}
    return {**describe(permit), **of_setup, "shadow": setup.shadow, "unassessed": _unassessed(setup)}


def _unassessed(setup: "GatewaySetup") -> list[str]:
    """Names of the models that are served beside the one that the permit is for."""
    further = (setup.embeddings, setup.images().upstream if setup.images is not None else None)
    return [upstream.serves for upstream in further if upstream is not None]


_RESTS_ON = {
    "weights": "its weights, hashed here",
    "attested": "a signed statement of whoever serves it",
    "fingerprint": "a fingerprint, replayed every 10 minutes, which sees no more than its probes do",
    "name-only": "its name alone, which proves nothing",
}
_ADMITS = {
    "anyone": "every account with a key",
    "share": "a share of the accounts",
    "vetted": "accounts that a person vetted",
    "staff": "accounts of staff",
}


def _banner(setup: "GatewaySetup", permit: "Permit") -> list[str]:
    """What is served and on whose word, in a few lines."""
    from safecase.serve import sink_name

    share = f" ({permit.share:.3g} of them)" if permit.share is not None else ""
    beside = _unassessed(setup)
    lines = [
        f"model      {setup.upstream.serves}, known by {_RESTS_ON[permit.identity.kind]}",
        f"context    {permit.context}: {_ADMITS[permit.admits]}{share}",
        f"permit     {permit.sha256[:16]} until {permit.expires:%Y-%m-%d %H:%M} UTC, by {', '.join(permit.signers)}",
        f"safeguards {permit.stack_digest[:16]}, the stack that was assessed",
        f"events     {sink_name(setup.events)}",
        *([f"shadow     {setup.shadow}, which only observes"] if setup.shadow else []),
        *(
            [f"beside     {', '.join(beside)}: behind the same safeguards, in no assessment and no permit"]
            if beside
            else []
        ),
        *(f"narrowed   {narrowing.sentence}" for narrowing in permit.narrowings),
    ]
    if not permit.is_authentic:
        lines.append("SELF-CONSISTENT ONLY: without --root nobody knows whose signatures these are; loopback alone")
    if permit.is_demo:
        lines.append("DEMO KEYS: a demonstration, loopback alone")
    if setup.place.weights is not None and setup.place.upstream:
        lines.append(f"the file {setup.place.weights} is hashed; that {setup.place.upstream} runs it is your word")
    return lines


for _name, _command in KEY_COMMANDS.items():
    serve_group.add_command(_command, _name)

COMMANDS = {"serve": serve_group}
