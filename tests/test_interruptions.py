"""Ctrl-C and SIGTERM while a command starts and while it works; pipes whose reader leaves."""

import contextlib
import io
import shlex
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from loky.backend import resource_tracker
from loky.backend.context import LokyContext

from geoflow_cli import main
from geoflow_cli.interruption import Interruption

COMMAND = [sys.executable, "-W", "ignore", "-m", "geoflow"]


def interruptible():
    """In the child: a job in the background of a plain shell inherits SIGINT as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def default_signals():
    """Who hears signals otherwise: background jobs ignore one, a test before may hear the other."""
    ways = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, way) for number, way in ways.items()}
    yield
    for number, handler in before.items():
        # None is a handler of C code, which cannot be put back from here.
        signal.signal(number, ways[number] if handler is None else handler)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.6, 1.4, 2.6, 5.0])
def test_a_signal_at_any_moment_is_one_line(tmp_path, number, seconds):
    process = subprocess.Popen(
        [*COMMAND, "sample", "--num", "200", "--out", str(tmp_path / "a.obj")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert [line for line in errors.splitlines() if line][-1:] == [f"geoflow: {word}"]
    assert "Traceback" not in errors
    assert process.returncode == 128 + number
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_interruption_is_one_whatever_becomes_of_it(monkeypatch, capsys):
    """In an import it may come out as any error."""
    # What a command that ends leaves silent must not be silent for the tests after this.
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def broken(words):
        signal.raise_signal(signal.SIGTERM)

    def swallow(words):
        try:
            broken(words)
        except KeyboardInterrupt as error:
            raise ImportError("half an import") from error

    for run, code in ((broken, 143), (swallow, 143)):
        monkeypatch.setattr("geoflow_cli._run", run)
        assert main([]) == code
        assert capsys.readouterr().err == "geoflow: terminated\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    # Nothing is left that would end a process that goes on.
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)
                and not thread.finished.is_set()]  # fmt: skip
    # Twin: an error without a signal is an error.
    monkeypatch.setattr("geoflow_cli._run", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([])


def test_an_import_is_let_end(monkeypatch, tmp_path, capsys):
    """An exception in C++ code that calls back, as torch's does, would end the process."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    (tmp_path / "slow_to_import.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(0.2)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def run(words):
        import slow_to_import

        imported.append(slow_to_import.whole)
        time.sleep(30)

    monkeypatch.setattr("geoflow_cli._run", run)
    assert main([]) == 130
    assert imported == [True]
    assert capsys.readouterr().err == "geoflow: interrupted\n"


def test_a_semaphore_is_noted_by_who_takes_it_away(monkeypatch, capsys):
    """Interrupted between its making and the note, it would outlive all processes."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    register, noted = resource_tracker.register, []

    def interrupted(name, kind):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.2)
        register(name, kind)
        noted.append(name)

    def run(words):
        monkeypatch.setattr(resource_tracker, "register", interrupted)
        # By name it would be joblib's copy of loky, once that is imported.
        LokyContext().Lock()
        time.sleep(30)

    monkeypatch.setattr("geoflow_cli._run", run)
    assert main([]) == 143
    assert len(noted) == 1
    assert capsys.readouterr().err == "geoflow: terminated\n"


def test_who_swallows_an_interruption_is_ended_with_what_it_started(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import itertools, subprocess, sys, time
import geoflow_cli, psutil
from geoflow_cli import interruption

interruption._PATIENCE = 0.3
# The clock is set back by an hour between any two looks.
clock = itertools.count(0, -3600)
psutil._psplatform.boot_time = lambda: next(clock)

def run(words):
    # Without our pipes, which would stay open as long as it lives.
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **silent)
    said = False
    while True:
        try:
            # In here: the signal follows at once, and must not come before there is a `try`.
            if not said:
                said = True
                print(child.pid, flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            pass

geoflow_cli._run = run
geoflow_cli.main([])
""")
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    assert psutil.pid_exists(child)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "geoflow: terminated\n")
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(60)


def test_a_second_signal_while_the_line_is_said_says_no_other(monkeypatch):
    class Interrupted(io.StringIO):
        def write(self, text):
            signal.raise_signal(signal.SIGTERM)
            return super().write(text)

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr("geoflow_cli._run", lambda words: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(sys, "stderr", Interrupted())
    assert main([]) == 130
    assert sys.stderr.getvalue() == "geoflow: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_end_changes_nothing(number, tmp_path):
    """While Python takes itself down it would be a traceback or another exit code."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import atexit, signal, sys
import geoflow_cli

class Last:
    def __del__(self, raise_signal=signal.raise_signal):
        raise_signal({int(number)})

sys.last = Last()
atexit.register(signal.raise_signal, {int(number)})
geoflow_cli._run = lambda words: 2
sys.exit(geoflow_cli.main())
""")
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, check=False, preexec_fn=interruptible
    )
    assert (ended.returncode, ended.stderr) == (2, b"")


def test_who_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_closed_pipe_is_silent():
    process = subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr as stream:
        errors = stream.read()
    assert process.wait(60) == 141
    assert errors == b""


def test_no_output_at_all_is_silent(tmp_path):
    line = f"exec {shlex.join(COMMAND)} --help >&- 2>{tmp_path / 'errors'}"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
    assert (tmp_path / "errors").read_bytes() == b""
    # And no errors: a usage error is its exit code.
    line = f"exec {shlex.join(COMMAND)} complet >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["complet", "x"], "there is no command 'complet'"),
        (["--steps", "3"], "there is no command '--steps'; expected train, sample"),
        (["sample", "--stpes", "3", "--out", "a.obj"], "perhaps --steps was meant"),
        (["sample", "--ou", "a.obj"], "perhaps --out was meant"),
        (["rig", "a.obj"], "missing: --out; unrecognized: a.obj"),
        (["rig", "--out", "a.json", "a.obj"], "Unrecognized options: a.obj"),
        (["view", "--model"], "--model"),
    ],
)
def test_a_wrong_word_is_one_short_line(words, message, capsys):
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert len(line) < 300
