"""Trial segments in a folder that many machines can reach, on their way to a case.

Workers write here, each shard in a folder of its own; the one process that holds the case reads, checks and appends to
the case's store. A segment's name carries the digest of its bytes, so a half-written one is never taken:

    <run>/<shard>/<n>-<12 hex>.parquet
"""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from safecase.evidence._case_files import write_atomic
from safecase.evidence._digest import digest_bytes
from safecase.evidence._errors import AlreadyStored, EvidenceError, StorageTrouble
from safecase.evidence._store import ANSWERED, must_be_keepable
from safecase.evidence._values import Trial

_HAVE_DIRECTORIES = {"sftp", "ssh", "smb", "hdfs", "webhdfs", "ftp"}
"""Storage whose folders are made before their files. Elsewhere a mistyped bucket would be created by it."""

_NAME = re.compile(r"(?P<seq>\d{6,})-(?P<digest>[0-9a-f]{12})\.parquet")


class Folder(Protocol):
    """Files by name (forward slashes), on a disk or in object storage. Every fault is a `StorageTrouble`."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a file whole; when this returns, it outlasts the writer."""
        ...

    def read(self, name: str) -> bytes:
        """The whole of a file."""
        ...

    def names(self, under: str) -> list[str]:
        """Every file below a folder, sorted; none where there is no such folder."""
        ...


def open_folder(url: str) -> Folder:
    """A folder by path or URL. Paths need nothing more; `s3://`, `gs://`, `memory://` and the like go through fsspec.

    Raises:
        StorageTrouble: fsspec, or its driver for this kind of URL, is not installed; or the URL is malformed.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme == "":
        return LocalFolder(Path(url))
    if scheme == "file":
        return LocalFolder(Path(unquote(urlsplit(url).path)))
    return FsspecFolder(url)


class LocalFolder:
    """A folder on a disk, shared or not. Files are synced and appear whole."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()

    def write(self, name: str, data: bytes) -> None:
        """Keep a file whole.

        Raises:
            DiskFull: no space left; nothing is kept.
            StorageTrouble: the folder cannot be written.
        """
        with _naming(str(self._path), "write"):
            write_atomic(self._path / name, data)

    def read(self, name: str) -> bytes:
        """The whole of a file."""
        with _naming(str(self._path), "read"):
            return (self._path / name).read_bytes()

    def names(self, under: str) -> list[str]:
        """Every file below a folder."""
        with _naming(str(self._path), "list"):
            found = (path for path in (self._path / under).rglob("*") if path.is_file())
            return sorted(path.relative_to(self._path).as_posix() for path in found)


class FsspecFolder:
    """A folder in object storage. An object appears when its upload is complete."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            import fsspec  # late: an extra
        except ImportError:
            raise StorageTrouble(f"{url!r} needs fsspec; run `pip install 'safecase[ray]'`") from None
        with _naming(url, "open"):
            self._fs, root = fsspec.core.url_to_fs(url)
            self._root: str = root.rstrip("/")

    def write(self, name: str, data: bytes) -> None:
        """Upload a whole object."""
        with _naming(self._url, "write"):
            path = f"{self._root}/{name}"
            if _HAVE_DIRECTORIES & set(self._protocols()):
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

    def read(self, name: str) -> bytes:
        """The whole of an object."""
        with _naming(self._url, "read"):
            data: bytes = self._fs.cat_file(f"{self._root}/{name}")
            return data

    def names(self, under: str) -> list[str]:
        """Every object below a folder, asked anew each time."""
        with _naming(self._url, "list"):
            self._fs.invalidate_cache()
            try:
                found: list[str] = self._fs.find(f"{self._root}/{under}")
            except FileNotFoundError:
                return []
            return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def _protocols(self) -> tuple[str, ...]:
        named: str | tuple[str, ...] = self._fs.protocol
        return (named,) if isinstance(named, str) else tuple(named)


class RemoteSegments:
    """The segments of one shard: a sink for the engine. What `append` returned from is acknowledged.

    One shard has one writer at a time. Should two be alive after all (a worker given up for lost that was not), neither
    overwrites the other, and whoever collects keeps the first answer.

    Args:
        folder: of all runs and shards.
        name: of this shard's folder inside it.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._statuses: dict[str, bool] | None = None
        self._next = 0
        self.written: list[str] = []

    def open(self, *, at: datetime | None = None, actor: str = "safecase") -> "RemoteSegments":  # noqa: ARG002 - as TrialStore
        """Read what an earlier life of the shard wrote.

        Returns:
            The sink itself.
        """
        self._known()
        return self

    def ids(self, *, answered: bool = False) -> set[str]:
        """Ids on storage, or only of those with an answer. Damaged segments do not count."""
        return {trial_id for trial_id, has_answer in self._known().items() if has_answer or not answered}

    def append(self, rows: Sequence[Trial], *, at: datetime | None = None, actor: str = "safecase") -> str:  # noqa: ARG002 - as TrialStore
        """Write rows as one segment; all of them are kept, or none.

        Returns:
            The segment's name in the folder.

        Raises:
            AlreadyStored: a trial has its answer on storage, or comes twice.
            UnsealedHazard: a plain answer in chem-bio or cyber.
            UnstorableRow: a value cannot be kept exactly.
            StorageTrouble, DiskFull: it could not be written.
            ValueError: no rows.
        """
        from safecase.evidence._arrow import TRIALS  # late: pyarrow takes 0.2 s

        if not rows:
            raise ValueError("nothing to append: a segment holds at least one row")
        known = self._known()
        batch: set[str] = set()
        for row in rows:
            must_be_keepable(row)
            if known.get(row.trial_id) or row.trial_id in batch:
                raise AlreadyStored(f"trial {row.trial_id!r} has an answer in {self._name!r}, which nothing replaces")
            batch.add(row.trial_id)
        data = TRIALS.encode(rows)
        name = f"{self._name}/{self._next:06d}-{digest_bytes(data)[:12]}.parquet"
        self._folder.write(name, data)
        self._next += 1
        self.written.append(name)
        known.update((row.trial_id, row.status in ANSWERED) for row in rows)
        return name

    def _known(self) -> dict[str, bool]:
        if self._statuses is None:
            found: dict[str, bool] = {}
            for name in self._folder.names(self._name):
                if (seq := segment_number(name)) is None:
                    continue
                self._next = max(self._next, seq + 1)
                for row in read_remote(self._folder, name) or ():
                    found[row.trial_id] = found.get(row.trial_id, False) or row.status in ANSWERED
            self._statuses = found
        return self._statuses


def segment_number(name: str) -> int | None:
    """The number in a segment's name, None for a file that is no segment (one being written, say)."""
    match = _NAME.fullmatch(PurePosixPath(name).name)
    return int(match["seq"]) if match else None


def read_remote(folder: Folder, name: str) -> list[Trial] | None:
    """The rows of a segment; None where its bytes are not the ones its name says: cut off, or damaged.

    Raises:
        StorageTrouble: it cannot be read; or it is whole, and no segment of trials.
    """
    from safecase.evidence._arrow import TRIALS, open_segment  # late: pyarrow takes 0.2 s

    match = _NAME.fullmatch(PurePosixPath(name).name)
    data = folder.read(name)
    if match is None or not digest_bytes(data).startswith(match["digest"]):
        return None
    try:
        with open_segment(io.BytesIO(data), TRIALS) as file:
            return [row for batch in TRIALS.batches(file) for row in TRIALS.rows(batch)]
    except (ValueError, OSError) as error:
        line = f"{name}: whole, and no segment of trials ({str(error).splitlines()[0]})"
        raise StorageTrouble(f"{line}; it was written by another version of safecase or by hand, remove it") from error


@contextlib.contextmanager
def _naming(url: str, verb: str) -> Iterator[None]:
    """Turn whatever a storage driver raises into one line that names the place."""
    try:
        yield
    except EvidenceError:
        raise
    except Exception as error:  # drivers raise their own kinds, which only their packages name
        said: Any = str(error).splitlines()
        line = f"{url}: cannot {verb} there ({type(error).__name__}{': ' + said[0] if said else ''})"
        raise StorageTrouble(f"{line}; check the address, the credentials and the driver's package") from error
