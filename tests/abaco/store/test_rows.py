from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table

from abaco.store import rows, tables

TABLES = {
    rows.Actor: tables.actors,
    rows.Alias: tables.aliases,
    rows.Config: tables.configs,
    rows.Execution: tables.executions,
    rows.Message: tables.messages,
    rows.Node: tables.nodes,
    rows.Nonce: tables.nonces,
    rows.Post: tables.posts,
    rows.Token: tables.tokens,
}


@pytest.mark.parametrize(
    ("row", "table"), TABLES.items(), ids=lambda each: getattr(each, "name", "")
)
def test_a_row_has_the_columns_of_its_table_and_may_lack_what_these_may(
    row: Any, table: Table
) -> None:
    annotations = {name: each.__forward_arg__ for name, each in row.__annotations__.items()}
    assert set(annotations) == {column.name for column in table.columns}
    nullable = {column.name for column in table.columns if column.nullable}
    assert {name for name, each in annotations.items() if each.endswith("| None")} == nullable
