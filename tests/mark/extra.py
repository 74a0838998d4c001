"""Skip, with the reason, where the extra `mark` is not installed."""

import importlib.util

import pytest

_MISSING = [name for name in ("c2pa", "PIL", "pywt") if importlib.util.find_spec(name) is None]
NEEDS_EXTRA = [
    pytest.mark.mark,
    pytest.mark.skipif(bool(_MISSING), reason=f"the extra `mark` needs {', '.join(_MISSING)}"),
]
