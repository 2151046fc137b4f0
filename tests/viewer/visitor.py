"""A visitor of the page without a browser: viser's own messages over a websocket on loopback."""

import threading
from urllib.parse import parse_qs, urlsplit

import msgspec
import viser
import zstandard
from viser import _messages
from websockets.sync.client import connect

from geoflow_viewer.state import to_json


class Visitor:
    """Comes with a state, as a reload does, and counts the shapes that it is sent: `seen`."""

    def __init__(self, url, state):
        parts = urlsplit(url)
        token = parse_qs(parts.query)["token"][0]
        self.seen = 0
        self._state, self._controls = state, {}
        self._socket = connect(
            f"ws://{parts.netloc}/", origin=f"http://{parts.netloc}", max_size=None,
            compression=None, subprotocols=[f"viser-v{viser.__version__}"], open_timeout=120,
            additional_headers={"Cookie": f"geoflow-{parts.port}={token}"}, ping_interval=None,
        )  # fmt: skip
        self._send(_messages.ViewerCameraMessage(
            wxyz=(1.0, 0.0, 0.0, 0.0), position=(0.0, 0.0, 7.0), fov=0.6, near=0.1, far=100.0,
            image_height=800, image_width=1280, look_at=(0.0, 0.0, 0.0),
            up_direction=(0.0, 1.0, 0.0),
        ))  # fmt: skip
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def ask(self, seed):
        """Move the control of the seed."""
        uuid = self._controls["Seed"]
        self._send(_messages.GuiUpdateMessage(uuid=uuid, updates={"value": seed}))

    def say(self, content):
        """Anything at all."""
        self._socket.send(msgspec.msgpack.encode(content))

    def leave(self):
        self._socket.close()
        self._thread.join(10)

    def _send(self, message):
        self.say(message.as_serializable_dict())

    def _listen(self):
        for content in self._socket:
            packed = content[16 : 16 + int.from_bytes(content[8:16], "little")]
            whole = zstandard.ZstdDecompressor().decompress(packed)
            for message in msgspec.msgpack.decode(whole)["messages"]:
                self._take(message)

    def _take(self, message):
        kind = message["type"]
        if kind == "LocalStorageGetItemRequestMessage":
            kept = to_json(self._state) if message["key"] == "geoflow-state" else None
            self._send(_messages.LocalStorageGetItemResponseMessage(
                value=kept, error=None, request_uuid=message["request_uuid"]))  # fmt: skip
        elif kind.startswith("Gui") and "props" in message:
            self._controls[message["props"].get("label")] = message["uuid"]
        elif kind == "MeshMessage":
            self.seen += 1
