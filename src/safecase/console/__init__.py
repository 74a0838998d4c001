"""The pages where people oversee: gates and argument, sign-off, review queue, desk, live traffic, reports.

Takes:  case directories, a folder of labelling sheets, keys of people.
Gives:  pages over HTTP, labels in the sheets that people fill in, sign-offs that were made elsewhere; pages as files.
Does not own: any verdict. It shows what the other rooms say and makes none of it; it signs nothing and holds no
        private key.
"""

from safecase.console._access import ROLES, ConsoleKey, KeyFile, Role, issue_key, keys_file, read_keys, revoke_keys
from safecase.console._cases import Shown, show_cases
from safecase.console._errors import ConsoleError, KeysRefused, NoSuchSheet, NotTheirs, NotWritten
from safecase.console._server import Opening, Server, Settings, serve_console, wait_until_told
from safecase.console._sheets import Item, Sheets, SheetView
from safecase.console._write import write_pages

__all__ = [
    "ROLES",
    "ConsoleError",
    "ConsoleKey",
    "Item",
    "KeyFile",
    "KeysRefused",
    "NoSuchSheet",
    "NotTheirs",
    "NotWritten",
    "Opening",
    "Role",
    "Server",
    "Settings",
    "SheetView",
    "Sheets",
    "Shown",
    "issue_key",
    "keys_file",
    "read_keys",
    "revoke_keys",
    "serve_console",
    "show_cases",
    "wait_until_told",
    "write_pages",
]
