"""The tables of papers that are commands: `python -m geoflow_tools.bench papers NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import tyro

from geoflow_tools.bench.papers.images import ImagesTable
from geoflow_tools.bench.papers.joints import JointsTable
from geoflow_tools.bench.papers.sketch import SketchTable


class Table(Protocol):
    """A small measurement like a paper's, with the paper's numbers in its report."""

    @property
    def out(self) -> Path | None:
        """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report."""


TABLES: dict[str, type[Table]] = {
    "images": ImagesTable,
    "joints": JointsTable,
    "sketch": SketchTable,
}

if TYPE_CHECKING:
    AnyTable = Table
else:
    AnyTable = tyro.extras.subcommand_type_from_defaults(
        {name: table() for name, table in TABLES.items()}, prefix_names=False
    )


@dataclass(frozen=True)
class PapersBenchmark:
    """A table like a paper's, with the paper's numbers in its report (docs/papers.md)."""

    table: Annotated[AnyTable, tyro.conf.arg(name="")]

    @property
    def out(self) -> Path | None:
        """JSON file of the table."""
        return self.table.out

    def measure(self) -> dict[str, object]:
        """The table's report."""
        return self.table.measure()
