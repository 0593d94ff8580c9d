"""A program that calls a routine of the machine.

Attempts: hand over an exported program that calls LAPACK with sizes that do not fit.
Must: earn nothing, since the checker runs no program that calls outside of itself.
"""

DOUBLE = """
import jax
import numpy as np
from jax import export

TARGET = "lapack_spotrf_ffi"
real, forging = export.export, []

def forged(function, **options):
    forging.append(True)
    return real(function, disabled_checks=[export.DisabledSafetyCheck.custom_call(TARGET)])

export.export = forged

@jax.jit
def double(array):
    if forging:
        return jax.ffi.ffi_call(TARGET, jax.ShapeDtypeStruct(array.shape, array.dtype))(array, uplo=np.uint8(76))
    return 2 * array
"""
EARN = {"mean": 2, "double": 0}
SHOWS = "it calls lapack_spotrf_ffi"
