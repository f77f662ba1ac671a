"""The table from theorems to code is complete, and every name in it is there."""

import importlib
import inspect

import pytest

from expressivity import theorem_code, theorems

ADDRESSES = [(t.key, t.number) for t in theorems.THEOREMS]


def test_every_statement_has_code_or_a_reason_why_not():
    coded, quoted = set(theorem_code.CODE), set(theorem_code.QUOTED)
    assert not coded & quoted
    assert coded | quoted == set(ADDRESSES)
    for key, number in quoted:
        assert not theorems.find(key, number).explicit, "a statement with constants can be computed"


@pytest.mark.parametrize("address", theorem_code.CODE, ids=" ".join)
def test_code_is_public_documented_and_speaks_of_the_source(address):
    names = theorem_code.CODE[address]
    assert names
    assert len(set(names)) == len(names)
    for name in names:
        module_name, _, attribute = name.rpartition(".")
        module = importlib.import_module(f"expressivity.{module_name}")
        value = getattr(module, attribute)
        assert not attribute.startswith("_")
        assert len(inspect.getdoc(value) or "") > 40
        key = address[0]
        if key != "expressivity" and module_name.startswith("constructions"):
            text = inspect.getsource(module)
            # the file of a construction has the key of its paper, or cites it
            assert key in name or key in text or key.rstrip("0123456789") in module_name
