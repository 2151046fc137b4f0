"""The tables of papers: each is a command of its name, and stands in the document."""

from pathlib import Path

import pytest
import tyro

from geoflow_tools.bench.papers.tables import TABLES, PapersBenchmark

DOCUMENT = Path(__file__).parents[2] / "docs" / "papers.md"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_a_command_and_documented(name):
    options = tyro.cli(PapersBenchmark, args=[name, "--seconds", "3", "--out", "a.json"])
    assert type(options.table) is TABLES[name]
    assert options.table.seconds == 3
    assert options.out == Path("a.json")
    assert f"bench papers {name}" in DOCUMENT.read_text(encoding="utf-8")


def test_a_table_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        tyro.cli(PapersBenchmark, args=["poems"])
    assert "poems" in capsys.readouterr().err
