"""How a watcher writes down what it knows: JSON, fast enough to be done at every commit."""

import json

import orjson


def to_json(value: object) -> bytes:
    """Numbers, texts, lists, tuples and dicts as one line of JSON; floats come back as the same floats.

    >>> to_json({"kept": [0.1, None]})
    b'{"kept":[0.1,null]}'
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate pair in a text, which escapes can say
        return json.dumps(value).encode()
