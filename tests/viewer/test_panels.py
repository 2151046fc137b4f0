"""Side panels of the browser and of the window, without either: events in, texts and values out."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from fake_gui import Gui, Page

from geoflow_viewer import clipboard
from geoflow_viewer.desktop_panel import DesktopPanel
from geoflow_viewer.items import Rung
from geoflow_viewer.panel import DARK, Panel
from geoflow_viewer.session import Session
from geoflow_viewer.shortcuts import HELP_KEY, SHORTCUTS, help_lines
from geoflow_viewer.state import SHOWS, State

START = State(model="tiny", seed=3)


@pytest.fixture
def session(models):
    session = Session(models, START, rest=0.0, draw_seed=lambda: 77, rungs=(Rung(16, 64),))
    session.start()
    assert session.wait()
    yield session
    assert session.close()


@pytest.fixture
def page(session):
    page = Page()
    panel = Panel(page, session)
    session.subscribe(panel.sync)
    return page


@pytest.fixture
def desk(session):
    told = []

    def do(act):
        try:
            act()
        except (ValueError, IndexError, RuntimeError) as error:
            told.append(str(error))

    panel = DesktopPanel(Gui(), 12.0, session, do, (lambda: None,) * 3)
    panel.told = told
    session.subscribe(panel.sync)
    return panel


MOVES = {
    "Category": ("category", "pebble", "blob"),
    "Seed": ("seed", 12, 3),
    "Lock": ("locked", True, False),
    "Steps": ("steps", 5, 2),
    "Noise to shape": ("time", 0.25, 1.0),
    "To seed": ("to_seed", "9", ""),
    "Between": ("blend", 0.75, 0.0),
    "Slice at x": ("slice", 0.5, 0.0),
}


@pytest.mark.parametrize("label", MOVES)
def test_a_control_of_the_page_sets_its_field_and_no_other(page, session, label):
    name, value, before = MOVES[label]
    page[label].move(value)
    wanted = int(value) if name == "to_seed" else value
    assert session.state == State(**(vars(START) | {name: wanted}))
    # An undo comes back to the control.
    session.undo()
    assert page[label].value == before


def test_boxes_of_the_page_show_and_the_last_one_stays(page, session):
    page["Slice of the distance"].move(True)
    assert session.state.show == ("mesh", "slice")
    assert session.state.slice == 0.0
    assert page["Slice at x"].value == 0.0
    page["Slice of the distance"].move(False)
    page["Mesh"].move(False)
    assert session.state.show == ("mesh",)
    assert page["Mesh"].value is True


def test_what_there_is_not_is_not_on_the_page(page, session):
    assert all(page[label].visible for label in ("Mesh", "Wireframe", "Point cloud", "Slice at x"))
    box = trimesh.creation.box()
    session.open_mesh("box", box)
    assert session.wait()
    assert page["Wireframe"].visible
    for label in ("Latent vectors", "Slice of the distance", "Slice at x"):
        assert not page[label].visible
    assert ".xyz" not in page["Format"].options


def test_a_mesh_is_uploaded_and_reconstructed_and_other_files_are_refused(page, session):
    upload = page["Open a mesh or a cloud of points"]
    upload.move(SimpleNamespace(name="no.obj", content=b"\x00nothing"))
    assert "no.obj: it cannot be read as a mesh" in page.told[0] or "no vertices" in page.told[0]
    assert session.state == START
    content = trimesh.creation.box().export(file_type="stl")
    upload.move(SimpleNamespace(name="box.stl", content=content))
    assert session.wait()
    assert [item.label for item in session.result.items] == ["box.stl", "reconstruction"]
    page["Back to samples"].move()
    assert session.state.mesh is None


def test_an_uploaded_cube_with_normals_is_closed(page, session):
    cube = trimesh.creation.box()
    apart = trimesh.Trimesh(cube.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3),
                            process=False)  # fmt: skip
    content = apart.export(file_type="obj", include_normals=True).encode()
    assert not trimesh.load_mesh(io.BytesIO(content), file_type="obj").is_watertight
    page["Open a mesh or a cloud of points"].move(SimpleNamespace(name="a.obj", content=content))
    assert session.wait()
    assert session.result.items[0].mesh.is_watertight


def test_a_download_is_what_is_on_the_screen(page, session):
    page["Format"].move(".ply")
    page["Download"].move()
    ((name, content),) = page.files
    assert name == "geoflow.ply"
    saved = trimesh.load_mesh(trimesh.util.wrap_as_stream(content), file_type="ply")
    assert len(saved.faces) == len(session.result.items[0].mesh.faces)


def test_layouts_offer_their_shapes_and_a_failure_is_told(page, session):
    assert not page["Choose"].visible
    page["Layout"].move("variations")
    assert session.wait()
    assert page["Choose"].options == [str(n) for n in range(1, 10)]
    page["Choose"].move("4")
    assert session.state.seed == START.seed + 3
    assert not page["Choose"].visible
    page["To seed"].move("many")
    assert "invalid literal" in page.told[0]


def test_every_key_acts_in_the_browser_and_is_in_the_help(page, session):
    assert set(page.keys) == {*SHORTCUTS, HELP_KEY}
    page.keys["N"].move()
    assert session.state.seed == 77
    page.keys["8"].move()
    assert session.state.steps == 8
    text = "\n".join(help_lines())
    for key, shortcut in SHORTCUTS.items():
        assert key.isdigit() or f"{key}  {shortcut.label}" in text


def test_keys_do_nothing_behind_the_help_and_escape_closes_it(page, session):
    for closed_by in ("escape", HELP_KEY):
        before = session.state
        page.keys[HELP_KEY].move()
        page.keys["4"].move()
        page.keys["C"].move()
        assert session.state == before
        page.keys[closed_by].move()
        assert "escape" not in page.keys
    page.keys["4"].move()
    assert session.state.steps == 4


def test_the_page_is_dark_where_a_person_wants_it_and_the_browser_keeps_it(page):
    page["Dark"].move(True)
    assert page.theme["dark_mode"]
    assert page.kept == {DARK: "1"}
    page["Dark"].move(False)
    assert not page.theme["dark_mode"]
    assert page.kept == {DARK: ""}


def test_folders_begin_closed_where_the_panel_lies_over_the_shape(page, session):
    assert all(page.folders.values())
    narrow = Page()
    Panel(narrow, session, is_narrow=True)
    assert narrow.folders.keys() == page.folders.keys()
    assert not any(narrow.folders.values())


def test_the_window_s_widgets_set_their_fields(desk, session):
    desk.move("steps", 5.0)
    desk.slice.act(0.25)
    desk.time.act(0.5)
    desk.seed.act(12.0)
    desk.to_seed.act(9)
    desk.layout.act("variations", 1)
    assert session.wait()
    wanted = {"steps": 5, "slice": 0.25, "time": 0.5, "seed": 12, "to_seed": 9}
    assert session.state == State(**(vars(START) | wanted | {"layout": "variations"}))
    assert (desk.steps.int_value, desk.seed.int_value) == (5, 12)
    assert desk.choose.enabled
    desk.choose.act(2)
    assert session.state.seed == 13
    desk.choose.act(9)
    assert desk.told == ["there are 1 shapes, got index 8"]


def test_the_window_hides_what_there_is_not_and_follows(desk, session):
    desk.shows["slice"].act(True)
    assert desk.slice.enabled
    assert {show for show in SHOWS if desk.shows[show].checked} == {"mesh", "slice"}
    session.open_mesh("box", trimesh.creation.box())
    assert session.wait()
    assert {show for show in SHOWS if desk.shows[show].visible} == {"mesh", "wireframe", "points"}
    assert not desk.slice.enabled
    assert "watertight" in desk.measures.text
    expected = "geoflow view box --model tiny --seed 3 --out geoflow.obj"
    assert desk.command.text_value == desk.command_text() == expected


def test_the_command_is_copied_by_the_system_s_program(desk, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    desk.copy.act()
    assert "apt-get install xclip" in desk.told[0]
    assert desk.command_text() in desk.told[0]
    program = tmp_path / "xclip"
    program.write_text(f"#!/bin/sh\nexec /bin/cat > {tmp_path}/copied\n")
    program.chmod(0o755)
    desk.copy.act()
    assert (tmp_path / "copied").read_text() == desk.command_text()
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RuntimeError, match=r"xclip failed .*: a b"):
        clipboard.copy("a b")


def test_where_one_program_fails_the_next_copies(monkeypatch, tmp_path):
    """wl-copy is installed, but the desktop is X11's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, does in (("wl-copy", "exit 1"), ("xsel", f"exec /bin/cat > {tmp_path}/copied")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    clipboard.copy("a b")
    assert (tmp_path / "copied").read_text() == "a b"
    (tmp_path / "xsel").write_text("#!/bin/sh\nexit 2\n")
    with pytest.raises(RuntimeError, match=r"wl-copy failed .*, xsel failed .*: a b"):
        clipboard.copy("a b")


def test_a_program_that_hangs_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(clipboard, "_SECONDS", 0.2)
    (tmp_path / "xclip").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "xclip").chmod(0o755)
    with pytest.raises(RuntimeError, match=r"xclip failed .*timed out"):
        clipboard.copy("a b")
