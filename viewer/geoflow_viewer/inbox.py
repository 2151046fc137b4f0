"""What a page may say: the messages that the viewer hears, by the types and ranges of their values.

viser hears more (one kind opens a way in through another server), gives values to its controls as
they come, and writes a traceback for each that it cannot take. Here all others are passed over,
as if they had not been said.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

_Name = Annotated[str, Meta(max_length=1000)]
# What a browser keeps: a state as JSON.
_Kept = Annotated[str, Meta(max_length=100_000)]
_Place = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Vector = tuple[_Place, _Place, _Place]
_Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Pixels = Annotated[int, Meta(ge=1, le=100_000)]
# Browsers have no whole numbers beyond 2**53, and send seeds that are larger as others.
_Number = Annotated[float, Meta(ge=-1e19, le=1e19)]


class _Camera(Struct, tag_field="type", tag="ViewerCameraMessage"):
    wxyz: tuple[_Place, _Place, _Place, _Place]
    position: _Vector
    fov: Annotated[float, Meta(ge=1e-3, le=math.pi)]
    near: _Place
    far: _Place
    image_height: _Pixels
    image_width: _Pixels
    look_at: _Vector
    up_direction: _Vector

    def __post_init__(self) -> None:
        """Refuse what is no rotation."""
        if math.hypot(*self.wxyz) < 0.5:
            raise ValueError("wxyz is no rotation")


class _Value(Struct, forbid_unknown_fields=True):
    value: bool | _Whole | _Number | _Name


class _Control(Struct, tag_field="type", tag="GuiUpdateMessage"):
    uuid: _Name
    updates: _Value


class _Key(Struct, tag_field="type", tag="CommandTriggerMessage"):
    uuid: _Name


class _Click(Struct, tag_field="type", tag="SceneNodeClickMessage"):
    name: _Name
    instance_index: _Whole | None
    ray_origin: _Vector
    ray_direction: _Vector
    screen_pos: tuple[_Place, _Place]
    modifier: _Name | None
    owner: _Name = ""


class _Upload(Struct, tag_field="type", tag="FileTransferStartUpload"):
    source_component_uuid: _Name
    transfer_uuid: _Name
    filename: _Name
    mime_type: _Name
    part_count: _Whole
    size_bytes: _Whole


class _Part(Struct, tag_field="type", tag="FileTransferPart"):
    source_component_uuid: _Name | None
    transfer_uuid: _Name
    part_index: _Whole
    content: bytes


class _Memory(Struct, tag_field="type", tag="LocalStorageGetItemResponseMessage"):
    value: _Kept | None
    error: _Kept | None
    request_uuid: _Name


_READER = msgspec.msgpack.Decoder(_Camera | _Control | _Key | _Click | _Upload | _Part | _Memory)

SILENT = logging.getLogger("geoflow.viewer.door")
"""For requests that are none, of whoever reaches the port: they write nothing on the screen."""
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


def is_heard(content: bytes | str) -> bool:
    """Whether a message from a page is one that the viewer hears."""
    if isinstance(content, str):
        return False
    try:
        _READER.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True


def hearing(serve: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """The way in which a connection is served, with an ear for what is heard alone."""

    async def served(connection: Any) -> None:
        receive = connection.recv

        async def heard() -> bytes:
            while not is_heard(content := await receive()):
                pass
            return bytes(content)

        connection.recv = heard
        asyncio.get_running_loop().set_exception_handler(_passed_over)
        await serve(connection)

    return served


def _passed_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A value of another type than its control's changes nothing, and is not worth a traceback."""
    task = context.get("future")
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    if getattr(coroutine, "__name__", "") != "_handle_incoming_message":
        loop.default_exception_handler(context)
