"""`safecase decide`: findings, tiers and a proposal; keys, roster, sign-off, exceptions, permits and their limits."""

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import click

from safecase.cli._argument import ARGUMENT_COMMANDS
from safecase.cli._common import BAD_INPUT, DEFAULT, NOT_SUPPORTED, DefaultGroup, emit, fail, guarded, json_option


@click.group("decide", cls=DefaultGroup)
def decide_group() -> None:
    """Hold the evidence against the framework's gates, per deployment context.

    \b
    Example:
        safecase decide my-case
        safecase decide my-case --framework frontier-v1.1     what an older framework would say
        safecase decide sign my-case --key signer.pem
        safecase decide permit my-case --context closed
        safecase decide argument my-case --context closed
    """


@decide_group.command(DEFAULT)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--framework", "pack", help="Decide the same evidence under another pack, without writing anything.")
@click.option("--assume-frontier", is_flag=True, help="Apply every catastrophic gate, whatever the compute.")
@json_option
@guarded
def case_command(case: Path, pack: str | None, assume_frontier: bool, as_json: bool) -> None:
    """Findings, tiers and a proposal. Exit code 3 when a context is not supported.

    \b
    Example:
        safecase decide my-case
        safecase decide my-case --framework frontier-v1.1 --json
    """
    from safecase.assess import decide_case, open_case, redecide

    if pack is None:
        _, decided = asyncio.run(decide_case(open_case(case), assume_frontier=assume_frontier))
        changes: list[str] = []
    else:
        decided, changes = asyncio.run(redecide(case, pack, assume_frontier=assume_frontier))
    value = {
        "framework": decided.framework,
        "frontier": decided.frontier,
        "findings": [dataclasses.asdict(finding) for finding in decided.findings],
        "determinations": [dataclasses.asdict(one) for one in decided.determinations],
        "proposal": [dataclasses.asdict(proposal) for proposal in decided.proposals],
        "hold": list(decided.hold),
        "limits": list(decided.limits),
        "changes": changes,
    }
    emit(value, as_json=as_json, lines=_lines(decided, changes))
    if any(proposal.choice != "approve" for proposal in decided.proposals):
        raise click.exceptions.Exit(NOT_SUPPORTED)


def _lines(decided: Any, changes: list[str]) -> list[str]:
    lines = [f"{decided.framework}: {decided.frontier}", ""]
    for proposal in decided.proposals:
        more = f" (and {len(proposal.reasons) - 1} more)" if len(proposal.reasons) > 1 else ""
        lines.append(f"{proposal.context:12} {proposal.choice:20} {proposal.reasons[0]}{more}")
    lines.append("")
    seen: set[tuple[str, str, str]] = set()
    for finding in decided.findings:
        key = (finding.gate, finding.arm, finding.verdict)
        if key not in seen and finding.verdict not in {"not-applicable", "not-planned"}:
            seen.add(key)
            lines.append(f"{finding.gate:36} {finding.arm:8} {finding.verdict:16} {finding.reason}")
    skipped = {f.gate for f in decided.findings if f.verdict in {"not-applicable", "not-planned"}}
    lines.append(f"{len(skipped)} gates do not apply or were not planned; --json lists them")
    lines += [f"DEVELOPMENT HOLD: {reason}" for reason in decided.hold]
    return [*lines, *(["", "what changes:"] if changes else []), *changes]


@decide_group.command("key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--demo", is_flag=True, help="Stamp the key DEMO: nothing signed with it counts off loopback.")
@json_option
@guarded
def key_command(file: Path, demo: bool, as_json: bool) -> None:
    """Make an Ed25519 key (mode 0600), and its public half beside it.

    \b
    Example:
        safecase decide key ana.pem
    """
    from safecase.evidence import generate_key, write_atomic

    key = generate_key(file, demo=demo)
    public = file.with_suffix(".pub.pem")
    write_atomic(public, key.public.pem.encode())
    value = {"key": str(file), "public": str(public), "keyid": key.keyid, "demo": demo}
    emit(value, as_json=as_json, lines=[str(file), str(public), key.keyid])


@decide_group.command("roster")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Private key of whoever keeps the roster.")
@click.option(
    "--person", "people", multiple=True, required=True, metavar="PERSON:ROLE:PUBLIC_KEY_FILE", help="Repeat for each."
)
@json_option
@guarded
def roster_command(case: Path, root: Path, people: tuple[str, ...], as_json: bool) -> None:
    """Write the signed roster: who may sign, in which role. Keep a copy elsewhere, for `verify --trust`.

    \b
    Example:
        safecase decide roster my-case --root root.pem --person ana:chief-ai-officer:ana.pub.pem
    """
    from safecase.assess import open_case, write_roster

    path, keyid = write_roster(open_case(case), root, people)
    emit({"roster": str(path), "root": keyid}, as_json=as_json, lines=[str(path), f"root key {keyid}"])


@decide_group.command("sign")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Your private key.")
@click.option("--position", type=click.Choice(["approve", "dissent"]), default="approve", show_default=True)
@click.option("--reason", default="", help="In your words; a dissent needs one.")
@json_option
@guarded
def sign_command(case: Path, key: Path, position: str, reason: str, as_json: bool) -> None:
    """Sign the decision as it stands. Person and role come from the roster; the author's own does not count.

    \b
    Example:
        safecase decide sign my-case --key ana.pem
        safecase decide sign my-case --key ben.pem --position dissent --reason "privacy is not measured"
    """
    from safecase.assess import open_case, sign_decision

    signed = sign_decision(open_case(case), key, position=position, reason=reason)  # type: ignore[arg-type]  # click checked
    value = dataclasses.asdict(signed)
    quorum = signed.quorum
    lines = [
        f"counts: {', '.join(f'{c.person} ({c.role})' for c in quorum.counted) or 'nobody yet'}",
        *(f"does not count: {n.person or n.keyid[:12]}, {n.why}" for n in quorum.not_counted),
        *(f"dissents: {d.person} ({d.role}): {d.reason}" for d in quorum.dissents),
        f"quorum of {quorum.required} {'met' if quorum.is_met else 'not met yet'}",
        *(["DEMO keys"] if quorum.is_demo else []),
    ]
    emit(value, as_json=as_json, lines=lines)


@decide_group.command("except")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--gate", required=True, help="The gate, by id.")
@click.option("--context", required=True, help="The context in which it is excepted.")
@click.option("--reason", required=True, help="In your words; the report prints it.")
@click.option("--expires", required=True, help="Day on which it ends, YYYY-MM-DD.")
@click.option(
    "--key", "keys", multiple=True, required=True, type=click.Path(path_type=Path), help="Repeat: two people."
)
@json_option
@guarded
def except_command(
    case: Path, gate: str, context: str, reason: str, expires: str, keys: tuple[Path, ...], as_json: bool
) -> None:
    """Sign an exception to an undecided gate. It expires, stands on page one, and never opens a catastrophic gate.

    \b
    Example:
        safecase decide except my-case --gate policy.privacy.unsafe --context closed --reason "pilot" \\
            --expires 2027-01-31 --key ana.pem --key ben.pem
    """
    from safecase.assess import open_case, write_exception

    try:
        day = dt.date.fromisoformat(expires)
    except ValueError:
        fail(f"--expires is {expires!r}; give a day as YYYY-MM-DD", 2)
    path = write_exception(open_case(case), gate=gate, context=context, reason=reason, expires=day, key_files=keys)
    emit({"exception": str(path)}, as_json=as_json, lines=[str(path)])


@decide_group.command("permit")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", required=True, help="The context to permit.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Serve less than the share that was decided.")
@json_option
@guarded
def permit_command(case: Path, context: str, share: float | None, as_json: bool) -> None:
    """Issue the permit of one context: identity, stack, framework and evidence, bound together and signed.

    \b
    Example:
        safecase decide permit my-case --context closed
        safecase decide permit my-case --context controlled --share 0.01
    """
    from safecase.assess import open_case, write_permit

    path = write_permit(open_case(case), context, share=share)
    emit({"permit": str(path)}, as_json=as_json, lines=[str(path)])


@decide_group.command("revoke")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", required=True, help="The context whose permit is taken back.")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Of someone whose role may narrow.")
@click.option("--reason", required=True, help="In your words; the ledger keeps it.")
@json_option
@guarded
def revoke_command(case: Path, context: str, key: Path, reason: str, as_json: bool) -> None:
    """Take a permit back. One signature does, and every gateway under it stops within seconds.

    It serves again under a decision on new evidence, or once two people lift the revocation.

    \b
    Example:
        safecase decide revoke my-case --context closed --key ana.pem --reason "leaks personal data"
    """
    from safecase.assess import open_case, revoke_permit

    _emit_restriction(revoke_permit(open_case(case), context, key, reason=reason), as_json=as_json)


@decide_group.command("narrow")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", required=True, help="The context to serve to fewer.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Suspend accounts of this verified attribute.")
@click.option("--unverified", type=click.Choice(["refused", "served"]), default="refused", show_default=True)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Serve this share at most.")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Of someone whose role may narrow.")
@click.option("--reason", required=True, help="In your words; the ledger keeps it.")
@json_option
@guarded
def narrow_command(
    case: Path,
    context: str,
    where: tuple[str, ...],
    unverified: str,
    share: float | None,
    key: Path,
    reason: str,
    as_json: bool,
) -> None:
    """Suspend a group of accounts by verified attribute, or serve a smaller share. One signature does.

    Several --where mean accounts that have all of them. An account whose attribute nobody verified is suspended too,
    unless --unverified served. It stays in force, whatever is decided later, until two people lift it.

    \b
    Example:
        safecase decide narrow my-case --context closed --where region=XX --key ana.pem --reason "directive 12/2026"
        safecase decide narrow my-case --context controlled --share 0.01 --key ana.pem --reason "alerts doubled"
    """
    from safecase.assess import narrow_permit, open_case

    groups = dict(_pair(text) for text in where)
    path = narrow_permit(
        open_case(case),
        context,
        key,
        reason=reason,
        where=groups,
        unverified=unverified,  # type: ignore[arg-type]  # click checked
        share=share,
    )
    _emit_restriction(path, as_json=as_json)


@decide_group.command("lift")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--restriction", required=True, help="Its id: the name of its file.")
@click.option(
    "--key", "keys", multiple=True, required=True, type=click.Path(path_type=Path), help="Repeat: two people."
)
@click.option("--reason", required=True, help="In your words; the ledger keeps it.")
@json_option
@guarded
def lift_command(case: Path, restriction: str, keys: tuple[Path, ...], reason: str, as_json: bool) -> None:
    """End a revocation or a narrowing. It opens, so it takes two people in different roles, as the decision did.

    \b
    Example:
        safecase decide lift my-case --restriction 7589e0ba1b786014 --key ana.pem --key ben.pem --reason "mended"
    """
    from safecase.assess import lift_restriction, open_case

    path = lift_restriction(open_case(case), restriction, keys, reason=reason)
    emit({"lifting": str(path)}, as_json=as_json, lines=[str(path)])


def _emit_restriction(path: Path, *, as_json: bool) -> None:
    emit({"restriction": path.stem, "file": str(path)}, as_json=as_json, lines=[str(path), f"restriction {path.stem}"])


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        fail(f"--where is {text!r}; give NAME=VALUE, such as region=XX", BAD_INPUT)
    return name, value


@decide_group.command("due")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--operations", type=click.FloatRange(min=0), help="Training operations by now, fine-tuning included.")
@click.option("--capability-gain", type=click.FloatRange(0, 1), help="Largest gain on a tracked capability, 0 to 1.")
@click.option("--checkpoint", is_flag=True, help="A checkpoint marked for assessment was reached.")
@json_option
@guarded
def due_command(
    case: Path, operations: float | None, capability_gain: float | None, checkpoint: bool, as_json: bool
) -> None:
    """Whether another assessment is due: by compute, checkpoint, capability gain or age, not only at release.

    Exit code 3 when one is due.

    \b
    Example:
        safecase decide due my-case --operations 8e21
    """
    from safecase.assess import due_reasons, open_case

    reasons = due_reasons(
        open_case(case), operations=operations, capability_gain=capability_gain, checkpoint=checkpoint
    )
    emit({"due": bool(reasons), "reasons": list(reasons)}, as_json=as_json, lines=reasons or ["no assessment is due"])
    if reasons:
        raise click.exceptions.Exit(NOT_SUPPORTED)


for _command in ARGUMENT_COMMANDS:
    decide_group.add_command(_command)

COMMANDS = {"decide": decide_group}
