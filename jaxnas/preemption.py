"""Preemption: SIGTERM, to this process or to another of the same run, saves and leaves within seconds."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable

from jaxnas import processes

POLL = 0.5
"""Seconds between two looks at what the other processes say."""


@contextlib.contextmanager
def saving(save: Callable[[], str]):
    """Within, SIGTERM calls `save` and ends the process with `processes.LEFT`; `save` returns what is said then.

    Python runs its signal handlers between two of its own instructions, which a long compile or evaluation never
    reaches. So a thread waits for the signal, and calls `save` beside whatever runs: it must be safe to call at any
    moment, and from another thread.

    Where the program handles SIGTERM itself, or does not call this from its main thread, nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    watcher = threading.Thread(target=_watch, args=(ours, save), daemon=True)
    previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    watcher.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(previous)
        theirs.close()
        watcher.join()
        ours.close()


def _watch(ours: socket.socket, save: Callable[[], str]) -> None:
    why = None
    while why is None:
        if select.select([ours], [], [], POLL)[0]:
            signals = ours.recv(64)
            if not signals:  # closed
                return
            if signal.SIGTERM in signals:
                why = processes.PREEMPTED
                with contextlib.suppress(Exception):  # whoever cannot be told finds this process gone
                    processes.request_stop(why)
        else:
            with contextlib.suppress(Exception):
                why = processes.stop_reason()
    status = processes.LEFT if why == processes.PREEMPTED else 1
    try:
        said = save()
    except Exception as error:
        said, status = f"nothing could be saved ({error})", 1
    print(f"\n{why}: {said}", file=sys.stderr, flush=True)
    processes.shutdown_barrier()
    os._exit(status)  # the main thread may not come back for minutes
