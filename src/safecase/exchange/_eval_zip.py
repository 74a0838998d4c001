"""Inspect's `.eval` container: a zip of JSON members, deflated by older versions and zstd-compressed by newer ones.

The standard library reads zstd members only from Python 3.14 on. Until then the compressed bytes are cut out here and
given to Arrow, which has zstd anyway, so that neither Inspect nor another package is needed to read a log.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from safecase.exchange._errors import LogError

_ZSTD = 93
_LOCAL_HEADER_BYTES = 30
_MOST_BYTES = 1 << 30
"""Largest member that is read: a sample of a gigabyte is an attack on the reader, not a conversation."""


class EvalZip:
    """An open `.eval` file. Members are decoded one at a time.

    Raises:
        LogError: no zip, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._file: BinaryIO = path.open("rb")
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            self._file.close()
            raise LogError(f"{path.name}: not an Inspect log ({error}); get the file again, whole") from error

    def __enter__(self) -> "EvalZip":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def samples(self) -> Iterator[str]:
        """Names of the sample members, in the order they were written. Of a name written twice the last one stands."""
        known = self._zip.NameToInfo
        for info in self._zip.infolist():
            if (
                info.filename.startswith("samples/")
                and info.filename.endswith(".json")
                and known[info.filename] is info
            ):
                yield info.filename

    def header(self) -> dict[str, Any]:
        """What is said of the log as a whole; a run that was cut off has only its start.

        Raises:
            LogError: neither is there.
        """
        for name in ("header.json", "_journal/start.json"):
            if name in self._zip.NameToInfo:
                return self.read(name)
        raise LogError(f"{self._name}: no header.json and no _journal/start.json; this zip is no Inspect log")

    def read(self, name: str) -> dict[str, Any]:
        """One member as a JSON object.

        Raises:
            LogError: damaged, too large, or no JSON object.
        """
        where = f"{self._name}!{name}"
        info = self._zip.NameToInfo[name]
        if info.file_size > _MOST_BYTES:
            raise LogError(f"{where}: {info.file_size} bytes; members over {_MOST_BYTES} are not read")
        try:
            found = json.loads(self._bytes(info))
        except (ValueError, OSError, RecursionError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise LogError(f"{where}: cannot be read ({str(error)[:120]}); get the file again, whole") from error
        if not isinstance(found, dict):
            raise LogError(f"{where}: holds {type(found).__name__} instead of an object; this zip is no Inspect log")
        return found

    def _bytes(self, info: zipfile.ZipInfo) -> bytes:
        if info.compress_type != _ZSTD:
            return self._zip.read(info)
        import pyarrow as pa  # late: 0.2 s

        self._file.seek(info.header_offset)
        fixed = self._file.read(_LOCAL_HEADER_BYTES)
        if len(fixed) < _LOCAL_HEADER_BYTES or not fixed.startswith(b"PK\x03\x04"):
            raise ValueError("its local header is damaged")
        name_bytes, extra_bytes = struct.unpack("<HH", fixed[26:30])
        self._file.seek(name_bytes + extra_bytes, 1)
        packed = self._file.read(info.compress_size)
        data: bytes = pa.decompress(packed, decompressed_size=info.file_size, codec="zstd", asbytes=True)
        if zlib.crc32(data) != info.CRC:
            raise ValueError("its checksum does not hold")
        return data
