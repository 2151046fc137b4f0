"""The browser face as people meet it, in headless Chromium: its page, its events, its files."""

import io
import shutil
import socket
from urllib.parse import urlsplit

import numpy as np
import pytest
import trimesh
from PIL import Image

from geoflow_viewer.browser import Browser, BrowserUnavailableError
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State

pytest.importorskip("viser", reason="needs the extra geoflow[viewer]")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A GPU is not needed: Chromium draws by SwiftShader.
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]  # fmt: skip
START = State(model="tiny", seed=3)
# Of the scene, beside the panel.
MIDDLE = (160, 240)
CANVAS = {"x": 0, "y": 190, "width": 300, "height": 280}
RUNGS = (Rung(16, 64), Rung(24, 128))
PATIENCE = 120_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def chromium():
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def face(models):
    with Browser(models, START, port=free_port(), rest=0.0, rungs=RUNGS) as face:
        yield face


def visit(chromium, face):
    """A page of its own browser, once it shows the first shape, with its session."""
    page = chromium.new_context(viewport={"width": 640, "height": 480}).new_page()
    return page, reach(page, face)


def reach(page, face):
    known = set(map(id, face.sessions))
    page.goto(face.url, timeout=PATIENCE)
    page.get_by_text("watertight").wait_for(timeout=PATIENCE)
    (session,) = [s for s in face.sessions if id(s) not in known]
    assert session.wait()
    return session


def drag(page, label, share):
    """Drag a slider's thumb with the mouse to a share of its track."""
    row = page.get_by_text(label, exact=True).locator("xpath=ancestor::*[.//*[@role='slider']][1]")
    row.get_by_role("slider").scroll_into_view_if_needed()
    track = row.locator(".mantine-Slider-trackContainer").bounding_box()
    thumb = row.get_by_role("slider").bounding_box()
    middle = thumb["y"] + thumb["height"] / 2
    page.mouse.move(thumb["x"] + thumb["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * share, middle, steps=4)
    page.mouse.up()


def picture(page):
    """The canvas once two looks agree."""
    before = page.screenshot(clip=CANVAS, timeout=PATIENCE)
    for _ in range(60):
        page.wait_for_timeout(150)
        now = page.screenshot(clip=CANVAS, timeout=PATIENCE)
        if now == before:
            return now
        before = now
    raise AssertionError("the picture never came to rest")


def difference(a, b):
    """Mean difference of two screenshots, of 1."""
    a, b = (np.asarray(Image.open(io.BytesIO(shot)).convert("L"), float) for shot in (a, b))
    return np.abs(a - b).mean() / 255


def await_picture(page, holds):
    """Wait until the canvas is as it should be: the page draws some time after its session."""
    for _ in range(100):
        shot = page.screenshot(clip=CANVAS, timeout=PATIENCE)
        if holds(shot):
            return
        page.wait_for_timeout(150)
    raise AssertionError("the page never showed it")


def await_state(page, session, holds):
    for _ in range(PATIENCE // 50):
        if holds(session.state):
            assert session.wait()
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the session stays at {session.state}")


@pytest.mark.screen
def test_two_people_at_their_browsers(chromium, face, generator, tmp_path):
    """One scene, since a page takes seconds to come: loading, dragging, failing, coming back."""
    page, session = visit(chromium, face)
    other_page, other = visit(chromium, face)
    before, seen = picture(page), picture(other_page)

    # After a layout, the single shape stands where it stood.
    page.mouse.click(150, 400)
    page.keyboard.press("c")
    await_state(page, session, lambda state: state.layout == "compare")
    await_picture(page, lambda shot: difference(shot, before) > 0.01)
    page.keyboard.press("g")
    await_state(page, session, lambda state: state.layout == "single")
    await_picture(page, lambda shot: difference(shot, before) < 0.001)
    # In a page of another form, the camera steps back until all is seen, and comes again.
    page.set_viewport_size({"width": 500, "height": 480})
    await_picture(page, lambda shot: difference(shot, before) > 0.01)
    page.set_viewport_size({"width": 640, "height": 480})
    await_picture(page, lambda shot: difference(shot, before) < 0.001)

    drag(page, "Steps", 1.0)
    await_state(page, session, lambda state: state.steps == 8)
    (mesh,) = generator.sample(seed=3, steps=8, resolution=24)
    np.testing.assert_array_equal(session.result.items[0].mesh.vertices, mesh.vertices)
    await_picture(page, lambda shot: shot != before)

    # The other visitor sees nothing of it, and takes only an own session away.
    assert other.state == START
    assert picture(other_page) == seen
    other_page.context.close()
    for _ in range(PATIENCE // 50):
        if face.sessions == [session]:
            break
        page.wait_for_timeout(50)
    assert face.sessions == [session]

    good = session.result
    session.change(category="boat")
    page.get_by_text("category must be one of blob, pebble, got 'boat'").wait_for(timeout=PATIENCE)
    assert session.result is good
    session.undo()
    assert session.wait()
    page.get_by_text("24³").wait_for(timeout=PATIENCE)
    assert page.get_by_text("category must be one of").count() == 0

    page.mouse.click(150, 400)
    page.keyboard.press("n")
    await_state(page, session, lambda state: state.seed != 3)
    seed = session.state.seed
    page.get_by_text(f"--seed {seed} --steps 8").wait_for(timeout=PATIENCE)

    # Nine shapes; the one in the middle of the picture is clicked.
    page.keyboard.press("v")
    await_state(page, session, lambda state: state.layout == "variations")
    picture(page)
    page.mouse.click(*MIDDLE)
    await_state(page, session, lambda state: state.layout == "single")
    assert session.state.seed == seed + 4
    session.undo()
    session.undo()
    await_state(page, session, lambda state: state.seed == seed)
    picture(page)

    # A reload is a new visit, with what this browser saw last.
    again = reach(page, face)
    assert again.state == State(model="tiny", seed=seed, steps=8)
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("button", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".obj"
    saved = trimesh.load_mesh(path)
    (mesh,) = generator.sample(seed=seed, steps=8, resolution=24)
    assert saved.is_watertight
    assert len(saved.faces) == len(mesh.faces)
    assert saved.volume == pytest.approx(mesh.volume, rel=1e-4)

    page.locator("input[type=file]").set_input_files(path)
    await_state(page, again, lambda state: state.mesh == path.name and state.reconstruct)
    assert [item.label for item in again.result.items] == [path.name, "reconstruction"]


def test_a_taken_port_is_said(models, face):
    port = urlsplit(face.url).port
    with pytest.raises(BrowserUnavailableError, match=f"port {port} is taken"):
        Browser(models, START, port=port)
