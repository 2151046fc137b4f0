"""What is written stays: the checkpoint before, equal files, one trainer, a full disk, builders."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geoflow import atomic
from geoflow.atomic import write_bytes
from geoflow.models.checkpoint import CheckpointError, load_checkpoint, previous, save_checkpoint
from geoflow.training.folder import load_stage, save_stage
from geoflow.training.lock import locked
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow_datasets.array_folder import read_arrays, write_arrays
from geoflow_datasets.bank_writer import write_bank


def test_a_file_and_its_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(atomic, "sync", lambda path: order.append(("sync", path.is_dir())))
    replace = type(tmp_path).replace
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda a, b: (order.append("rename"), replace(a, b))
    )
    write_bytes(tmp_path / "a", b"x")
    assert order == [("sync", False), "rename", ("sync", True)]


def test_the_checkpoint_before_is_kept_and_named_where_the_newest_is_damaged(tmp_path):
    network = torch.nn.Linear(2, 2)
    optimiser, path = Optimiser(network, Schedule()), tmp_path / "flow.safetensors"
    for step in (1, 2, 3):
        save_stage(path, network, optimiser, step)
    assert load_checkpoint(path)[1]["step"] == 3
    assert load_checkpoint(previous(path))[1]["step"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flow.before.safetensors", path.name]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"flow\.before\.safetensors: rename it"):
        load_stage(path, network, optimiser)
    previous(path).replace(path)
    assert load_stage(path, network, optimiser) == 2


def test_equal_content_is_an_equal_file(tmp_path):
    tensors = {name: torch.ones(3, dtype=kind) for name, kind in
               (("b", torch.float16), ("a", torch.float32), ("c", torch.float16))}  # fmt: skip
    contents = set()
    for i in range(20):
        save_checkpoint(tmp_path / f"{i}", tensors, {"step": 1})
        contents.add((tmp_path / f"{i}").read_bytes())
    assert len(contents) == 1
    read, card = load_checkpoint(tmp_path / "0")
    assert card == {"step": 1}
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_second_trainer_is_told_of_the_first(tmp_path):
    code = f"""
import sys
from pathlib import Path
from geoflow.training.lock import locked
with locked(Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    first = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    with (
        pytest.raises(CheckpointError, match=f"trained by process {first.pid} on"),
        locked(tmp_path),
    ):
        pass
    first.kill()
    first.communicate()
    # A holder that is gone holds nothing.
    with locked(tmp_path):
        pass


def test_a_full_disk_names_the_file_and_what_it_needs(tmp_path, monkeypatch):
    def fill_up(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fill_up)
    with pytest.raises(OSError, match=r"disk is full: .*a needs 1,000 bytes, .* are free"):
        write_bytes(tmp_path / "a", b"x" * 1000)
    monkeypatch.setattr(np, "save", lambda path, array: fill_up(path, array))
    with pytest.raises(OSError, match=r"disk is full: .*bank needs 8,002 bytes"):
        write_arrays(tmp_path / "bank", {"a": np.zeros(1000)}, {"card.json": "{}"})
    assert not any(tmp_path.iterdir())


FULL_DISK = """
import shutil, sys
from pathlib import Path
import numpy as np
from geoflow_datasets.bank_writer import write_bank
from geoflow_datasets.prepared.shards import Shards

disk = Path(sys.argv[1])
# Others fill it after the first look.
shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9)
row = {"sdf": np.ones(1000, np.float16)}
about = dict(names=[str(i) for i in range(100)], categories=[0] * 100, category_names=["a"])
for write in (
    lambda: write_bank(disk / "bank", [row] * 100, **about),
    lambda: Shards(disk / "shards").write({place: row for place in range(100)}),
):
    try:
        write()
    except OSError as error:
        print(error.strerror)
"""


def test_rows_that_the_disk_has_no_room_for_are_an_error(tmp_path):
    """Through a map they would be the end of the process (SIGBUS)."""
    mounted = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=100k tmpfs "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mounted, tmp_path, "true"]).returncode:
        pytest.skip("needs a small disk: Linux, where users may mount one")
    command = [*mounted, tmp_path, sys.executable, "-c", FULL_DISK, tmp_path]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    bank, shard = said.stdout.splitlines()
    assert bank.startswith(f"the disk is full: {tmp_path / 'bank'} needs 200,000 bytes")
    assert shard.startswith(f"the disk is full: {tmp_path / 'shards'}/000000/sdf.npy needs 512,000")


def test_a_bank_that_the_disk_will_not_hold_is_refused_after_its_first_shape(tmp_path, monkeypatch):
    drawn = []

    def shapes(num):
        for _ in range(num):
            drawn.append(1)
            yield {"sdf": np.zeros(1000, np.float16)}

    about = {"names": list("abcd"), "categories": [0] * 4, "category_names": ["thing"]}
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=8000))
    write_bank(tmp_path / "fits", shapes(4), **about)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=7999))
    with pytest.raises(OSError, match=r"disk is full: .*bank needs 8,000 bytes, 7,999 are free"):
        write_bank(tmp_path / "bank", shapes(4), **about)
    assert len(drawn) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["fits"]


def build(folder):
    write_arrays(folder, {"a": np.full(1000, os.getpid())}, {"card.json": json.dumps({"x": 1})})
    arrays, card = read_arrays(folder, ("a",), "card.json")
    return len(set(arrays["a"].tolist())), card


def build_by_shape(folder):
    """As banks of made shapes, and of deformed ones."""
    rows = [{"a": np.full(100, os.getpid())}] * 10
    names = [str(i) for i in range(10)]
    texts = {"card.json": json.dumps({"x": 1})}
    write_bank(folder, rows, names=names, categories=[0] * 10, category_names=["a"], texts=texts)
    arrays, card = read_arrays(folder, ("a",), "card.json")
    return len(set(arrays["a"].flat)), card


@pytest.mark.slow
def test_sixteen_builders_of_one_cache_do_each_other_no_harm(tmp_path):
    with multiprocessing.get_context("spawn").Pool(16) as pool:
        for i in range(20):
            work = build if i % 2 else build_by_shape
            found = pool.map(work, [tmp_path / f"bank-{i}"] * 16, chunksize=1)
            assert found == [(1, {"x": 1})] * 16
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"bank-{i}" for i in range(20))


def test_what_is_not_whole_goes(tmp_path):
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"half")
    assert build(folder) == (1, {"x": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]
