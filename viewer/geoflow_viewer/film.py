"""Pictures in a row as a film."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SUFFIXES = (".gif", ".mp4")


def film_bytes(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], suffix: str, *, frames_per_second: int
) -> bytes:
    """The content of a .gif, which goes on for ever, or of an .mp4.

    Raises:
        ValueError: for another suffix.
        RuntimeError: for an .mp4 without its packages.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"a film must end in {' or '.join(SUFFIXES)}, got {suffix!r}")
    if suffix == ".gif":
        first, *others = map(Image.fromarray, frames)
        content = io.BytesIO()
        duration = 1000 // frames_per_second
        first.save(
            content, format="GIF", save_all=True, append_images=others, duration=duration, loop=0
        )
        return content.getvalue()
    try:
        import av  # noqa: F401  imageio's writer, which it imports late
        import imageio.v3 as imageio
    except ImportError as error:
        raise RuntimeError(
            f"no film: {error}; install the extra with pip install 'geoflow[viewer]', or write .gif"
        ) from error
    stacked = np.stack(frames)
    # The codec wants even edges.
    even = stacked[:, : stacked.shape[1] // 2 * 2, : stacked.shape[2] // 2 * 2]
    film: bytes = imageio.imwrite(
        "<bytes>", even, extension=".mp4", plugin="pyav", codec="libx264", fps=frames_per_second
    )
    return film
