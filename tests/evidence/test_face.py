"""The public face: sorted, whole and light."""

import subprocess
import sys

import safecase.evidence as face
from safecase.evidence import _digest, _values


def test_the_face_lists_what_it_has() -> None:
    assert len(set(face.__all__)) == len(face.__all__)
    assert all(hasattr(face, name) for name in face.__all__)


def test_every_public_value_and_digest_is_on_the_face() -> None:
    for module in (_values, _digest):
        own = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
        }
        public = {name for name in own if name not in {"hashlib", "json", "orjson"}}
        assert public
        assert public <= set(face.__all__)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("pyarrow", "cryptography", "securesystemslib", "pydantic", "numpy")
    code = f"import sys, safecase.evidence; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"
