"""The clipboard of the desktop, by the program that each system has for it.

pyperclip runs the same programs, but does not say when one fails (it reads no exit status), and
waits without end for one that hangs, which would hold the window.
"""

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

    Where one fails the next is tried: wl-copy may be installed under X11.

    Raises:
        RuntimeError: where no program for it is installed, or all fail; with the text.
    """
    failed = []
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
            failed.append(f"{program} failed ({error})")
            continue
        return
    why = ", ".join(failed) or ("there is no clipboard program (on Debian: apt-get install xclip)")
    raise RuntimeError(f"not copied, {why}: {text}")
