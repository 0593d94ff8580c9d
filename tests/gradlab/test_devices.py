"""The call that sets up devices, in processes of its own: what it decides is fixed when JAX starts."""

import os
import subprocess
import sys

import jax
import pytest

from gradlab.checks import optimizers
from gradlab.devices import use_devices


def python(code, **variables):
    kept = {name: value for name, value in os.environ.items() if name not in ("PJRT_NPROC", "XLA_FLAGS")}
    command = [sys.executable, "-c", "import os, jax\nfrom gradlab.devices import use_devices\n" + code]
    environment = kept | {"JAX_PLATFORMS": "cpu"} | variables
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_devices_are_set_up_with_threads_enough_and_calling_again_is_harmless():
    done = python(
        "first = use_devices(6)\n"
        "assert use_devices(6) == first and use_devices(4) == first[:4]\n"
        "assert int(os.environ['PJRT_NPROC']) >= 12\n"
        "print(jax.device_count())"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6\n"


def test_more_threads_than_needed_stay():
    done = python("use_devices(2)\nprint(os.environ['PJRT_NPROC'])", PJRT_NPROC="32")
    assert done.stdout == "32\n", done.stderr


def test_too_late_says_what_to_do():
    done = python("jax.devices()\nuse_devices(8)")
    assert done.returncode == 1
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("gradlab.devices.TooLate")]
    for part in ("1 device(s)", "8 were asked for", "Restart the kernel", "first cell"):
        assert part in message


def test_devices_that_are_there_already_are_taken():
    done = python("jax.devices()\nprint(len(use_devices(4)))", XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert done.stdout == "4\n", done.stderr


def test_collectives_in_a_loop_do_not_hang():
    """Without threads enough, this hangs on two cores with JAX 0.10 and 0.11, and XLA aborts the process."""
    done = python(
        "use_devices(8)\n"
        "step = jax.pmap(lambda x: jax.lax.pmean(x + 1.0, 'i'), axis_name='i')\n"
        "x = jax.numpy.zeros((8, 4))\n"
        "for _ in range(300):\n"
        "    x = step(x)\n"
        "print(float(x[0, 0]))"
    )
    assert done.stdout == "300.0\n", done.stderr


def test_the_tests_have_eight():
    assert len(use_devices(8)) == 8
    assert [device.id for device in use_devices(3)] == [0, 1, 2]
    assert jax.device_count() == 8


@pytest.mark.parametrize(("there", "named"), [(1, "1 accelerator,"), (2, "2 accelerators,")])
def test_with_too_few_accelerators_one_line_names_the_fix(monkeypatch, capsys, there, named):
    accelerators = [f"accelerator {number}" for number in range(there)]
    monkeypatch.setattr(jax, "devices", lambda: accelerators)
    assert use_devices(8) == accelerators
    (line,) = capsys.readouterr().out.splitlines()
    for part in (named, "needs 8 devices", "JAX_PLATFORMS=cpu make lab"):
        assert part in line


def test_where_there_are_enough_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(jax, "devices", lambda: list(range(9)))
    assert use_devices(8) == list(range(8))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("begin", [lambda: use_devices(8), lambda: optimizers.sgd(None)], ids=["devices", "check"])
@pytest.mark.parametrize(("platform", "precision"), [("gpu", "float32"), ("cpu", None)])
def test_accelerators_multiply_in_all_bits(monkeypatch, platform, precision, begin):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    before = jax.config.values["jax_default_matmul_precision"]
    try:
        begin()
        assert jax.config.values["jax_default_matmul_precision"] == precision
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        use_devices(0)
