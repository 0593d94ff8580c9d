"""Who a process is, from the environment that each launcher sets."""

import pytest

from gradlab.distributed import PORT, Membership, membership

BY_HAND = {"JAX_COORDINATOR_ADDRESS": "10.0.0.7:999", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "2"}
# As srun sets them: https://slurm.schedmd.com/srun.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
SLURM = {"SLURM_STEP_NUM_TASKS": "16", "SLURM_PROCID": "9", "SLURM_STEP_NODELIST": "node[001-015],big7"}
# As an indexed job sets it: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
KUBERNETES = {"JAX_COORDINATOR_ADDRESS": "gpt-0.gpt:12321", "JAX_NUM_PROCESSES": "2", "JOB_COMPLETION_INDEX": "1"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        (BY_HAND, Membership("10.0.0.7:999", 4, 2)),
        (SLURM, Membership(f"node001:{PORT}", 16, 9)),
        (SLURM | {"SLURM_STEP_NODELIST": "node[007,011-015]"}, Membership(f"node007:{PORT}", 16, 9)),
        (SLURM | {"SLURM_STEP_NODELIST": "alpha,beta"}, Membership(f"alpha:{PORT}", 16, 9)),
        (KUBERNETES, Membership("gpt-0.gpt:12321", 2, 1)),
        # What is said by hand counts more than what Slurm says.
        (SLURM | BY_HAND, Membership("10.0.0.7:999", 4, 2)),
        ({}, None),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        # A job without a count is a job of single processes.
        ({"JOB_COMPLETION_INDEX": "3"}, None),
    ],
)
def test_a_process_learns_who_it_is(environment, wanted):
    assert membership(environment) == wanted


def test_what_is_missing_or_wrong_is_named():
    with pytest.raises(ValueError, match="JAX_PROCESS_ID"):
        membership({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2"})
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES and JAX_PROCESS_ID"):
        membership({"JAX_COORDINATOR_ADDRESS": "a:1"})
    with pytest.raises(ValueError, match="process 4 cannot be one of 4"):
        membership(BY_HAND | {"JAX_PROCESS_ID": "4"})
    with pytest.raises(ValueError, match="whole numbers, got 'two'"):
        membership(BY_HAND | {"JAX_NUM_PROCESSES": "two"})
    with pytest.raises(ValueError, match="host:port, got 'alpha'"):
        membership(BY_HAND | {"JAX_COORDINATOR_ADDRESS": "alpha"})
