"""Uploads under way are bounded: viser gathers whatever a page sends, as long as it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from geoflow_viewer.upload import MOST_BYTES, UploadError, check_upload

_MOST_PARTS = 4_096
_AT_ONCE = 4 * MOST_BYTES


class UploadLimit:
    """Bytes that all visitors' unfinished uploads may announce together.

    Args:
        at_once: that many.
    """

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._at_once = at_once
        self._guis: list[Any] = []
        self._lock = threading.Lock()

    def guard(self, client: Any, say: Callable[[str], None]) -> None:
        """Judge a client's uploads before viser gathers them.

        Args:
            client: of viser, before its page can upload.
            say: is told why an upload is refused.
        """
        from viser import _messages as messages

        gui = client.gui
        interface = gui._websock_interface
        begin, gather = gui._handle_file_transfer_start, gui._handle_file_transfer_part

        def start(client_id: Any, message: Any) -> None:
            try:
                check_upload(message.filename, message.size_bytes)
                self._check_room(gui, message)
            except UploadError as error:
                say(str(error))
                return
            begin(client_id, message)

        def part(client_id: Any, message: Any) -> None:
            state = gui._current_file_upload_states.get(message.transfer_uuid)
            if state is None:
                return
            if state["transferred_bytes"] + len(message.content) > state["total_bytes"]:
                self.drop(gui, message.transfer_uuid)
                say(f"{state['filename']}: more came than its page had announced")
                return
            gather(client_id, message)

        kinds = (messages.FileTransferStartUpload, messages.FileTransferPart)
        for kind, theirs, ours in zip(kinds, (begin, gather), (start, part), strict=True):
            interface.unregister_handler(kind, theirs)
            interface.register_handler(kind, ours)
        with self._lock:
            self._guis.append(gui)

    def forget(self, client: Any) -> None:
        """Drop what a visitor who left has begun."""
        with self._lock:
            self._guis = [gui for gui in self._guis if gui is not client.gui]

    @staticmethod
    def drop(gui: Any, transfer: str) -> None:
        """Forget an upload under way."""
        gui._current_file_upload_states.pop(transfer, None)

    def _check_room(self, gui: Any, message: Any) -> None:
        if not 1 <= message.part_count <= _MOST_PARTS:
            raise UploadError(f"{message.filename}: {message.part_count} parts are no upload")
        if gui._current_file_upload_states:
            raise UploadError(f"{message.filename}: another upload is under way")
        with self._lock:
            under_way = sum(
                state["total_bytes"]
                for each in self._guis
                for state in list(each._current_file_upload_states.values())
            )
        if under_way + message.size_bytes > self._at_once:
            raise UploadError(f"{message.filename}: too many uploads are under way; try again soon")
