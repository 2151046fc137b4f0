"""What a large request takes is said or refused before it begins; a small one is not rehearsed."""

import pytest

from geoflow_cli import budget, main
from geoflow_cli.budget import bytes_of_mesh, foresee, foresee_work, foreseen
from geoflow_cli.errors import Failure, failing


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only what is done adds to."""
    passed = [0.0]
    monkeypatch.setattr(budget.time, "perf_counter", lambda: passed[0])

    def work(seconds):
        passed[0] += seconds

    return work


def test_work_is_foreseen_by_a_small_part_of_it(tmp_path, clock, capsys):
    done = []

    def part():
        done.append(1)
        clock(0.5)

    paths = [tmp_path / f"{i}.obj" for i in range(1000)]
    assert foresee(paths, size=2e6, parts=1000, part=part)
    assert capsys.readouterr().err == "geoflow: 1,000 files will take about 8 minutes and 2.00 GB\n"
    assert foresee(paths[:1], size=0, parts=1000, part=part)
    assert capsys.readouterr().err == "geoflow: 0.obj will take about 8 minutes\n"
    # Twin: of what is little nothing is said, and no part of it is done twice.
    done.clear()
    assert not foresee(paths[:10], size=2e6, parts=10, part=part)
    assert (done, capsys.readouterr().err) == ([], "")


def test_work_without_files_is_foreseen_alike(clock, capsys):
    assert foresee_work("it all", parts=1000, part=lambda: clock(0.5))
    assert capsys.readouterr().err == "geoflow: it all will take about 8 minutes\n"
    # Twins: many quick parts are rehearsed and not told, few are not rehearsed.
    assert not foresee_work("it all", parts=1000, part=lambda: clock(0.05))
    assert not foresee_work("it all", parts=10, part=pytest.fail)
    assert capsys.readouterr().err == ""


def test_what_the_disk_will_not_hold_is_refused_before_it_begins(tmp_path):
    def part():
        raise AssertionError

    with pytest.raises(Failure, match=r"0\.obj needs about 1,000,000\.0 GB, and .* are free there"):
        foresee([tmp_path / "0.obj"] * 1000, size=1e12, parts=1000, part=part)


def test_what_was_not_told_before_is_told_after_the_first(tmp_path, clock, capsys):
    def made(seconds):
        for path in paths:
            path.write_bytes(b"0" * 1000)
            clock(seconds)
            yield path

    paths = [tmp_path / f"{i}.obj" for i in range(5)]
    assert list(foreseen(paths, made(50.0))) == paths
    assert capsys.readouterr().err == "geoflow: 4 more will take about 3 minutes\n"
    for seconds, told in ((50.0, True), (1.0, False)):
        assert list(foreseen(paths, made(seconds), told=told)) == paths
        assert capsys.readouterr().err == ""


def test_a_mesh_takes_what_its_triangles_take():
    """At 128, chairs have 22,700 triangles, 56,700 in full (the card of chair)."""
    assert bytes_of_mesh(None, 128) == pytest.approx(18 * 22_700, rel=0.02)
    assert bytes_of_mesh("full", 128) == pytest.approx(18 * 56_700, rel=0.02)
    assert bytes_of_mesh(500, 128) == 9000
    assert bytes_of_mesh(10**9, 128) == bytes_of_mesh(None, 128)


BEYOND = [
    ("sample --num 1000000 --preview --out {}/a.obj", "--preview draws at most 1,000 shapes"),
    ("vary {}/a.obj --num 2000 --preview", "--preview draws at most 1,000 shapes"),
    ("complete {}/a.ply --num 101 --out {}/a.obj", "--num must be at most 100"),
    ("interpolate {}/a.obj {}/b.obj --frames 1001", "--frames must be at most 1,000 of a film"),
    (
        "evaluate --model chair --reference chair --num 100000 --points 2048 --out {}/a.json",
        "--num times --points must be at most 100,000,000",
    ),
    ("train --kind joints --num-shapes 200001 --out {}/a", "--num-shapes must be at most 200,000"),
]


@pytest.mark.parametrize(("words", "message"), BEYOND)
def test_what_memory_will_not_hold_is_refused(words, message, tmp_path, capsys):
    assert main([word.format(tmp_path) for word in words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.slow
def test_a_million_meshes_are_foreseen_by_the_command(tmp_path, monkeypatch, capsys):
    """And refused, where the disk is too small: none is made."""
    free = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(budget.shutil, "disk_usage", lambda path: free)
    assert main(["sample", "--num", "1000000", "--out", str(tmp_path / "a.obj")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a-000.obj needs about 412.9 GB, and 1.0 GB are free there" in line
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "said",
    ["DefaultCPUAllocator: can't allocate memory", "CUDA out of memory. Tried"],
)
def test_memory_that_torch_does_not_get_is_a_line(said):
    with pytest.raises(Failure, match="memory ran out: ask for less"), failing():
        raise RuntimeError(said)
    # Twin: another error is one.
    with pytest.raises(RuntimeError, match="mat1"), failing():
        raise RuntimeError("mat1 and mat2 do not fit")
