"""Handling Ctrl-C and the signals that ask a process to end."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# They ask a process to leave: a service manager, and the end of the terminal.
TERMINATING = (signal.SIGTERM, signal.SIGHUP)


def handle_signals(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> dict[signal.Signals, Any]:
    """Handle signals, except for the end of the terminal under `nohup`; return their former handlers."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in numbers if number not in ignored}


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and termination within the block, in which they do nothing else."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield received
        return
    previous = handle_signals((signal.SIGINT, *TERMINATING), lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def interrupted_at_the_end() -> Iterator[None]:
    """Put off Ctrl-C and termination until the block has ended."""
    with collected_signals() as received:
        yield
    if received:
        signal.raise_signal(received[0])
