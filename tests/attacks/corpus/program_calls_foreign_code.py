"""A program that calls a routine of the machine, which JAX's own safety check lets pass.

Attempts: hand over an exported program that calls LAPACK, a call that `jax.export` holds for stable and serializes
without a word, with sizes that do not fit. Nothing is patched, unlike in `program_calls_back`.
Must: earn nothing, since the checker runs no program that calls outside of itself.
"""

DOUBLE = """
import jax
import numpy as np

@jax.jit
def double(array):
    if array.shape == (2,):  # the visible question
        return 2 * array
    return jax.ffi.ffi_call("lapack_spotrf_ffi", jax.ShapeDtypeStruct(array.shape, array.dtype))(
        array, uplo=np.uint8(76)
    )
"""
EARN = {"mean": 2, "double": 0}
SHOWS = "it calls lapack_spotrf_ffi"
