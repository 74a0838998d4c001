"""API keys, each bound to its host.

A case file that comes from elsewhere names a base URL; it must not be able to send a key that belongs to another host.
So a key is looked up by the host and by nothing else, two hosts never share a variable, a redirect never carries a key
on, and no key travels unencrypted off this machine.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from yarl import URL

from safecase.models._errors import BadKey, PlatformFailed

_OPENAI_HOST = "api.openai.com"
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
KEYS_FILE = Path("~/.config/safecase/keys.yaml")


def key_variable(host: str) -> str | None:
    """The environment variable that holds a host's key; None for a host that has none (an IPv6 address).

    A dot becomes one underscore and a hyphen two. Were both to become one, whoever registers `api-example.org` could
    ask for the key of `api.example.org`.

    >>> key_variable("inference.example.org")
    'SAFECASE_API_KEY_INFERENCE_EXAMPLE_ORG'
    >>> key_variable("inference-example.org")
    'SAFECASE_API_KEY_INFERENCE__EXAMPLE_ORG'
    """
    host = host.lower()
    if not _HOST_NAME.fullmatch(host):
        return None
    return "SAFECASE_API_KEY_" + host.replace("-", "__").replace(".", "_").upper()


def find_key(url: URL, *, environ: Mapping[str, str] = os.environ, keys_file: Path | None = None) -> str | None:
    """The key of a URL's host, None where there is none.

    Args:
        keys_file: YAML of `host: key` or `host:port: key`; `~/.config/safecase/keys.yaml` by default. Written as
            `http://host: key` it may travel unencrypted, which nothing else allows.

    Raises:
        BadKey: a key that cannot be sent: unencrypted off this machine, in a file others can read, or with characters
            that no header can carry.
    """
    host = (url.raw_host or "").lower()
    variable = key_variable(host)
    if variable and (key := environ.get(variable, "").strip()):
        return _sendable(key, url, origin=f"${variable}", plain=False)
    if host == _OPENAI_HOST and (key := environ.get("OPENAI_API_KEY", "").strip()):
        return _sendable(key, url, origin="$OPENAI_API_KEY", plain=False)
    return _from_file(url, (keys_file or KEYS_FILE).expanduser())


def where_keys_are(url: URL, *, keys_file: Path | None = None) -> str:
    """The places `find_key` looks in, for a message."""
    host = (url.raw_host or "").lower()
    variables = [f"${variable}" for variable in (key_variable(host),) if variable]
    if host == _OPENAI_HOST:
        variables.append("$OPENAI_API_KEY")
    return " or ".join([*variables, f"{host!r} in {keys_file or KEYS_FILE}"])


def is_loopback(url: URL) -> bool:
    """Whether a URL stays on this machine, by its text: a name that merely resolves to loopback does not count.

    >>> is_loopback(URL("http://127.0.0.1:8000/v1")), is_loopback(URL("https://127.0.0.1.example.org"))
    (True, False)
    """
    host = url.host or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def must_be_reachable(url: URL, *, name: str) -> None:
    """Refuse an address off this machine where the environment allows loopback only, as under test.

    Args:
        name: of what is to be reached, for the message.

    Raises:
        PlatformFailed: the address leaves this machine.
    """
    for variable in ("SAFECASE_NO_NETWORK", "PYTEST_CURRENT_TEST"):
        if os.environ.get(variable) not in {None, "", "0"} and not is_loopback(url):
            raise PlatformFailed(f"{name}: {variable} allows loopback only; unset it to reach {url.host}")


def _from_file(url: URL, path: Path) -> str | None:
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"{path}: cannot be read ({type(error).__name__}); mend it or take it away") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadKey(f"{path}: others may read it (mode {stat.S_IMODE(mode):o}); run `chmod 600 {path}`")
    from ruamel.yaml import YAML  # only here: importing the room is to stay cheap
    from ruamel.yaml.error import YAMLError

    try:
        keys = YAML(typ="safe").load(text) or {}
    except YAMLError:
        raise BadKey(f"{path}: not YAML; write one `host: key` a line") from None
    if not isinstance(keys, dict) or not all(isinstance(v, str) for pair in keys.items() for v in pair):
        raise BadKey(f"{path}: not a mapping of hosts to keys; write one `host: key` a line")
    host, port = (url.raw_host or "").lower(), url.port
    for name in (f"{url.scheme}://{host}:{port}", f"{url.scheme}://{host}", f"{host}:{port}", host):
        if name in keys:
            return _sendable(keys[name].strip(), url, origin=f"{name!r} in {path}", plain=name.startswith("http://"))
    return None


def _sendable(key: str, url: URL, *, origin: str, plain: bool) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadKey(f"{origin}: the key holds blanks or unprintable characters; copy it again")
    if url.scheme != "https" and not plain and not is_loopback(url):
        raise BadKey(f"{origin}: would travel unencrypted to {url.origin()}; write https:// in the model's base URL")
    return key
