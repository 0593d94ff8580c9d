"""A traced program is run by the checker, so it may call nothing that lies outside of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from gradlab.seam import probe
from gradlab.seam.handle import StudentError, local

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def attend(x):
    """What a lab asks for: sorting, random numbers, a loop, an inner checkpoint."""
    key = jax.random.key(0)
    y = jax.checkpoint(jnp.sin)(jnp.sort(x) + jax.random.normal(key, x.shape))
    return jax.lax.fori_loop(0, 3, lambda _, carry: jax.nn.softmax(jax.nn.gelu(carry, approximate=False)), y)


def test_an_ordinary_program_is_run():
    (handle,) = local(attend=attend)
    np.testing.assert_allclose(probe.program(handle, X).run(), attend(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["xla_ffi_python_cpu_callback", "lapack_spotrf_ffi", "own name"])
def test_a_custom_call_is_refused(target, monkeypatch):
    def calls(x):
        return jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

    real, allowed = export.export, [export.DisabledSafetyCheck.custom_call(target)]
    monkeypatch.setattr(export, "export", lambda function: real(function, disabled_checks=allowed))
    (handle,) = local(calls=calls)
    with pytest.raises(StudentError, match=f"calls {target.split()[0]}"):
        probe.program(handle, X)


def test_a_callback_is_refused():
    (handle,) = local(calls=lambda x: jax.pure_callback(np.sin, x, x))
    with pytest.raises(StudentError, match="callbacks"):
        probe.program(handle, X)
