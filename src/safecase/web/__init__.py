"""What every page that people open has in common: the headers it is sent with, how it refuses, where it listens.

Takes:  a host and a port, the body of a request.
Gives:  safe headers, answers in JSON, sources of a content policy, keys for people, a listening server's address.
Does not own: any page, who may ask for what, who holds which key; the gateway, which speaks to programs.
"""

from safecase.web._answers import (
    HEADERS,
    Body,
    Handler,
    answer,
    error_answer,
    json_answer,
    read_form,
    read_json,
    source_of,
)
from safecase.web._errors import CannotListen, Refused, WebError
from safecase.web._keys import NewKey, is_key, key_id_of, keys_held, new_key
from safecase.web._listen import is_loopback, listen

__all__ = [
    "HEADERS",
    "Body",
    "CannotListen",
    "Handler",
    "NewKey",
    "Refused",
    "WebError",
    "answer",
    "error_answer",
    "is_key",
    "is_loopback",
    "json_answer",
    "key_id_of",
    "keys_held",
    "listen",
    "new_key",
    "read_form",
    "read_json",
    "source_of",
]
