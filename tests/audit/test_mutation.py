"""The report of `make mutate`: how it is written, and that the one in docs is complete."""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from audit import mutation
from audit.mutation import Found, Reason, Survivor
from tests import conftest
from tests.docs.pages import code, rows, text_of

FSM = "datacatalog.linkedstores.pipelinejob.fsm"
DIFF = """\
--- a/fsm.py
+++ b/fsm.py
@@ -1,3 +1,3 @@
 def allowed(state: str) -> bool:
-    return state in STATES
+    return state not in STATES
"""


@pytest.mark.parametrize(
    ("mutant", "function"),
    [
        (f"{FSM}.x_next_state__mutmut_3", f"{FSM}.next_state"),
        (f"{FSM}.x__from__mutmut_12", f"{FSM}._from"),
        ("a.history.xǁHistoryǁ__init____mutmut_1", "a.history.History.__init__"),
        ("a.history.xǁHistoryǁ_complete_audit__mutmut_1", "a.history.History._complete_audit"),
    ],
)
def test_a_mutant_is_one_of_a_function(mutant: str, function: str) -> None:
    assert mutation.function_of(mutant) == function


def test_what_is_no_mutant_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the name of a mutant"):
        mutation.function_of("x")


def test_a_change_is_one_line() -> None:
    assert mutation.change_of(DIFF) == "return state in STATES → return state not in STATES"
    taken = mutation.change_of("-    sort=[1],\n")
    assert taken == "sort=[1], → nothing"


def test_a_survivor_has_the_reason_of_its_function_and_change() -> None:
    known = [Reason("a.*", "one", "first"), Reason("a.b", "", "second")]
    assert mutation.reason_of(Survivor("a.b", "one → two"), known) == "first"
    assert mutation.reason_of(Survivor("a.b", "three → two"), known) == "second"
    assert mutation.reason_of(Survivor("b.a", "one → two"), known) == ""


def test_the_report_counts_by_module_and_lists_what_survived() -> None:
    survivor = Survivor(f"{FSM}.next_state", "a | b → None")
    found = Found(Counter({FSM: 8}), [(survivor, "because")])
    text = mutation.report(found)
    assert "Of 8 mutants 87.5 % were killed." in text
    assert f"| `{FSM}` | 8 | 7 |" in text
    assert f"| `{FSM}.next_state` | `` a \\| b → None `` | because |" in text


def test_the_report_in_the_documentation_has_enough_killed_and_a_reason_for_the_others() -> None:
    page = text_of("docs/mutation.md")
    (percent,) = re.findall(r"mutants ([0-9.]+) % were killed", page)
    assert float(percent) >= mutation.LEAST_PERCENT
    by_module = rows(page, "module | mutants")
    survivors = rows(page, "function | change")
    assert sum(int(row[1]) - int(row[2]) for row in by_module) == len(survivors)
    modules = {code(row[0])[0] for row in by_module}
    assert {FSM, "manager.authorization", "datacatalog.tokens.job"} <= modules
    assert all(row[-1].strip() for row in survivors)


def test_each_reason_is_for_a_function_that_there_is() -> None:
    for reason in mutation.reasons():
        module, _, name = reason.function.rpartition(".")
        if "*" in module:
            continue
        holder, _, cls = module.rpartition(".")
        found = (
            getattr(importlib.import_module(holder), cls)
            if cls[:1].isupper()
            else importlib.import_module(module)
        )
        assert hasattr(found, name), reason.function


def test_the_tests_find_the_database_of_the_run() -> None:
    assert mutation.SHARED_DATABASE == conftest.SHARED_DATABASE


def test_only_what_no_test_noticed_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "tokens" / "job.py.meta"
    file.parent.mkdir()
    codes = {"killed": 1, "survived": 0, "untested": 33, "timed out": 36, "untried": None}
    file.write_text(json.dumps({"exit_code_by_key": codes, "hash_by_function_name": {"x": "1"}}))
    mutation.forget_survivors(tmp_path)
    assert json.loads(file.read_text()) == {
        "exit_code_by_key": {**codes, "survived": None, "untested": None},
        "hash_by_function_name": {"x": "1"},
    }
    mutation.forget_survivors(tmp_path / "none")
