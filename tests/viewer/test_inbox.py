"""Of what a page says, only what the viewer hears comes in; the rest is as if it were not said."""

import socket
import time

import msgspec
import pytest
from viewer.visitor import Visitor
from viser import ViserServer, _messages

from geoflow_viewer.browser import Browser
from geoflow_viewer.inbox import is_heard
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State

CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (0, 0, 7), "fov": 0.6,
    "near": 0.1, "far": 100, "image_height": 800, "image_width": 1280, "look_at": (0, 0, 0),
    "up_direction": (0, 1, 0),
}  # fmt: skip
VALUE = {"type": "GuiUpdateMessage", "uuid": "a", "updates": {"value": 1}}
UPLOAD = {
    "type": "FileTransferStartUpload", "source_component_uuid": "a", "transfer_uuid": "b",
    "filename": "a.obj", "mime_type": "", "part_count": 1, "size_bytes": 9,
}  # fmt: skip
HEARD = [
    CAMERA, UPLOAD, {"type": "CommandTriggerMessage", "uuid": "a"},
    *(VALUE | {"updates": {"value": value}} for value in (True, 7, 2.0**62, 0.5, "chair")),
    {"type": "LocalStorageGetItemResponseMessage", "value": None, "error": None,
     "request_uuid": "a"},
    {"type": "FileTransferPart", "source_component_uuid": "a", "transfer_uuid": "b",
     "part_index": 0, "content": b"v 0 0 0"},
]  # fmt: skip
PASSED_OVER = [
    {"type": "ShareUrlRequest"}, {"type": "ShareUrlDisconnect"}, {"type": "Nothing"}, {"type": 7},
    {"type": "GuiUpdateMessage"}, {}, [], None, 7, "x",
    *(VALUE | {"updates": updates} for updates in (
        {}, [], {"visible": False}, {"value": 1, "label": "x"}, {"value": None}, {"value": [1]},
        {"value": {"a": 1}}, {"value": float("nan")}, {"value": float("inf")}, {"value": 2**63},
        {"value": "y" * 1001}, {"value": b"\xff"},
    )),
    *(CAMERA | change for change in (
        {"wxyz": (0, 0, 0, 0)}, {"position": (float("nan"), 0, 0)}, {"position": (1e308, 0, 0)},
        {"position": ("a", 0, 0)}, {"position": (1, 2)}, {"image_height": 0}, {"fov": 0},
        {"image_width": 2**40}, {"look_at": None},
    )),
    UPLOAD | {"size_bytes": "9"}, UPLOAD | {"part_count": 1.5}, UPLOAD | {"filename": 7},
]  # fmt: skip


@pytest.mark.parametrize("message", HEARD)
def test_what_is_heard(message):
    assert is_heard(msgspec.msgpack.encode(message))


@pytest.mark.parametrize("message", PASSED_OVER)
def test_what_is_passed_over(message):
    assert not is_heard(msgspec.msgpack.encode(message))


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"\x81" * 9, "{}"]
)
def test_what_is_no_message_is_passed_over(content):
    assert not is_heard(content)


def test_the_kinds_are_those_of_viser():
    """Each of ours can be read by viser: a change of its messages is told here."""
    for message in HEARD:
        _messages.Message.deserialize(msgspec.msgpack.encode(message))


def until(happened):
    end = time.monotonic() + 60
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    return happened()


def test_a_visitor_of_bad_manners_is_served_and_changes_nothing(models, monkeypatch, capfd):
    """Of viser alone, it would open a way in through another server, and fill the screen."""
    shared = []
    monkeypatch.setattr(ViserServer, "request_share_url", lambda *_: shared.append(1))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with Browser(models, State(model="tiny"), port=port, rungs=(Rung(16, 64),)) as face:
        visitor = Visitor(face.url, State(model="tiny"))
        assert until(lambda: visitor.seen > 0)
        for message in PASSED_OVER:
            visitor.say(message)
        # Of the right form, but not what the control takes.
        visitor.ask("x")
        visitor.ask(4)
        (session,) = face.sessions
        assert until(lambda: session.state.seed == 4)
        visitor.leave()
    assert shared == []
    assert capfd.readouterr().err == ""
