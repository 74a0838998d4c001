"""The page of faults says what the tests assert."""

from pathlib import Path

from .fault_table import PAGE, proofs, render


def test_the_page_of_faults_is_made_from_the_tests():
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m tests.serve.fault_table`"


def test_every_row_of_the_page_has_its_test():
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert len(proofs()) > 20
    assert [name for name in proofs() if f"def {name}(" not in sources] == []
