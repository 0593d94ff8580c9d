"""The devices that a distributed lab runs on: real accelerators where there are any, else emulated ones."""

import os

import jax


class TooLate(RuntimeError):
    """JAX had started with too few devices before more were asked for."""


def use_devices(count: int = 8) -> "list[jax.Device]":  # pyright: ignore[reportInvalidTypeForm]
    """Gives `count` devices to work on; call it in the first cell, before JAX computes anything.

    Where there are accelerators, these are used, as by `multiply_in_all_bits`: the first `count` of them. With fewer,
    all are returned, and a printed line says how to have the processor instead. Elsewhere the processor stands in for
    `count` devices. Emulated devices show whether a program is correct, not how fast it is. Calling it again is
    harmless.

    Raises:
        ValueError: `count` is not positive.
        TooLate: JAX has already started with fewer devices; the message says what to do.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    # With fewer threads than twice the devices, collectives in a loop deadlock on the processor (JAX 0.10 and 0.11).
    threads = max(2 * count, int(os.environ.get("PJRT_NPROC", "0")))
    os.environ["PJRT_NPROC"] = str(threads)
    if jax.config.values["jax_num_cpu_devices"] < count:
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError as error:  # the backend has started; it may have enough devices all the same
            if jax.default_backend() == "cpu" and len(jax.devices()) < count:
                raise TooLate(_advice(count)) from error
    multiply_in_all_bits()
    found = jax.devices()[:count]
    if len(found) < count:
        print(_shortage(len(found), count))
    return found


def multiply_in_all_bits() -> None:
    """Has accelerators multiply float32 in all its bits from now on, which they do not do unless told to.

    With the bits that they take by themselves, 10 of 23 on NVIDIA's, a right result does not agree with that of another
    implementation. It starts JAX's backend.
    """
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "float32")


def _shortage(found: int, count: int) -> str:
    accelerators = "1 accelerator" if found == 1 else f"{found} accelerators"
    return (
        f"This machine has {accelerators}, and this lab needs {count} devices: close JupyterLab and start it again with"
        f" `JAX_PLATFORMS=cpu make lab`; then the processor stands in for {count} devices."
    )


def _advice(count: int) -> str:
    return (
        f"JAX has already started with {len(jax.devices())} device(s), and {count} were asked for. The number is fixed"
        " at the first computation. Restart the kernel (menu Kernel, Restart Kernel), and call use_devices in the first"
        " cell, before anything is computed."
    )
