"""A person at the window, as a program of its own: what it finds is written as JSON.

Run by test_desktop.py under Xvfb; a window belongs to the main thread of a process.
"""

import json
import sys
import time

from PIL import ImageGrab

from geoflow.models.fields import Generator
from geoflow_viewer.desktop import Window
from geoflow_viewer.items import Rung
from geoflow_viewer.models import Models
from geoflow_viewer.session import Session
from geoflow_viewer.state import SHOWS, State

RUNGS = (Rung(16, 64), Rung(24, 128))
PATIENCE = 60.0


def main(folder, display, screenshot):
    models = Models([folder], load=Generator.from_pretrained)
    session = Session(models, State(model=folder, seed=3), rest=0.0, rungs=RUNGS)
    window = Window(session)
    session.start()

    def spin(holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, session.error or session.state
            window.app.run_one_tick()
        # What was asked for last is on the screen some frames later.
        for _ in range(8):
            window.app.run_one_tick()

    def look():
        return ImageGrab.grab(xdisplay=display).crop((0, 0, 700, 800))

    spin(lambda: window.num_drawn == 1 and not session.is_busy)
    found = {"first": session.state.steps}
    first = look()
    # What a drag of the slider calls.
    window.panel.move("steps", 8)
    spin(lambda: not session.is_busy and session.result.state.steps == 8)
    found["steps"], found["resolution"] = session.state.steps, session.result.rung.resolution
    spin(lambda: look() != first)
    second = look()
    session.change(layout="compare")
    spin(lambda: window.num_drawn == 4 and not session.is_busy and look() != second)
    found["compared"] = window.num_drawn
    ImageGrab.grab(xdisplay=display).save(screenshot)
    # The first of two by two shapes; where there is one shape, a click does nothing.
    area = window.area
    window.click(area.x + 0.3 * area.width, area.y + 0.3 * area.height)
    found["clicked"] = [session.state.layout, session.state.steps]
    window.click(area.x + 0.9 * area.width, area.y + 0.9 * area.height)
    spin(lambda: not session.is_busy and window.num_drawn == 1)
    # Every way to draw a shape, on top of each other.
    for show in SHOWS[1:]:
        before = look()
        session.toggle(show)
        spin(lambda before=before: not session.is_busy and look() != before)
    found["shown"] = list(session.shown)
    window.close()
    window.run()
    found["closed"] = session.close()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
