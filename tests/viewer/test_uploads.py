"""What visitors upload: meshes, of a bounded size, read by a child of bounded time and memory."""

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from geoflow_viewer import upload
from geoflow_viewer.privacy import shown_name, without_folders
from geoflow_viewer.upload import MOST_BYTES, UploadError, check_upload, read_upload
from geoflow_viewer.upload_limit import UploadLimit

BOX = trimesh.creation.box()


def test_a_mesh_is_read_by_a_child():
    mesh = read_upload("box.stl", BOX.export(file_type="stl"))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1.0)


def bomb():
    """An archive that unpacks to a mesh of gigabytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.obj", b"v 0 0 0\n" * 1_000_000)
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.3mf", "a.dae", "a", "obj", "a.obj.zip"])
def test_other_suffixes_are_refused_unread(name, monkeypatch):
    monkeypatch.setattr(upload.subprocess, "run", pytest.fail)
    with pytest.raises(UploadError, match="a mesh is"):
        read_upload(name, bomb())


@pytest.mark.parametrize("suffix", [".glb", ".ply"])
def test_an_archive_by_another_name_is_no_mesh(suffix):
    with pytest.raises(UploadError, match="cannot be read as a mesh"):
        read_upload(f"a{suffix}", bomb())


@pytest.mark.parametrize("size", [0, -1, MOST_BYTES + 1])
def test_sizes_are_bounded(size):
    check_upload("a.obj", MOST_BYTES)
    with pytest.raises(UploadError, match=r"at most 64 MB"):
        check_upload("a.obj", size)


def test_faces_time_and_memory_are_bounded(monkeypatch):
    with pytest.raises(UploadError, match=r"slow\.obj: it was not read in 0 s"):
        read_upload("slow.obj", BOX.export(file_type="obj").encode(), seconds=0.01)
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 3000000000\nproperty float x\n"
    huge = header + b"property float y\nproperty float z\nend_header\n" + bytes(1000)
    with pytest.raises(UploadError, match=r"huge\.ply: it "):
        read_upload("huge.ply", huge)


class Gui:
    """What of viser's client uploads go through."""

    def __init__(self):
        self._current_file_upload_states, self.heard = {}, {}
        self._websock_interface = self

    def unregister_handler(self, kind, heard):
        pass

    def register_handler(self, kind, heard):
        self.heard[kind.__name__] = heard

    def _handle_file_transfer_start(self, client, message):
        self._current_file_upload_states[message.transfer_uuid] = {
            "total_bytes": message.size_bytes, "transferred_bytes": 0, "filename": message.filename,
        }  # fmt: skip

    def _handle_file_transfer_part(self, client, message):
        state = self._current_file_upload_states[message.transfer_uuid]
        state["transferred_bytes"] += len(message.content)


def guarded(limit):
    gui, told = Gui(), []
    limit.guard(SimpleNamespace(gui=gui), told.append)
    return gui, told


def begin(gui, transfer="1", *, name="a.obj", size=100, parts=2):
    gui.heard["FileTransferStartUpload"](0, SimpleNamespace(
        filename=name, size_bytes=size, part_count=parts, transfer_uuid=transfer))  # fmt: skip


def send(gui, content, transfer="1"):
    gui.heard["FileTransferPart"](0, SimpleNamespace(content=content, transfer_uuid=transfer))


def test_unfinished_uploads_are_bounded():
    pytest.importorskip("viser")
    limit = UploadLimit(at_once=250)
    gui, told = guarded(limit)
    for wrong in ({"name": "a.zip"}, {"size": MOST_BYTES + 1}, {"parts": 0}, {"parts": 10**9}):
        begin(gui, **wrong)
    assert len(told) == 4
    assert not gui._current_file_upload_states
    begin(gui)
    send(gui, b"x" * 60)
    begin(gui, "2")
    assert "another upload is under way" in told[-1]
    # Others' count together, until they leave.
    other, others_told = guarded(limit)
    begin(other, size=200)
    assert "too many uploads" in others_told[-1]
    limit.forget(SimpleNamespace(gui=gui))
    begin(other, size=200)
    assert len(others_told) == 1
    # More than was announced ends it.
    send(gui, b"x" * 60)
    assert "more came" in told[-1]
    assert not gui._current_file_upload_states


def test_places_of_the_disk_are_not_told():
    said = "model.safetensors is damaged: its tensor flow.a has shape (1, 2)"
    assert without_folders(f"/home/ann/secret/{said}") == said
    assert without_folders("C:\\Users\\ann\\a.obj: empty") == "a.obj: empty"
    for kept in ("runs/chair: 1/2 done", "x = 1/3", "half of the shapes (a/b)"):
        assert without_folders(kept) == kept
    assert shown_name("/home/ann/runs/chair") == "chair"
    assert shown_name("runs/chair") == "runs/chair"


def test_meshes_that_are_not_finite_do_not_pass(monkeypatch):
    made = io.BytesIO()
    np.savez(made, vertices=np.full((3, 3), np.nan), faces=np.array([[0, 1, 2]]))
    done = SimpleNamespace(returncode=0, stdout=made.getvalue(), stderr=b"")
    monkeypatch.setattr(upload.subprocess, "run", lambda *a, **o: done)
    with pytest.raises(UploadError, match="not finite"):
        read_upload("a.obj", b"x")
