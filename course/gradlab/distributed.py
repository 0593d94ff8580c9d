"""Join the processes of one run, wherever they were started: by hand, by Slurm, by a Kubernetes job."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import jax

# JAX's own defaults, 100 s and 300 s, are long to wait for a process that is gone, or was never there.
HEARTBEAT_SECONDS = 10
START_SECONDS = 30
PORT = 12321


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
    return Membership(str(address), int(str(count)), int(str(number))) if count != "1" else None


def _slurm_address(environment: Mapping[str, str]) -> str | None:
    """Port `PORT` of the first host of a list such as `node[001-004,007],login1`."""
    found = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", environment.get("SLURM_STEP_NODELIST", ""))
    return f"{found[1]}{found[2] or ''}:{PORT}" if found else None


def join(environment: Mapping[str, str] = os.environ) -> Membership | None:
    """Join the other processes, if the environment names any. Call it before JAX looks for devices.

    Every process sees all devices of its host. On CPU the collectives go over Gloo, and every process compiles its
    programs itself: JAX's compilation cache is not used.
    """
    found = membership(environment)
    if found is None:
        return None
    # Collectives of several devices wait in threads, and deadlock where there are too few (JAX 0.10 and 0.11).
    os.environ.setdefault("PJRT_NPROC", "32")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        found.coordinator,
        found.count,
        found.number,
        cluster_detection_method="deactivate",
        initialization_timeout=START_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )
    if jax.default_backend() == "cpu":
        # XLA forgets, in a program that it reads back from a cache, in which order the collectives of a loop and those
        # outside of it come. Gloo tells them apart by their order alone: it takes the messages of one for the other's,
        # and aborts ("op.preamble.length <= op.nbytes"). Seen on JAX 0.10.
        jax.config.update("jax_enable_compilation_cache", False)
    return found
