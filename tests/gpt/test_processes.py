"""Several processes for real: they agree, they say what failed, one can be killed, and none is left."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from gradlab.distributed import HEARTBEAT_SECONDS, LOST_A_PROCESS
from gradlab.processes import GRACE_SECONDS, Processes, ProcessesFailed, run_processes

# Not a limit of anything promised: what a loaded machine may need to start two JAX processes.
PATIENCE = 200
# So many that the kill comes long before the end.
STEPS = 60
TRAIN = [
    *(sys.executable, "-m", "gradlab.gpt", "--steps", str(STEPS), "--batch", "4", "--characters", "50000"),
    *("--dtype", "float32", "--report", "1", "--warmup", "2", "--every", "2"),
]
ONE_DEVICE = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
LOSS = re.compile(r"step (\d+) of \d+, loss ([\d.]+)")


def losses(lines):
    return {int(step): float(loss) for number, line in lines if number == 0 for step, loss in LOSS.findall(line)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for compiled programs of the two processes' own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(cache):
    """The losses by step that process 0 of two printed."""
    lines = []
    environment = ONE_DEVICE | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    run_processes(TRAIN, 2, environment, lambda number, line: lines.append((number, line)))
    return losses(lines)


def test_two_processes_find_the_losses_of_one(whole):
    done = subprocess.run(TRAIN, env=os.environ | ONE_DEVICE, capture_output=True, text=True, check=True)
    alone = losses([(0, line) for line in done.stdout.splitlines()])
    assert len(alone) == STEPS
    # Gradients are summed in another order: float32 to 1e-6, carried through the updates of Adam.
    assert whole == pytest.approx(alone, rel=1e-4)


def test_processes_on_cpu_share_no_compiled_programs(whole, cache):
    # Read back from a cache, a program with collectives in and outside of a loop may abort over Gloo.
    assert whole
    assert list(cache.iterdir()) == []


def test_one_is_killed_the_other_stops_and_the_run_resumes(whole, tmp_path):
    options = ("--checkpoints", str(tmp_path / "run"))
    lines = []

    def kill(number, line):
        lines.append((number, line))
        found = LOSS.search(line)
        if found and int(found[1]) == 7:
            os.kill(processes.running[1].pid, signal.SIGKILL)

    with Processes([*TRAIN, *options], 2, ONE_DEVICE, kill) as processes:
        numbers = [process.pid for process in processes.running.values()]
        killed, survivor = processes.wait()
    assert (killed.number, killed.status) == (1, -signal.SIGKILL), lines
    # It stopped by itself, in less time than this helper gives it, and says what to do.
    assert (survivor.number, survivor.status, survivor.was_stopped) == (0, LOST_A_PROCESS, False), lines
    assert survivor.seconds - killed.seconds < GRACE_SECONDS
    text = "\n".join(survivor.last_lines)
    assert "process 0 of 2 stops, because another one is gone" in text
    assert f"--checkpoints {tmp_path / 'run'}" in text
    assert not any(psutil.pid_exists(number) for number in numbers)

    lines.clear()
    run_processes([*TRAIN, *options], 2, ONE_DEVICE, lambda number, line: lines.append((number, line)))
    begun = re.search(r"goes on from the checkpoint of step (\d+)", "\n".join(line for _, line in lines))
    assert begun, lines
    # At least what was saved before the line was printed; both may have got further.
    assert int(begun[1]) >= 6
    rest = losses(lines)
    assert list(rest) == list(range(int(begun[1]) + 1, STEPS + 1))
    # The same program on the same machine; printed to six digits.
    assert rest == pytest.approx({step: whole[step] for step in rest}, abs=1e-5)


# Process 1 is killed at the end of its first checkpoint, when process 0 waits for it to be done with it.
KILLED_WHILE_SAVING = """
import os, signal
from jax import monitoring

def kill(event, *_, **__):
    if event == "/jax/checkpoint/write/remove_steps_duration_secs" and os.environ["JAX_PROCESS_ID"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)

monitoring.register_event_duration_secs_listener(kill)
from gradlab.gpt.cli import app
app()
"""


def test_one_is_killed_in_a_checkpoint_and_the_other_does_not_wait_for_a_heartbeat(tmp_path):
    lines = []
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, *TRAIN[3:], "--checkpoints", str(tmp_path)]
    with Processes(command, 2, ONE_DEVICE, lambda *it: lines.append(it)) as processes:
        killed, survivor = processes.wait()
    assert (killed.number, killed.status) == (1, -signal.SIGKILL), lines
    assert (survivor.number, survivor.status, survivor.was_stopped) == (0, LOST_A_PROCESS, False), lines
    assert survivor.seconds - killed.seconds < HEARTBEAT_SECONDS / 2
    assert f"--checkpoints {tmp_path}" in "\n".join(survivor.last_lines)


def test_what_failed_is_said_with_its_process_and_its_last_words():
    script = "import os, sys, time\nif os.environ['JAX_PROCESS_ID'] == '1': sys.exit('no such file: shard-7')\n"
    script += "time.sleep(1000)"
    with Processes([sys.executable, "-c", script], 3, on_line=lambda *_: None) as processes:
        ended = processes.wait(grace=0.2)
    message = str(ProcessesFailed(ended))
    assert "process 1 ended with status 1" in message.splitlines()[0]
    assert "[1] no such file: shard-7" in message
    assert message.count("was still running, and was stopped here") == 2


# It has nothing to do with the others when one of them is killed.
BUSY = """
import os, signal, time
from gradlab import distributed
distributed.HEARTBEAT_SECONDS = 2
distributed.join()
if os.environ["JAX_PROCESS_ID"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(1000)
"""


def test_one_that_is_busy_when_another_is_killed_is_ended_by_jax_and_that_is_said():
    with pytest.raises(ProcessesFailed) as failed:
        run_processes([sys.executable, "-c", BUSY], 2, ONE_DEVICE, lambda *_: None)
    cause, then = str(failed.value).splitlines()[0], str(failed.value).splitlines()[-1]
    assert cause.startswith("process 1 was killed by SIGKILL")
    assert "process 0 was killed by SIGABRT" in then
    assert "so JAX ends a process" in then


def test_each_line_is_shown_behind_its_process(capfd):
    ended = run_processes([sys.executable, "-c", "import os; print('I am', os.environ['JAX_PROCESS_ID'])"], 2)
    assert [it.status for it in ended] == [0, 0]
    assert sorted(capfd.readouterr().out.splitlines()) == ["[0] I am 0", "[1] I am 1"]


def test_all_are_ended_when_their_lines_cannot_be_shown():
    # More than a pipe holds: a process whose lines nobody reads would wait for ever.
    flood = "for _ in range(5000): print('x' * 99)"
    with pytest.raises(ZeroDivisionError):
        run_processes([sys.executable, "-c", flood], 2, on_line=lambda *_: 1 / 0)


# Two talk, then number 1 fails alone, and number 0 waits for it in a collective.
ALONE = """
from gradlab import distributed
distributed.join()
import jax, numpy
from jax.experimental.multihost_utils import process_allgather
process_allgather(numpy.ones(3))
if jax.process_index() == 1:
    raise {error}
process_allgather(numpy.ones(3))
"""


@pytest.mark.parametrize("error", ["IndexError('no such row')", "KeyboardInterrupt"])
def test_one_that_fails_alone_ends_at_once(error):
    lines = []
    with Processes(
        [sys.executable, "-c", ALONE.format(error=error)], 2, ONE_DEVICE, lambda *it: lines.append(it)
    ) as both:
        failed, other = both.wait()
    # Without care it waits at its exit, for minutes, for the one that waits for it.
    assert (failed.number, failed.status) == (1, 1), lines
    assert error.split("(")[0] in failed.last_lines[-1]
    assert other.status == LOST_A_PROCESS, lines
    assert failed.seconds < PATIENCE


JOIN = """
from gradlab import distributed
distributed.START_SECONDS = 2
distributed.join()
"""


@pytest.mark.parametrize("number", [0, 1])
def test_one_that_waits_in_vain_says_so_and_ends(number):
    environment = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:%d", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(number)}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        environment["JAX_COORDINATOR_ADDRESS"] %= found.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", JOIN], env=os.environ | ONE_DEVICE | environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"process {number} of 2 has waited" in done.stderr
    assert "Check failure stack trace" not in done.stderr


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}
        done = subprocess.run(TRAIN, env=os.environ | ONE_DEVICE | environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"gradlab.gpt: process 0 of 2 cannot listen at {address}")
    assert "another port in JAX_COORDINATOR_ADDRESS" in done.stderr
    assert "Traceback" not in done.stderr


# Two processes, each with a child, that ignore SIGTERM; it prints all their numbers.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
import os
print(os.getpid(), child.pid, flush=True)
time.sleep(1000)
"""
LAUNCHER = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from gradlab.processes import run_processes
run_processes([sys.executable, "-c", {STUBBORN!r}], 2)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_nothing_is_left_when_the_caller_ends(number):
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with launcher:
        numbers = [int(word) for _ in range(2) for word in launcher.stdout.readline().split()[1:]]
        started = [psutil.Process(it) for it in numbers]
        assert len(started) == 4
        launcher.send_signal(number)
        launcher.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while any(map(alive, started)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, started))


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
