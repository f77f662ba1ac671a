import dataclasses
import inspect
import re

import pytest

import expressivity as ex
from expressivity import theorems


def test_keys_and_numbers_name_one_record_each():
    names = [(t.key, t.number) for t in theorems.THEOREMS]
    assert len(set(names)) == len(names)
    for theorem in theorems.THEOREMS:
        assert theorems.find(theorem.key, theorem.number) is theorem
        assert str(theorem) == f"{theorem.key}, {theorem.number}"


@pytest.mark.parametrize("theorem", theorems.THEOREMS, ids=str)
def test_statements_are_sentences(theorem):
    assert theorem.statement[0].isupper()
    assert theorem.statement.endswith(".")
    assert "  " not in theorem.statement
    assert "\n" not in theorem.statement


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        theorems.find("lu2017", "Theorem 1").statement = "something else"


def test_an_unknown_number_lists_those_known():
    with pytest.raises(KeyError, match="Theorem 9") as caught:
        theorems.find("lu2017", "Theorem 9")
    assert "Theorem 1" in str(caught.value)
    assert "Theorem 4" in str(caught.value)
    with pytest.raises(KeyError, match=re.escape("[]")):
        theorems.find("nobody1900", "Theorem 1")


def test_a_theorem_without_constants_certifies_no_number():
    existential = [t for t in theorems.THEOREMS if not t.explicit]
    assert existential
    for theorem in existential:
        with pytest.raises(ValueError, match="only existential constants"):
            ex.Certificate(0.1, "L1", ex.NetworkClass(width=1), theorem)


def test_every_record_is_used_or_documents_a_statement():
    sources = "\n".join(
        inspect.getsource(module)
        for package in (ex.constructions, ex.certificates)
        for module in vars(package).values()
        if inspect.ismodule(module) and module.__name__.startswith("expressivity.")
    )
    used = set(re.findall(r'find\(\s*"([^"]+)",\s*"([^"]+)"\s*\)', sources))
    known = {(t.key, t.number) for t in theorems.THEOREMS}
    assert used <= known, f"looked up but not in the table: {used - known}"
