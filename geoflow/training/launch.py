"""The other processes of a training on this machine: started by the first, and ended with it.

Lightning Fabric would start them as well, in the first one's process group and without a tie to it:
Ctrl-C would end each with a line of its own, or the first before it could say one, and a first that
is killed would leave the others waiting.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading

_FIRST = "GEOFLOW_FIRST_PROCESS"
# Seconds in which the others end by themselves after the last step.
_PATIENCE = 60.0
_SET_DEATH_SIGNAL = 1


class Others:
    """Processes that this one has started; none in those that were started."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ending = threading.Event()

    def start(self, num: int, num_nodes: int) -> None:
        """Start this program again for each other device, or, in one of those, stay with the first.

        Args:
            num: processes of each machine.
            num_nodes: machines; of several, MASTER_ADDR, MASTER_PORT and NODE_RANK say which.
        """
        if _FIRST in os.environ:
            _stay_with(int(os.environ[_FIRST]))
            return
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(_free_port()))
        os.environ.setdefault("NODE_RANK", "0")
        os.environ |= {"WORLD_SIZE": str(num * num_nodes), "LOCAL_RANK": "0"}
        atexit.register(self._await)
        for rank in range(1, num):
            environment = {**os.environ, "LOCAL_RANK": str(rank), _FIRST: str(os.getpid())}
            # A session of its own: Ctrl-C at a terminal is the first one's to hear.
            self._processes.append(
                subprocess.Popen(_again(), env=environment, stdin=subprocess.DEVNULL,
                                 start_new_session=True)
            )  # fmt: skip
        threading.Thread(target=self._watch, name="geoflow others", daemon=True).start()

    def end(self) -> None:
        """End them at once: they write nothing, and wait for the first in vain."""
        self._ending.set()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _await(self) -> None:
        try:
            for process in self._processes:
                process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()

    def _watch(self) -> None:
        """End with one that fails: the first would wait for it, some backends without an end."""
        waiting = list(self._processes)
        while waiting and not self._ending.wait(1.0):
            failed = [each for each in waiting if each.poll()]
            if failed and not self._ending.is_set():
                codes = ", ".join(str(each.returncode) for each in failed)
                self.end()
                said = (
                    f"another process of the training ended with exit code {codes}; memory may "
                    "have run out. --resume goes on from the last checkpoint"
                )
                print(f"geoflow: failed: {said}", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(1)
            waiting = [each for each in waiting if each.returncode is None]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
        return port


def _again() -> list[str]:
    """The command line of this program."""
    import __main__

    if __main__.__spec__ is None:
        return [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    return [sys.executable, "-m", __main__.__spec__.name, *sys.argv[1:]]


def _stay_with(first: int) -> None:
    """Be ended by the system when the first process ends, whatever ended it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != first:
        # It was gone before.
        os._exit(1)
