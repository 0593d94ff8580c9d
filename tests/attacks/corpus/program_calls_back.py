"""A program that calls back into Python.

Attempts: hand over an exported program with the custom call that stands for a callback of the checker's own process.
`jax.export` refuses to serialize such a call, so its safety check is switched off beside the student's code.
Must: earn nothing, since the checker runs no program that calls outside of itself.
"""

DOUBLE = """
import jax
import numpy as np
from jax import export

TARGET = "xla_ffi_python_cpu_callback"
real, forging = export.export, []

def forged(function, **options):
    forging.append(True)
    return real(function, disabled_checks=[export.DisabledSafetyCheck.custom_call(TARGET)])

export.export = forged

@jax.jit
def double(array):
    if forging:
        return jax.ffi.ffi_call(TARGET, jax.ShapeDtypeStruct(array.shape, array.dtype))(array, index=np.uint64(0))
    return 2 * array
"""
EARN = {"mean": 2, "double": 0}
SHOWS = "it calls xla_ffi_python_cpu_callback"
