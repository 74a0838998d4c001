"""The Merkle tree of RFC 6962: one root for a list, and short proofs that an entry is in it or that a list only grew.

         root
        /    \\
      n01     n2        leaf hash = SHA-256(00 | data)
     /   \\     |        node hash = SHA-256(01 | left | right)
    d0   d1   d2        the left side holds the largest power of two below the count

Hashes are 64 lower-case hex digits outside this module, so that they travel in JSON.
"""

import hashlib
from collections.abc import Sequence

_Hashes = Sequence[bytes]


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Root of the tree over `leaves`; of no leaves, the SHA-256 of nothing. Source: RFC 6962, section 2.1.

    >>> merkle_root([])[:8]
    'e3b0c442'
    """
    return _root([_leaf(data) for data in leaves]).hex()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[str, ...]:
    """The sibling hashes from leaf `index` up to the root. Source: RFC 6962, section 2.1.1.

    Raises:
        ValueError: `index` lies outside 0..len(leaves) - 1.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"index {index!r} lies outside a tree of {len(leaves)} leaves")
    return tuple(node.hex() for node in _path(index, [_leaf(data) for data in leaves]))


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[str, ...]:
    """The hashes that show the first `old_size` leaves are still the beginning. Source: RFC 6962, section 2.1.2.

    Raises:
        ValueError: `old_size` lies outside 1..len(leaves).
    """
    if not 1 <= old_size <= len(leaves):
        raise ValueError(f"old size {old_size!r} lies outside 1..{len(leaves)}")
    return tuple(node.hex() for node in _subproof(old_size, [_leaf(data) for data in leaves], whole=True))


def verify_inclusion(data: bytes, *, index: int, size: int, proof: Sequence[str], root: str) -> bool:
    """Whether `data` is leaf `index` of the tree of `size` leaves with that root. Source: RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, seen = index, size - 1, _leaf(data)
    for node in _parse(proof):
        if last == 0:
            return False
        if at & 1 or at == last:
            seen = _node(node, seen)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            seen = _node(seen, node)
        at, last = at >> 1, last >> 1
    return last == 0 and seen.hex() == root


def verify_consistency(*, old_size: int, new_size: int, old_root: str, new_root: str, proof: Sequence[str]) -> bool:
    """Whether the new tree begins with the whole old one. Source: RFC 9162, section 2.1.4.2."""
    if not 1 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    nodes = _parse(proof)
    if old_size & (old_size - 1) == 0:  # a power of two: the old root is itself the first node
        nodes.insert(0, _bytes(old_root))
    if not nodes:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = _node(node, old), _node(node, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = _node(new, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old.hex() == old_root and new.hex() == new_root


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _root(hashes: _Hashes) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = _split(len(hashes))
    return _node(_root(hashes[:middle]), _root(hashes[middle:]))


def _path(index: int, hashes: _Hashes) -> list[bytes]:
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*_path(index, hashes[:middle]), _root(hashes[middle:])]
    return [*_path(index - middle, hashes[middle:]), _root(hashes[:middle])]


def _subproof(old_size: int, hashes: _Hashes, *, whole: bool) -> list[bytes]:
    if old_size == len(hashes):
        return [] if whole else [_root(hashes)]
    middle = _split(len(hashes))
    if old_size <= middle:
        return [*_subproof(old_size, hashes[:middle], whole=whole), _root(hashes[middle:])]
    return [*_subproof(old_size - middle, hashes[middle:], whole=False), _root(hashes[:middle])]


def _parse(proof: Sequence[str]) -> list[bytes]:
    return [_bytes(node) for node in proof]


def _bytes(text: str) -> bytes:
    """A hash from its hex digits; text that is none becomes bytes that no SHA-256 equals."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
