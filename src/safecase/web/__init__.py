"""What every page that people open has in common: the headers it is sent with, how it refuses, where it listens.

Takes:  a host and a port, the body of a request.
Gives:  safe headers, answers in JSON, sources of a content policy, a listening server's address.
Does not own: any page, who may ask for what, keys. The gateway speaks to programs and shares none of this.
"""

from safecase.web._answers import HEADERS, Body, Handler, answer, error_answer, json_answer, read_json, source_of
from safecase.web._errors import CannotListen, Refused, WebError
from safecase.web._listen import is_loopback, listen

__all__ = [
    "HEADERS",
    "Body",
    "CannotListen",
    "Handler",
    "Refused",
    "WebError",
    "answer",
    "error_answer",
    "is_loopback",
    "json_answer",
    "listen",
    "read_json",
    "source_of",
]
