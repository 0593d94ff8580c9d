"""The files for clusters run: the script as Slurm would, with a stand-in for srun; the manifest is read."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import yaml

from gradlab.distributed import PORT, Membership, membership
from gradlab.gpt.cli import app

CLUSTER = Path(__file__).parents[2] / "course" / "cluster"
# Starts two tasks on this machine with the variables that the real one sets, labels their lines, and fails if one does.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
export SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=127.0.0.1
SLURM_PROCID=1 "$@" 2>&1 | sed 's/^/1: /' & second=$!
set -o pipefail
SLURM_PROCID=0 "$@" 2>&1 | sed 's/^/0: /'
status=$?
wait $second && exit $status
"""


def test_the_slurm_script_trains_in_two_processes(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    options = ["--steps", "3", "--batch", "4", "--characters", "50000", "--report", "1"]
    # The port of a real job may be taken on this machine, by the same test in another checkout.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = subprocess.run(
        ["bash", str(CLUSTER / "gpt.slurm"), *options],
        cwd=tmp_path,
        env=os.environ
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"}
        | {"JAX_NUM_CPU_DEVICES": "1", "JAX_COORDINATOR_ADDRESS": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^0: .* on a mesh of \{'data': 2, 'model': 1\}, 2 processes$", done.stdout, re.MULTILINE)
    assert re.search(r"^0: step 3 of 3, loss ", done.stdout, re.MULTILINE)
    assert "1: step" not in done.stdout
    assert (tmp_path / "checkpoints" / "3").is_dir()


def test_the_script_asks_for_one_process_a_host():
    script = (CLUSTER / "gpt.slurm").read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.MULTILINE))
    assert (asked["nodes"], asked["ntasks-per-node"]) == ("2", "1")


def test_the_manifest_gives_each_pod_what_a_process_must_know():
    service, job = yaml.safe_load_all((CLUSTER / "gpt.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    environment = {it["name"]: it["value"] for it in container["env"]}
    # Pods of an indexed job are called <job>-<number>, below the service's name.
    address = f"{job['metadata']['name']}-0.{pod['subdomain']}:{PORT}"
    found = [membership(environment | {"JOB_COMPLETION_INDEX": str(i)}) for i in range(spec["completions"])]
    assert found == [Membership(address, 2, 0), Membership(address, 2, 1)]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["clusterIP"] == "None"
    assert container["command"] == ["python", "-m", "gradlab.gpt"]


def test_the_options_in_the_files_are_those_that_there_are():
    import typer

    known = {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
    *_, job = yaml.safe_load_all((CLUSTER / "gpt.yaml").read_text())
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {arg for arg in args if arg.startswith("--")} <= known
    command = next(line for line in (CLUSTER / "gpt.slurm").read_text().splitlines() if line.startswith("#     sbatch"))
    assert set(re.findall(r"--[\w-]+", command)) <= known
