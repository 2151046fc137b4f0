"""Ctrl-C, SIGTERM and closed output, at whatever moment: at most one line, and the exit code.

An exception in the middle of an import comes out of it as almost any error, or not at all, or ends
the process where C++ code called back; one between the making of a semaphore or a process and the
note of it leaves that behind. So a signal waits for the end of these, and is remembered, whatever
comes of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

# Seconds in which an interruption must have come through.
_PATIENCE = 20.0
# Seconds between two looks at whether what must be whole has ended.
_PAUSE = 0.05
# Ends of files, and functions in them, any where none is named, that are not left in the middle.
_WHOLE = (
    ("<frozen importlib._bootstrap>", ""),
    ("/backend/synchronize.py", "__init__"),
    ("/multiprocessing/synchronize.py", "__init__"),
    ("/multiprocessing/process.py", "start"),
    ("/subprocess.py", "__init__"),
)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_CLOSED_PIPE = 128 + 13


class Stopped(KeyboardInterrupt):
    """An interruption; a plain KeyboardInterrupt inside `exec` is Python's exit code for good."""


class Interruption:
    """The signals of a command, as a context in the main thread; elsewhere it does nothing.

    Args:
        is_last: the process ends after the command; signals that come while it does are not heard,
            as Python would answer them by a traceback or another exit code.
    """

    def __init__(self, *, is_last: bool = False) -> None:
        self._is_last = is_last
        self.number: int | None = None
        self._before: dict[int, Any] = {}
        self._patience = threading.Timer(_PATIENCE, self._leave)
        self._patience.daemon = True
        self._waiting: threading.Timer | None = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in _WORDS:
            before = signal.getsignal(number)
            # A shell starts what it puts in the background deaf to Ctrl-C, and means it.
            if before in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._patience.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        if not self._is_last:
            for number, before in self._before.items():
                signal.signal(number, before)
        if self.number is not None:
            # What is torn down half-made complains, and means nothing.
            sys.unraisablehook = lambda _: None
            threading.excepthook = lambda _: None

    def over(self) -> None:
        """Hear no more: what the command does is done."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def end(self, said: str = "") -> int:
        """Say the one line; the exit code."""
        number = self.number or signal.SIGINT
        line = f"geoflow: {_WORDS[signal.Signals(number)]}"
        print(f"{line}; {said}" if said else line, file=sys.stderr, flush=True)
        return 128 + number

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            sys.unraisablehook = lambda _: None
            self._patience.start()
        if _must_be_whole(frame):
            # To the main thread: a call that blocks there ends at a signal of its own alone.
            main = threading.main_thread().ident
            self._waiting = threading.Timer(_PAUSE, signal.pthread_kill, [main, number])
            self._waiting.daemon = True
            self._waiting.start()
            return
        raise Stopped

    def _leave(self) -> None:
        """End without unwinding, processes as well: somebody swallowed the interruption."""
        import psutil

        for child in _descendants():
            with suppress(psutil.Error, ProcessLookupError):
                # Trackers end with us, and take semaphores away.
                if not any("resource_tracker" in word for word in child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
        os._exit(self.end())


def _descendants() -> list[psutil.Process]:
    """The processes that this one started, and those that they started.

    psutil's `children` and `kill` compare times of the clock, and so pass over a child where the
    clock was set between two looks.
    """
    import psutil

    everyone = list(psutil.process_iter(["ppid"]))
    known = {os.getpid()}
    while more := {each.pid for each in everyone if each.info["ppid"] in known} - known:
        known |= more
    return [each for each in everyone if each.pid in known - {os.getpid()}]


def _must_be_whole(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        for file, function in _WHOLE:
            if code.co_filename.endswith(file) and function in ("", code.co_name):
                return True
        frame = frame.f_back
    return False


def open_output() -> None:
    """Where a command is started without output or errors (`>&-`), let them go nowhere.

    Else Python has none to write to, and a file that is opened later takes their place.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def close_output() -> int:
    """After the reader of our output has left: write no more; the exit code that shells give."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return _CLOSED_PIPE
