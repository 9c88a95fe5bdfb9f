"""Tables of the page as files to download, in CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from pipelinejobs import formatting
from pipelinejobs.page.links import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def csv_reply(file: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return a table as a CSV file; of a link, its text.

    Args:
        file: its name.
        columns: their names.
        rows: a value for each column; None is left blank.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(formatting.csv_cell(name) for name in columns)
    for row in rows:
        values = (cell.text if isinstance(cell, Link) else cell for cell in row)
        writer.writerow([formatting.csv_cell(value) for value in values])
    return Response(
        text.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{file}"'},
    )
