"""Programs that an actor runs."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from reactors import clock
from reactors.attrdict import AttrDict

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_FOUND, NOT_STARTED, TIMED_OUT = 127, 126, 124
"""Exit codes, as shells have them, where a program has not ended by itself."""


def run(
    command_list: Sequence[Any], timeout: float | None = None, *, permissive: bool = False
) -> AttrDict:
    """Run a program without a shell, and wait for its end.

    Args:
        command_list: the program and its arguments.
        timeout: seconds until it is killed, with all that it has started.
        permissive: return `NOT_FOUND` or `NOT_STARTED` where the program cannot be started.

    Returns:
        `cmdline`, the command as a shell would take it; `output`, what it has written to standard
        output and standard error; `return_code`, -N if signal N ended it, and `TIMED_OUT` where
        that is what happened; `exit_code`, the same; `elapsed_msec`.

    Raises:
        OSError: the program is missing, or cannot be started.
    """
    command = [str(part) for part in command_list]
    began = clock.microseconds()
    try:
        code, output = _run(command, timeout)
    except OSError as error:
        if not permissive:
            raise
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED
        output = f"{command[0]}: {error.strerror}".encode()
    return AttrDict(
        cmdline=shlex.join(command),
        output=output.decode(errors="replace"),
        return_code=code,
        exit_code=code,
        elapsed_msec=(clock.microseconds() - began) // 1000,
    )


def _run(command: list[str], timeout: float | None) -> tuple[int, bytes]:
    program = subprocess.Popen(  # noqa: S603 - the actor's own command, without a shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with program:
        try:
            output, _ = program.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(program)
            output, _ = program.communicate()
            return TIMED_OUT, output
        except BaseException:  # Ctrl-C as well leaves no program behind, and goes on
            _kill(program)
            raise
    return program.returncode, output


def _kill(program: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
