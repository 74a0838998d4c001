"""What tests that need a sandbox share: an engine, or a reason why there is none."""

import pytest

from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import NoSandbox


def engine_or_reason() -> Engine | str:
    try:
        return find_engine()
    except NoSandbox as reason:
        return str(reason)


ENGINE = engine_or_reason()
NEEDS_SANDBOX = [
    pytest.mark.sandbox,
    pytest.mark.skipif(isinstance(ENGINE, str), reason=f"no sandbox: {ENGINE}"),
]


def the_engine() -> Engine:
    assert isinstance(ENGINE, Engine)
    return ENGINE
