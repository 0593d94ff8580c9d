"""Memory, processor time and processes of a submission, seen from outside it.

Read from /proc by the warm server, which no submission can reach; nothing that
a submission says about itself is used.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    """What one submission uses now, and the most memory seen so far."""

    memory_bytes: int = 0
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    processes: int = 0


def processes() -> dict[int, tuple[int, float]]:
    """Every visible process: PID to (parent, processor seconds with ended children)."""
    table = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The command name may hold spaces and brackets; fields follow the last ")".
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        table[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)
    return table


def measure(table: dict[int, tuple[int, float]], root: int, usage: Usage) -> None:
    """Update `usage` from the tree of processes below `root`, `root` included."""
    members = {root}
    grew = True
    while grew:
        found = {pid for pid, (parent, _) in table.items() if parent in members} - members
        members |= found
        grew = bool(found)
    usage.memory_bytes = sum(_own_bytes(pid) for pid in members)
    usage.peak_bytes = max(usage.peak_bytes, usage.memory_bytes)
    usage.cpu_seconds = sum(table[pid][1] for pid in members if pid in table)
    usage.processes = len(members)


def _own_bytes(pid: int) -> int:
    """Anonymous and shared memory; pages of library files are not counted."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return 0
    lines = (line.split() for line in status if line.startswith((b"RssAnon", b"RssShmem")))
    return sum(int(line[1]) for line in lines) * 1024


def excess(usage: Usage, limits: dict[str, int]) -> str:
    """Say which limit `usage` is over, in words for a student; empty if none."""
    if usage.memory_bytes > limits["memory_bytes"]:
        return f"it used more than {limits['memory_bytes'] / 2**20:.0f} MiB of memory"
    if usage.cpu_seconds > limits["cpu_seconds"]:
        return f"it used more than {limits['cpu_seconds']} s of processor time"
    if usage.processes > limits["processes"]:
        return f"it ran more than {limits['processes']} processes at once"
    return ""
