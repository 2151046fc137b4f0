"""The window under Xvfb: it opens, draws, follows its slider, and closes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geoflow_viewer.display import DisplayUnavailableError, check_display
from geoflow_viewer.state import SHOWS

SCENE = Path(__file__).with_name("desktop_scene.py")


INTERRUPTED = """
import signal, sys, threading
from geoflow_viewer.desktop import show
from geoflow_viewer.models import Models
from geoflow_viewer.session import Session
from geoflow_viewer.state import State

# A job in the background of a plain shell inherits it as ignored, and would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
session = Session(Models([sys.argv[1]]), State(model=sys.argv[1]))
session.subscribe(lambda: session.result and [signal.raise_signal(signal.SIGINT) for _ in "ab"])
try:
    show(session)
except KeyboardInterrupt:
    session.close()
    print("interrupted", flush=True)
"""


@pytest.fixture
def display(tmp_path):
    """Of a server of X without a screen."""
    pytest.importorskip("open3d", reason="needs the extra geoflow[viewer]")
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Debian's xvfb")
    display_file = tmp_path / "display"
    with display_file.open("w") as written:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            stdout=written, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        with display_file.open() as said:
            while not (number := said.readline().strip()):
                assert server.poll() is None
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(10)


def ran(display, *words):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        env=os.environ | {"DISPLAY": display, "WAYLAND_DISPLAY": ""},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.mark.screen
def test_an_interrupted_window_is_taken_down(display, generator, tmp_path):
    """Left to the end of Python, Open3D's engine ends the process by a signal of its own."""
    generator.save_pretrained(tmp_path / "tiny")
    result = ran(display, "-c", INTERRUPTED, tmp_path / "tiny")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "interrupted"


@pytest.mark.screen
def test_the_window_opens_draws_follows_and_closes(display, generator, tmp_path):
    generator.save_pretrained(tmp_path / "tiny")
    picture = tmp_path / "window.png"
    result = ran(display, SCENE, tmp_path / "tiny", display, picture)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    expected = {"first": 2, "steps": 8, "resolution": 24, "compared": 4, "clicked": ["single", 1]}
    assert found == expected | {"shown": list(SHOWS), "closed": True}
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_tick_is_raised_after_it(number):
    """What a handler raises where the engine calls us may be lost."""
    from geoflow_viewer.desktop import _signals_between_ticks

    class Interrupted(Exception):
        """What a handler raises."""

    def handler(*_):
        raise Interrupted

    before = signal.signal(number, handler)
    try:
        with _signals_between_ticks() as deliver:
            deliver()
            # Nothing is raised here.
            signal.raise_signal(number)
            with pytest.raises(Interrupted):
                deliver()
            # A second one waits, too, while things are taken down.
            signal.raise_signal(number)
        assert signal.getsignal(number) is handler
        # Twin: without it the tick itself ends so; what is ignored stays ignored.
        with pytest.raises(Interrupted):
            signal.raise_signal(number)
        signal.signal(number, signal.SIG_IGN)
        with _signals_between_ticks() as deliver:
            signal.raise_signal(number)
            deliver()
    finally:
        signal.signal(number, before)


def test_no_display_is_said_clearly(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DisplayUnavailableError, match=r"no display .*--web"):
        check_display()


def test_a_window_that_does_not_open_is_said_with_the_packages_to_install(monkeypatch, tmp_path):
    """The probe is another process: a driver that ends it does not end this one."""
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setattr("geoflow_viewer.display.missing_packages", lambda: ["mesa-vulkan-drivers"])
    fails = "import sys; print('Error: no driver'); sys.exit('and more')"
    monkeypatch.setattr("geoflow_viewer.display._PROBE", fails)
    with pytest.raises(DisplayUnavailableError, match=r"\(Error: no driver\).*mesa-vulkan-drivers"):
        check_display()
    # What is there is not advised.
    monkeypatch.setattr("geoflow_viewer.display.missing_packages", list)
    crash = "import os; print('INFO of a driver', flush=True); os.abort()"
    monkeypatch.setattr("geoflow_viewer.display._PROBE", crash)
    with pytest.raises(
        DisplayUnavailableError, match=r"\(it ended by signal 6\); writing.*$"
    ) as no:
        check_display()
    assert "apt-get" not in str(no.value)
    # A driver that fails once is asked again.
    once = tmp_path / "once"
    flag = f"pathlib.Path({str(once)!r})"
    again = f"import sys, pathlib; sys.exit(0 if {flag}.exists() else {flag}.touch() or 1)"
    monkeypatch.setattr("geoflow_viewer.display._PROBE", again)
    check_display()
    monkeypatch.setattr("geoflow_viewer.display._PROBE", "")
    check_display()
