"""Join the processes of one run, wherever they were started: by hand, by Slurm, by a Kubernetes job."""

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Timer
from types import TracebackType
from typing import NoReturn

import jax

# JAX's own defaults, 100 s and 300 s, are long to wait for a process that is gone, or was never there.
HEARTBEAT_SECONDS = 10
START_SECONDS = 30
END_SECONDS = 30
PORT = 12321
# The exit status of a process that stops because another is gone: not the cause, to whoever looks for it.
LOST_A_PROCESS = 3


class CannotJoin(ConnectionError):
    """The processes did not find each other; the message says what to look at."""


@dataclass(frozen=True)
class Membership:
    """One process among `count`: its number, and the address of process 0, where all of them meet."""

    coordinator: str
    count: int
    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(f"process {self.number} cannot be one of {self.count}: numbers go from 0")


def membership(environment: Mapping[str, str]) -> Membership | None:
    """Read who this process is from environment variables; None for a process that is alone.

    Address: `JAX_COORDINATOR_ADDRESS` (host:port), else the first host of Slurm's step.
    Count: `JAX_NUM_PROCESSES`, else `SLURM_STEP_NUM_TASKS`.
    Number: `JAX_PROCESS_ID`, else `SLURM_PROCID`, else the `JOB_COMPLETION_INDEX` of an indexed Kubernetes job.

    Raises ValueError that names what is missing, where only a part is set.
    """
    given = environment.get
    count = given("JAX_NUM_PROCESSES") or given("SLURM_STEP_NUM_TASKS")
    number = given("JAX_PROCESS_ID") or given("SLURM_PROCID") or given("JOB_COMPLETION_INDEX")
    address = given("JAX_COORDINATOR_ADDRESS") or _slurm_address(environment)
    # A single task of Slurm, or an index without a count, asks for nothing.
    if count is None and given("JAX_COORDINATOR_ADDRESS") is None:
        return None
    wanted = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": count, "JAX_PROCESS_ID": number}
    if missing := [name for name, value in wanted.items() if value is None]:
        raise ValueError(f"to join other processes, set {' and '.join(missing)} too")
    if wrong := [text for text in (count, number) if not str(text).isdecimal()]:
        raise ValueError(f"the count and the number of a process are whole numbers, got {wrong[0]!r}")
    if not str(address).rpartition(":")[2].isdecimal():
        raise ValueError(f"JAX_COORDINATOR_ADDRESS is host:port, got {address!r}")
    return Membership(str(address), int(str(count)), int(str(number))) if count != "1" else None


def _slurm_address(environment: Mapping[str, str]) -> str | None:
    """Port `PORT` of the first host of a list such as `node[001-004,007],login1`."""
    found = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", environment.get("SLURM_STEP_NODELIST", ""))
    return f"{found[1]}{found[2] or ''}:{PORT}" if found else None


def join(environment: Mapping[str, str] = os.environ) -> Membership | None:
    """Join the other processes, if the environment names any. Call it before JAX looks for devices.

    Every process sees all devices of its host. On CPU the collectives go over Gloo, and every process compiles its
    programs itself: JAX's compilation cache is not used. A process that then fails ends at once, so that the others
    notice. Where not all have come after `START_SECONDS`, this process says so and ends.

    Raises CannotJoin where process 0 cannot listen at its address.
    """
    found = membership(environment)
    if found is None:
        return None
    # Collectives of several devices wait in threads, and deadlock where there are too few (JAX 0.10 and 0.11).
    os.environ.setdefault("PJRT_NPROC", "32")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    with _limit_of_waiting(found):
        _meet(found)
    sys.excepthook = partial(_fail_at_once, found)
    if jax.default_backend() == "cpu":
        # XLA forgets, in a program that it reads back from a cache, in which order the collectives of a loop and those
        # outside of it come. Gloo tells them apart by their order alone: it takes the messages of one for the other's,
        # and aborts ("op.preamble.length <= op.nbytes"). Seen on JAX 0.10.
        jax.config.update("jax_enable_compilation_cache", False)
    return found


def _meet(who: Membership) -> None:
    if who.number == 0:
        _try_port(who)
    jax.distributed.initialize(
        who.coordinator,
        who.count,
        who.number,
        cluster_detection_method="deactivate",
        initialization_timeout=START_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=END_SECONDS,
    )


def _try_port(who: Membership) -> None:
    """Listens once at the port: on one that is taken JAX fails without a reason, or crashes."""
    try:
        socket.create_server(("", int(who.coordinator.rpartition(":")[2]))).close()
    except OSError as error:
        raise CannotJoin(
            f"process 0 of {who.count} cannot listen at {who.coordinator}: {os.strerror(error.errno or 0)}. If another"
            " program has this port, an earlier run perhaps, end it, or give all processes another port in"
            " JAX_COORDINATOR_ADDRESS."
        ) from error


@contextlib.contextmanager
def _limit_of_waiting(who: Membership) -> Iterator[None]:
    """Ends the process with a message where it waits too long: JAX aborts it a little later, with the stack of C++."""
    timer = Timer(START_SECONDS, _give_up, [who])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(who: Membership) -> None:
    print(
        f"gradlab: process {who.number} of {who.count} has waited {START_SECONDS} s at {who.coordinator}, and not all"
        " others have come. Start all of them within this time, each with the same JAX_COORDINATOR_ADDRESS and"
        " JAX_NUM_PROCESSES and a JAX_PROCESS_ID of its own.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _fail_at_once(
    who: Membership, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Shows the error and ends: an ordinary exit waits for the others, and they wait in a collective for this one."""
    sys.__excepthook__(kind, error, traceback)
    leave(who, LOST_A_PROCESS if is_loss_of_process(error) else 1)


def is_loss_of_process(error: BaseException) -> bool:
    """Whether a collective, or a wait for all processes, has failed because one of them is gone."""
    text = str(error).lower()
    words = ("gloo", "nccl", "heartbeat", "coordination", "unavailable", "barrier")
    return isinstance(error, (ValueError, RuntimeError)) and any(word in text for word in words)


def leave(who: Membership, status: int) -> NoReturn:
    """End this process, and let the others find out: their collectives fail at once.

    Process 0, where they meet, goes a second later: they are aborted when it is gone, and may have an error of their
    own to show.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if who.number == 0:
        time.sleep(1)
    os._exit(status)
