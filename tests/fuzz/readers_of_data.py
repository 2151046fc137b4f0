"""What training learns from: banks, prepared folders and their tables, archives, rigs."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh
from fuzz.reader import Reader, finite

from geoflow_datasets import bank_folder
from geoflow_datasets.attribution import Credit, read_attribution, write_attribution
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.folder import load_reports
from geoflow_datasets.furniture import CATALOGUE
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.prepared import source as prepared
from geoflow_datasets.prepared.collection import Collection
from geoflow_datasets.prepared.makers import make
from geoflow_datasets.prepared.prepare import Options, prepare
from geoflow_datasets.request import Request
from geoflow_datasets.rignet import read_rig
from geoflow_datasets.splits import splits_of


def _bank() -> ShapeBank:
    rng = np.random.default_rng(0)
    points = {name: rng.random((3, 8, 3)).astype(np.float16) for name in ("surface", "normals")}
    return ShapeBank(
        **points, queries=points["surface"], sdf=points["surface"][..., 0],
        categories=np.array([0, 1, 1]), names=("a", "b", "c"), category_names=("x", "y"),
    )  # fmt: skip


def a_bank() -> Reader:
    def read(folder: Path) -> None:
        bank = ShapeBank.load(folder / "bank")
        every = np.arange(len(bank))
        bank.batch(every, num_surface=4, num_queries=4, generator=torch.Generator())

    return Reader(lambda folder: _bank().save(folder / "bank"), read)


def a_bank_folder() -> Reader:
    def read(folder: Path) -> None:
        if not bank_folder.is_bank_folder(str(folder)):
            return
        request = Request(str(folder))
        bank_folder.check(request)
        bank_folder.load(request)

    return Reader(lambda folder: _bank().save(folder / "train"), read)


def a_prepared_folder() -> Reader:
    def write(folder: Path) -> None:
        files = folder.with_name("files")
        files.mkdir()
        for i in range(3):
            trimesh.creation.box([0.5, 0.5, 0.3 + 0.2 * i]).export(files / f"{i}.ply")
        options = Options(MeshOptions(num_surface=16, num_queries=16))
        prepare(files, folder, options, engine=lambda jobs: ([(job, make(job))] for job in jobs))

    def read(folder: Path) -> None:
        if not prepared.has_meshes(str(folder)):
            return
        request = Request(str(folder))
        bank = prepared.load(request)
        every = np.arange(len(bank))
        batch = bank.batch(every, num_surface=4, num_queries=4, generator=torch.Generator())
        finite(batch.surface)
        finite(batch.sdf)
        prepared.describe(request)

    return Reader(write, read)


def tables() -> Reader:
    """Beside the meshes of a folder: what is held out, what belongs together, and whose it is."""
    names = ["a/1.obj", "a/2.obj", "b/3.obj"]
    surface = np.random.default_rng(0).random((3, 8, 3))

    def write(folder: Path) -> None:
        (folder / "splits.json").write_text(json.dumps({"train": names[:1], "test": names[1:]}))
        (folder / "groups.csv").write_text("name,group\na/1.obj,x\nb/3.obj,x\n")
        rows = "1,a,b,1,train\n2,a,b,2,val\n"
        (folder / "all.csv").write_text("id,synsetId,subSynsetId,modelId,split\n" + rows)
        write_attribution(folder, [Credit(name, "A chair", "Ada", "CC-BY") for name in names])

    def read(folder: Path) -> None:
        splits_of(folder, names, surface)
        read_attribution(folder)

    return Reader(write, read)


def an_archive(suffix: str) -> Reader:
    """Files that are read in place, by a catalogue in a .sh3f."""
    mesh = trimesh.creation.box().export(file_type="obj").encode()
    catalogue = b"name#1=Chair\nmodel#1=/a/x.obj\nmodelRotation#1=1 0 0 0 0 1 0 -1 0\n"
    contents = {"a/x.obj": mesh, "a/y.obj": mesh * 2, CATALOGUE: catalogue}

    def write(folder: Path) -> None:
        path = folder / f"a{suffix}"
        if suffix in (".zip", ".sh3f"):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
                for name, content in contents.items():
                    file.writestr(name, content)
            return
        with tarfile.open(path, f"w:{suffix.rpartition('.')[2]}") as file:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))

    def read(folder: Path) -> None:
        found = Collection(folder)
        try:
            for item in found.items((".obj",)):
                found.read(item)
        except OSError as error:
            # As it is promised; the file is left out then.
            raise ValueError(str(error)) from error
        finally:
            found.close()

    return Reader(write, read)


def a_rig() -> Reader:
    text = "joints a 0 0 0\njoints b 0 1 0\nroot a\nhier a b\nskin 0 a 1.0\n"
    return Reader(
        lambda folder: (folder / "a.txt").write_text(text) and None,
        lambda folder: finite(read_rig(folder / "a.txt").joints),
    )


def figures() -> Reader:
    def write(folder: Path) -> None:
        surface, joints = np.random.default_rng(0).random((2, 8, 3)), [np.eye(3), np.eye(3)[:2]]
        bank = FigureBank.of(list(surface), joints, [[-1, 0, 1], [-1, 0]], ["a", "b"])
        bank.save(folder / "a.npz")

    def read(folder: Path) -> None:
        bank = FigureBank.load(folder / "a.npz")
        points, joints, _ = bank.batch(
            np.arange(len(bank)), num_points=4, generator=torch.Generator()
        )
        finite(points)
        finite(joints)

    return Reader(write, read)


def reports() -> Reader:
    entries = [asdict(MESHES.report("a.obj", "x", method="winding", components=2)),
               asdict(MESHES.report("b.obj", "x", refused="it is empty"))]  # fmt: skip
    return Reader(
        lambda folder: (folder / "report.json").write_text(json.dumps(entries)) and None,
        lambda folder: load_reports(MESHES, folder) and None,
    )


OF_DATA = {
    "bank": a_bank,
    "folder of banks": a_bank_folder,
    "prepared folder": a_prepared_folder,
    "tables": tables,
    "rig": a_rig,
    "figures": figures,
    "reports": reports,
    **{
        f"archive {suffix}": partial(an_archive, suffix)
        for suffix in (".zip", ".sh3f", ".tar.gz", ".tar.bz2", ".tar.xz")
    },
}
