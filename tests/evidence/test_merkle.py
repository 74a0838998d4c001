"""The tree of RFC 6962: known roots, and proofs that hold for what is there and for nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from safecase.evidence import consistency_proof, inclusion_proof, merkle_root, verify_consistency, verify_inclusion

# Leaves and roots of the Certificate Transparency reference tests.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

leaves = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def test_roots_are_those_of_the_reference_tests() -> None:
    assert {size: merkle_root(CT_LEAVES[:size]) for size in CT_ROOTS} == CT_ROOTS


@given(leaves, st.data())
def test_every_leaf_has_a_proof_that_holds(data: list[bytes], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(data) - 1))
    proof, root = inclusion_proof(data, index), merkle_root(data)

    assert verify_inclusion(data[index], index=index, size=len(data), proof=proof, root=root)


@given(leaves, st.binary(max_size=8), st.data())
def test_no_other_data_has_that_proof(data: list[bytes], other: bytes, draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(data) - 1))
    proof, root = inclusion_proof(data, index), merkle_root(data)

    held = verify_inclusion(other, index=index, size=len(data), proof=proof, root=root)
    assert held == (other == data[index])
    assert not verify_inclusion(data[index], index=index, size=len(data), proof=(*proof, root), root=root)
    assert not verify_inclusion(data[index], index=index, size=len(data), proof=proof, root="0" * 64)
    assert not verify_inclusion(data[index], index=len(data), size=len(data), proof=proof, root=root)


@given(leaves, st.data())
def test_a_grown_tree_is_consistent_with_its_beginning(data: list[bytes], draw: st.DataObject) -> None:
    old = draw.draw(st.integers(1, len(data)))
    proof = consistency_proof(data, old)

    assert verify_consistency(
        old_size=old,
        new_size=len(data),
        old_root=merkle_root(data[:old]),
        new_root=merkle_root(data),
        proof=proof,
    )


@given(leaves, st.data())
def test_a_rewritten_tree_is_not_consistent(data: list[bytes], draw: st.DataObject) -> None:
    old = draw.draw(st.integers(1, len(data)))
    changed = draw.draw(st.integers(0, old - 1))
    new = [leaf + b"!" if index == changed else leaf for index, leaf in enumerate(data)]

    assert not verify_consistency(
        old_size=old,
        new_size=len(new),
        old_root=merkle_root(data[:old]),
        new_root=merkle_root(new),
        proof=consistency_proof(new, old),
    )


def test_proofs_that_are_not_hashes_are_refused_without_an_error() -> None:
    root = merkle_root(CT_LEAVES)

    assert not verify_inclusion(b"", index=0, size=8, proof=["xyz", "", "00"], root=root)
    assert not verify_consistency(old_size=3, new_size=8, old_root="?", new_root=root, proof=["?"])
    assert not verify_consistency(old_size=0, new_size=8, old_root="", new_root=root, proof=[])
