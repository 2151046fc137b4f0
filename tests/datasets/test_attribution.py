"""Whose the files are: written, read, and counted for a model's card."""

import pytest

from geoflow_datasets.attribution import Credit, credits_of, read_attribution, write_attribution

CREDITS = [
    Credit("chair/a.obj", 'Chair, "tall"', "Ada", "CC-BY-3.0"),
    Credit("chair/b.obj", "Chair", "Ada", "CC-BY-3.0"),
    Credit("sofa/c.obj", "Sofa", "Bob", "CC0"),
]


def test_what_is_written_is_read(tmp_path):
    write_attribution(tmp_path, CREDITS)
    assert read_attribution(tmp_path) == CREDITS
    assert read_attribution(tmp_path / "nowhere") == []


def test_a_card_names_the_creators_of_the_files_that_were_taken(tmp_path):
    write_attribution(tmp_path, CREDITS)
    assert credits_of(tmp_path, ["chair/a.obj", "chair/b.obj", "other.obj"]) == [
        {"licence": "CC-BY-3.0", "creator": "Ada", "files": 2}
    ]


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "attribution.csv").write_text("file,creator\na.obj,Ada\n")
    with pytest.raises(ValueError, match="must have the columns file, name, creator, licence"):
        credits_of(tmp_path, [])
