"""The numbers of chapter 7, each computed here: a sentence that states one is asserted word for word."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gradlab import scaling
from gradlab.checks.programs import product_types
from gradlab.costs import activation_bytes, logit_bytes, parameter_count, training_memory
from gradlab.gpt.config import PRESETS, Config

PAGE = Path(__file__).parents[2] / "course" / "chapters" / "07-sharding.md"
TEXT = re.sub(r"\s+", " ", PAGE.read_text())
PEAK, FAST, SLOW = 989e12, 450e9, 50e9
DAY = 86_400


def says(sentence: str) -> None:
    assert sentence in TEXT, f"{PAGE.name} does not say: {sentence}"


def test_state_of_seventy_billion():
    says(f"For 70 billion parameters that is {16 * 70e9 / 1e9:.0f} GB")
    says(f"On 64 devices, stage 3 leaves {16 * 70 / 64:.1f} GB on each")
    says(
        f"Stage 0 holds {16 * 70}, stage 1 about {4 * 70 + 12 * 70 / 64:.0f}, stage 2 about {2 * 70 + 14 * 70 / 64:.0f}"
    )


def test_activations_of_gpt3():
    block, layers, scores = 2048 * 12288, 96, 5 * 96 * 2048 / 12288
    says(f"it is {scores:.0f}, and the bracket is {34 + scores:.0f}")
    says(f"One sequence takes {layers * block * (34 + scores) / 1e9:.0f} GB")
    says(f"leaves {layers * block * 34 / 1e9:.0f} GB. *Full*")
    says(f"and leaves {layers * block * 2 / 1e9:.1f} GB")
    cut = [layers * block * part / 1e9 for part in (10 + 24 / 8 + scores / 8, 10 + 24 / 8, 2)]
    says(f"On eight devices: {cut[0]:.0f}, {cut[1]:.0f} and {cut[2]:.0f}")


def test_the_plan_of_the_compiler_beside_the_estimate():
    # Planned in November 2026 by JAX 0.10.2 for CUDA 13 and a description of the H200: temporary bytes of
    # `Trainer.compile_step` on a mesh of a topology's devices, "cudnn" as the kernel of the attention.
    rows = [("gpt2-124m", 32, 1, 12.58, 3.97), ("gpt2-1.5b", 64, 8, 21.04, 3.54)]
    for preset, sequences, devices, *plans in rows:
        for remat, plan in zip(("none", "full"), plans, strict=True):
            config, own = PRESETS[preset].but(remat=remat), sequences // devices
            memory = training_memory(config, own, devices=devices, stage=3, remat=remat)
            estimate = (memory.gradients + memory.activations + logit_bytes(config, own)) / 2**30
            says(f"| {estimate:.1f} | {plan:.1f} |")
    layer = activation_bytes(Config(layers=1), 1, fused_attention=True)
    assert layer == 32 * Config().context * Config().width


def test_work_of_gpt2_and_of_a_compute_optimal_run():
    weights = 12 * 12 * 768**2 + 50257 * 768
    says(f"both together are {(6 * weights + 12 * 12 * 768 * 1024) / 1e9:.3f} billion operations")
    work = 6 * 70e9 * 20 * 70e9
    says(rf"${work / 1e23:.1f} \cdot 10^{{23}}$ operations")
    says(f"the run takes {work / (512 * 0.4 * PEAK) / DAY:.0f} days")


def test_when_fsdp_hides():
    says(f"at least {PEAK / FAST:.0f} inside a host, and {PEAK / SLOW:.0f} between hosts")
    says(f"allows {4e6 // (PEAK / SLOW):.0f} devices between hosts")


def test_when_tensor_parallelism_pays():
    limits = [3 * 8192 * speed / PEAK for speed in (FAST, SLOW)]
    says(f"the right side is {limits[0]:.1f} inside a host, and {limits[1]:.1f} between hosts")
    # The condition again, from times: 24 d^2 / t operations against 2 all-reduces of 2 d bytes.
    for count, pays in ((12, True), (13, False)):
        compute, send = 24 * 8192**2 / count / PEAK, 2 * 2 * (2 * 8192) * (count - 1) / count / FAST
        assert (send <= compute) == pays


def test_bubble():
    idle = {(p, m): (p - 1) / (m + p - 1) for p, m in ((8, 32), (8, 8))}
    says(f"Eight stages with 32 microbatches lose {idle[8, 32]:.0%}".replace("%", " %"))
    says(f"with 8 microbatches {idle[8, 8]:.0%}".replace("%", " %"))


@pytest.mark.parametrize(("stages", "parts"), [(4, 6), (8, 3)])
def test_bubble_is_what_a_schedule_shows(stages, parts):
    """Every stage takes one tick for a microbatch, and can begin when the stage before has finished it."""
    done = np.zeros((stages, parts), int)
    for stage in range(stages):
        for part in range(parts):
            before = [done[stage - 1, part]] if stage else []
            before += [done[stage, part - 1]] if part else []
            done[stage, part] = max(before, default=0) + 1
    assert 1 - parts / done.max() == pytest.approx((stages - 1) / (parts + stages - 1), rel=1e-12)


def test_three_choices():
    says(f"The state is {16 * 7} GB, {16 * 7 / 8:.0f} GB on each device")
    says(f"A device would have {4e6 // 512:.0f} tokens")
    says(f"makes {512 // 8} groups with {4e6 / 64:.0f} tokens each")
    says(f"there are {16384 // 8} groups of {16e6 // 2048:.0f} tokens")
    says(f"make {16384 // 8 // 16} groups of {16e6 / 128:.0f} tokens")
    work = 6 * 405e9 * 15.6e12
    says(f"400 TFLOP/s on a device, {400e12 / PEAK:.0%}".replace("%", " % MFU"))
    says(rf"${work / 1e25:.1f} \cdot 10^{{25}}$ operations, and take {work / (16384 * 400e12) / DAY:.0f} days")


def test_bfloat16():
    says("Its neighbours around 1 are 1/128 apart. A weight of 1 to which 1/300 is added stays 1.")
    assert float(jnp.finfo(jnp.bfloat16).eps) == 1 / 128
    assert jnp.asarray(1, jnp.bfloat16) + jnp.asarray(1 / 300, jnp.bfloat16) == 1


def test_where_bfloat16_hides():
    ones = jnp.ones(4096, jnp.bfloat16)
    counted = jnp.zeros(1, jnp.bfloat16).at[jnp.zeros(4096, int)].add(ones)
    says(f"a sum of ones in bfloat16 ends at {counted[0]:.0f}")
    x, w = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 4), jnp.bfloat16)

    def asked(w):
        return jnp.square(jnp.dot(x, w, preferred_element_type=jnp.float32)).sum()

    def cast(w):
        return jnp.square(jnp.dot(x, w).astype(jnp.float32)).sum()

    # Of the product forward and of the one backward; x needs no gradient.
    found = [product_types(jax.jit(jax.grad(loss)).lower(w).as_text()) for loss in (asked, cast)]
    assert found == [{"bf16", "f32"}, {"bf16"}]


def test_failures():
    says(f"a run on 2048 hosts loses one about every {1000 * 24 / 2048:.0f} hours")


def test_compute_optimal_exponents():
    """Formula (7.9) against a numerical minimum of (7.8)."""
    alpha, beta = 0.34, 0.28
    best = []
    for work in (1e21, 1e23):

        def loss(log_n, work=work):
            return 406.4 * np.exp(-alpha * log_n) + 410.7 * np.exp(-beta * (np.log(work / 6) - log_n))

        best.append(minimize_scalar(loss, bounds=(10, 40), method="bounded", options={"xatol": 1e-10}).x)
    # The flat minimum is found to about the root of machine precision.
    assert (best[1] - best[0]) / np.log(100) == pytest.approx(beta / (alpha + beta), rel=1e-4)


def test_a_held_out_run_that_is_larger_in_parameters_and_tokens():
    # Measured in November 2026, one run each: `gradlab.gpt`, context 32, batches of 32, float32, seed 0, a tenth of the
    # steps for the warm-up, a rate of 0.16 / width, at most 0.015; loss over 32 held-out batches.
    widths, losses, reached = (8, 12, 16, 24, 32), (2.79126, 2.53246, 2.40905, 2.12202, 1.90136), 1.65621
    sizes = [parameter_count(Config(context=32, width=width, layers=2, heads=2)) for width in (*widths, 48)]
    says(f"{', '.join(map(str, sizes[:4]))} and {sizes[4]} parameters")
    says(f"they reach {', '.join(f'{loss:.3f}' for loss in losses[:4])} and {losses[4]:.3f} nats")
    law = scaling.fit(np.array(sizes[:5]), np.array(losses))
    found = scaling.predict(law, sizes[5])
    says(f"with {sizes[5]} parameters")
    says(f"says {found.loss:.2f}, with 90 % between {found.low:.2f} and {found.high:.2f}")
    says(f"The sixth reaches {reached:.2f}")
    assert found.low < reached < found.high
    assert law.floor == pytest.approx(0, abs=1e-3)
