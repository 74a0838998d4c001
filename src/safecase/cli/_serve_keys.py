"""`safecase serve keys`: who may ask the gateway, and for what."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.serve import AccountRecord, Allowance, KeyRecord

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_by = click.option("--by", required=True, help="Who decided; kept in the file.")
_why = click.option("--why", required=True, help="Their reason; kept in the file.")


@click.group("keys")
def keys() -> None:
    """API keys of the gateway: a file of hashes, scopes, tiers and limits. Workers see a change within a second.

    \b
    Example:
        safecase serve keys add keys.json --account acme --requests-per-minute 600
        safecase serve keys grant keys.json acme --tier vetted --by "J. Doe" --why "contract 12"
        safecase serve keys list keys.json
        safecase serve keys revoke keys.json abcdefgh2345 --by "J. Doe" --why "leaked"
    """


@keys.command("add")
@_file
@click.option("--account", help="Whose key it is, a pseudonym; else a new account is made.")
@click.option("--scope", "scopes", multiple=True, help="chat, responses, embeddings, images, models, metrics.")
@click.option("--label", default="", help="A name for people.")
@click.option("--days", type=click.IntRange(1), help="Until it expires; without it, never.")
@click.option("--requests-per-minute", type=click.FloatRange(0, min_open=True), help="Of the account, all keys.")
@click.option("--tokens-per-minute", type=click.FloatRange(0, min_open=True), help="Of the account, in and out.")
@click.option("--concurrent", type=click.IntRange(1), help="Calls of the account at one time.")
@click.option("--pepper-file", type=click.Path(path_type=Path), help="A secret outside FILE that hashes rest on.")
@json_option
@guarded
def add_command(
    file: Path,
    account: str | None,
    scopes: tuple[str, ...],
    label: str,
    days: int | None,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    concurrent: int | None,
    pepper_file: Path | None,
    as_json: bool,
) -> None:
    """Make a key and print it, this once: FILE keeps only its hash.

    \b
    Example:
        safecase serve keys add keys.json
        safecase serve keys add keys.json --account acme --scope chat --scope embeddings --days 90
    """
    from safecase.serve import CALLER_SCOPES, add_key, read_pepper

    now = datetime.now(UTC)
    made = add_key(
        file,
        account=account,
        scopes=frozenset(scopes) or CALLER_SCOPES,
        label=label,
        expires=None if days is None else now + timedelta(days=days),
        allowance=_allowance(requests_per_minute, tokens_per_minute, concurrent),
        pepper=read_pepper(pepper_file),
        at=now,
    )
    value = {"key_id": made.key_id, "account": made.account, "token": made.token, "file": str(file)}
    lines = [made.token, f"  key {made.key_id} of account {made.account}; it is shown only now and kept nowhere"]
    emit(value, as_json=as_json, lines=lines)


@keys.command("list")
@_file
@json_option
@guarded
def list_command(file: Path, as_json: bool) -> None:
    """Show accounts and keys, revoked ones too; never a secret or a hash.

    \b
    Example:
        safecase serve keys list keys.json
    """
    from safecase.serve import read_keys

    held = read_keys(file)
    value = {
        "accounts": [account.model_dump(mode="json") for account in held.accounts],
        "keys": [key.model_dump(mode="json", exclude={"hash"}) for key in held.keys],
    }
    lines = [
        line
        for account in held.accounts
        for line in (
            _account_line(account),
            *(_key_line(key) for key in held.keys if key.account == account.id),
        )
    ]
    emit(value, as_json=as_json, lines=lines or [f"{file}: no keys"])


@keys.command("revoke")
@_file
@click.argument("key_id")
@_by
@_why
@json_option
@guarded
def revoke_command(file: Path, key_id: str, by: str, why: str, as_json: bool) -> None:
    """Make a key invalid for good.

    \b
    Example:
        safecase serve keys revoke keys.json abcdefgh2345 --by "J. Doe" --why "leaked in a log"
    """
    from safecase.serve import revoke_key

    gone = revoke_key(file, key_id, by=by, why=why, at=datetime.now(UTC))
    emit(gone.model_dump(mode="json", exclude={"hash"}), as_json=as_json, lines=[_key_line(gone).strip()])


@keys.command("grant")
@_file
@click.argument("account")
@click.option("--tier", "tiers", multiple=True, help="A trusted-access tier to grant, such as vetted.")
@click.option("--withdraw", "withdrawn", multiple=True, help="A tier to take away again.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="A verified fact; NAME= removes.")
@click.option("--requests-per-minute", type=click.FloatRange(0, min_open=True))
@click.option("--tokens-per-minute", type=click.FloatRange(0, min_open=True))
@click.option("--concurrent", type=click.IntRange(1))
@click.option("--no-limits", is_flag=True, help="Take every limit away. Limits that are given replace all in force.")
@_by
@_why
@json_option
@guarded
def grant_command(
    file: Path,
    account: str,
    tiers: tuple[str, ...],
    withdrawn: tuple[str, ...],
    attributes: tuple[str, ...],
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    concurrent: int | None,
    no_limits: bool,
    by: str,
    why: str,
    as_json: bool,
) -> None:
    """Grant or withdraw tiers, record verified attributes, set limits of an account.

    \b
    Example:
        safecase serve keys grant keys.json acme --tier vetted --by "J. Doe" --why "contract 12"
        safecase serve keys grant keys.json acme --attribute region=EU --by "J. Doe" --why "address checked"
    """
    from safecase.serve import Allowance, grant

    limits = Allowance() if no_limits else _allowance(requests_per_minute, tokens_per_minute, concurrent)
    if not (tiers or withdrawn or attributes or limits):
        fail("nothing to grant; give --tier, --withdraw, --attribute or a limit", BAD_INPUT)
    new = grant(
        file,
        account,
        tiers=frozenset(tiers),
        withdrawn=frozenset(withdrawn),
        attributes=dict(_pair(text) for text in attributes),
        allowance=limits,
        by=by,
        why=why,
        at=datetime.now(UTC),
    )
    emit(new.model_dump(mode="json"), as_json=as_json, lines=[_account_line(new)])


def _allowance(requests: float | None, tokens: float | None, concurrent: int | None) -> "Allowance | None":
    from safecase.serve import Allowance

    if requests is None and tokens is None and concurrent is None:
        return None
    return Allowance(requests_per_minute=requests, tokens_per_minute=tokens, concurrent=concurrent)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        fail(f"--attribute is {text!r}; give NAME=VALUE, such as region=EU", BAD_INPUT)
    return name, value


def _account_line(account: "AccountRecord") -> str:
    limits = {name: value for name, value in account.allowance.model_dump().items() if value is not None}
    said = [f"{name} {value:g}" for name, value in limits.items()]
    said += [f"tier {tier.value} ({tier.by}: {tier.why})" for tier in account.tiers]
    said += [f"{name}={fact.value} ({fact.by}: {fact.why})" for name, fact in account.attributes.items()]
    return f"{account.id}: {'; '.join(said) or 'no limits, no tiers'}"


def _key_line(key: "KeyRecord") -> str:
    state = f"expires {key.expires}" if key.expires else "no expiry"
    if key.revoked is not None:
        state = f"revoked {key.revoked.at} by {key.revoked.by}: {key.revoked.why}"
    return f"  {key.key_id} {key.label or '-'} [{' '.join(key.scopes)}] {state}"


COMMANDS: dict[str, Any] = {"keys": keys}
