from datetime import UTC, datetime
from pathlib import Path

import pytest

from safecase.mark import Keys, read_keys, write_keys


@pytest.fixture(scope="session")
def keys_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marks") / "keys"
    write_keys(folder, now=datetime.now(UTC))
    return folder


@pytest.fixture(scope="session")
def keys(keys_folder: Path) -> Keys:
    return read_keys(keys_folder)
