"""JSON as it comes in: read only as deep as it can be written again."""

from typing import Any

import orjson

DEEPEST = 200
"""Objects and lists within each other. What is passed on is written anew, and orjson writes no more than 254."""


class TooDeep(ValueError):
    """It is JSON, and nested too deeply to be written again."""


def read_json(data: bytes) -> Any:
    """The value.

    Raises:
        TooDeep: it could not be passed on.
        ValueError: it is no JSON in UTF-8.

    >>> read_json(b'{"a": [1]}')
    {'a': [1]}
    """
    value = orjson.loads(data)
    # Counting is quick, and only what has so many brackets can be so deep.
    if data.count(b"[") + data.count(b"{") > DEEPEST and _is_deeper(value):
        raise TooDeep(f"nested more than {DEEPEST} deep")
    return value


def _is_deeper(value: Any) -> bool:
    level = [value] if type(value) is dict or type(value) is list else []
    for _ in range(DEEPEST + 1):
        level = [inner for one in level for inner in (one.values() if type(one) is dict else one)]
        level = [inner for inner in level if type(inner) is dict or type(inner) is list]
        if not level:
            return False
    return True
