"""A picture without the manifest that its maker put into it, byte for byte the same else.

Servers of pictures sign what they make, and a second manifest beside the first would be none: what goes out here
carries ours, which says the same of the picture (a model made it) and binds the bytes with our other marks in them.
Source: C2PA 2.1, appendix A.3 (embedding manifests), for PNG, JPEG and WebP.
"""

from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN, _APP11 = 0xDA, 0xEB


def without_manifest(data: bytes) -> bytes:
    """The picture without its manifest; as it is where it has none, or cannot be taken apart.

    >>> chunk = bytes(4) + b"caBX" + bytes(4)
    >>> without_manifest(_PNG + chunk + b"...") == _PNG + b"..."
    True
    """
    if data.startswith(_PNG):
        kept = [piece for piece in _png(data) if piece[4:8] != b"caBX"]
        return _PNG + b"".join(kept)
    if data.startswith(b"\xff\xd8"):
        kept = [piece for piece in _jpeg(data) if not (piece[1:2] == bytes([_APP11]) and piece[4:6] == b"JP")]
        return data[:2] + b"".join(kept)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        body = b"".join(piece for piece in _webp(data) if piece[:4] != b"C2PA")
        return b"RIFF%sWEBP%s" % ((len(body) + 4).to_bytes(4, "little"), body)
    return data


def _png(data: bytes) -> Iterator[bytes]:
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at:end]
        at = end
    yield data[at:]


def _jpeg(data: bytes) -> Iterator[bytes]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield data[at:end]
        at = end
    yield data[at:]


def _webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield data[at:end]
        at = end
    yield data[at:]
