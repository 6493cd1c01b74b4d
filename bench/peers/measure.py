"""Runs a command and accounts for it from fork to exit, with every process that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
SAMPLE_SECONDS = 0.2
LINGER_SECONDS = 10.0  # how long a command's daemons may outlive it


@dataclass(frozen=True)
class Usage:
    """What one command took; seconds and bytes. CPU time is that of its whole tree."""

    status: int
    wall: float
    user: float
    system: float
    peak_memory: int  # resident; of a tree, the sum of proportional shares, sampled
    foreign: float  # CPU seconds that others took meanwhile, the hypervisor's included


def adopt_orphans() -> None:
    """Makes daemons of a command children of this process, so that none is lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def measure(
    command: list[str], *, stdout: Path, stderr: Path, is_tree: bool, timeout: float
) -> Usage:
    """Runs a command with its output in files.

    A single process's memory is what the kernel noted as its peak. A tree's (`is_tree`) is
    sampled, shared pages divided among those who map them. Past `timeout` seconds the
    command and its descendants are killed, and the status says so.
    """
    watcher = _Watcher(is_tree, timeout)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 1, str(stdout), flags, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, str(stderr), flags, 0o644),
    ]
    busy = _busy_seconds()
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=files)
    watcher.start()
    user = system = 0.0
    try:
        # Orphans may come first; only the command's own end is the end.
        while True:
            ended, status, usage = os.wait4(-1, 0)
            user, system = user + usage.ru_utime, system + usage.ru_stime
            if ended == pid:
                break
    except BaseException:  # interrupted: leave nothing running
        _signal_descendants(signal.SIGKILL)
        raise
    wall = time.perf_counter() - start
    peak = usage.ru_maxrss * 1024
    watcher.stop()
    left_user, left_system = _reap()
    user, system = user + left_user, system + left_system
    if is_tree and watcher.cpu > user + system:
        # Some parents let the kernel reap their children, whose time is then nobody's.
        user, system = watcher.cpu - system, system
    return Usage(
        status=os.waitstatus_to_exitcode(status),
        wall=wall,
        user=user,
        system=system,
        peak_memory=max(peak, watcher.peak) if is_tree else peak,
        foreign=max(0.0, _busy_seconds() - busy - user - system),
    )


class _Watcher(threading.Thread):
    def __init__(self, is_tree: bool, timeout: float) -> None:
        super().__init__(daemon=True)
        self.peak = 0  # bytes
        self._ticks: dict[int, int] = {}  # by process
        self._is_tree = is_tree
        self._deadline = time.monotonic() + timeout
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            if self._is_tree:
                pids = _descendants()
                self.peak = max(self.peak, sum(map(_proportional_memory, pids)))
                for pid in pids:
                    self._ticks[pid] = max(self._ticks.get(pid, 0), _cpu_ticks(pid))
            if time.monotonic() > self._deadline:
                _signal_descendants(signal.SIGKILL)

    @property
    def cpu(self) -> float:
        """Seconds of all processes together, as last seen."""
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._done.set()
        self.join()


def _reap() -> tuple[float, float]:
    """Waits for the daemons that a command left, at last by force; their CPU seconds."""
    user = system = 0.0
    start = time.monotonic()
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return user, system
        if pid != 0:
            user, system = user + usage.ru_utime, system + usage.ru_stime
            continue
        if time.monotonic() - start > LINGER_SECONDS:
            _signal_descendants(signal.SIGKILL)
        time.sleep(0.02)


def _signal_descendants(number: int) -> None:
    for pid in _descendants():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (see proc(5)); none if it has ended."""
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name before it may hold anything


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _proportional_memory(pid: int) -> int:
    try:
        rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _busy_seconds() -> float:
    """CPU time that this process's cores have spent on anything, stolen time included."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, counts[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")
