"""The clipboard of the desktop, by the program that each system has for it."""

from __future__ import annotations

import shutil
import subprocess

PROGRAMS = (
    ("pbcopy",),
    ("clip",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
)
_SECONDS = 5.0


def copy(text: str) -> None:
    """Put a text on the clipboard.

    Raises:
        RuntimeError: where no program for it is installed, or it fails; with the text.
    """
    for program, *options in PROGRAMS:
        found = shutil.which(program)
        if found is None:
            continue
        try:
            # The program stays behind to serve the text: its output is not waited for.
            subprocess.run(
                [found, *options], input=text, text=True, timeout=_SECONDS, check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (subprocess.SubprocessError, OSError) as error:
            raise RuntimeError(f"not copied, {program} failed ({error}): {text}") from error
        return
    raise RuntimeError(
        f"not copied, there is no clipboard program (on Debian: apt-get install xclip): {text}"
    )
