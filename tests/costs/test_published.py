"""The calculators find the numbers that others have published."""

import pytest

from gradlab.costs import (
    H100_BFLOAT16,
    MIXED_ADAM,
    activation_bytes,
    data_parallel,
    flops_per_token,
    fully_sharded,
    logit_bytes,
    mfu,
    parameter_count,
    ring_all_reduce,
    state_memory,
    tensor_parallel,
    training_flops,
    tree_all_reduce,
)
from gradlab.costs.communication import Link
from gradlab.gpt.config import PRESETS, Config

GB = 1e9

# Rajbhandari et al. (2020), "ZeRO", Table 1: GB a device for 7.5B parameters, by devices, stages 1 to 3.
ZERO = {
    1: (120, 120, 120),
    4: (52.5, 41.3, 30),
    16: (35.6, 21.6, 7.5),
    64: (31.4, 16.6, 1.88),
    256: (30.4, 15.4, 0.47),
    1024: (30.1, 15.1, 0.12),
}


@pytest.mark.parametrize("devices", ZERO)
def test_zero_on_a_model_of_7_5_billion(devices):
    found = [state_memory(7.5e9, devices=devices, stage=stage).total / GB for stage in (1, 2, 3)]
    # Printed to three figures, the smallest to two.
    assert found == pytest.approx(ZERO[devices], rel=0.005, abs=0.005)


def test_sixteen_bytes_a_parameter():
    # The same paper, section 3.1: GPT-2 with 1.5B parameters needs at least 24 GB.
    assert MIXED_ADAM.parameters + MIXED_ADAM.gradients + MIXED_ADAM.optimizer == 16
    assert state_memory(1.5e9).total == 24 * GB


# The sizes of the released GPT-2 weights, as KerasHub lists them (keras_hub/src/models/gpt2/gpt2_presets.py).
GPT2 = {"gpt2-124m": 124_439_808, "gpt2-355m": 354_823_168, "gpt2-774m": 774_030_080, "gpt2-1.5b": 1_557_611_200}


@pytest.mark.parametrize("preset", GPT2)
def test_parameters_of_gpt2(preset):
    assert parameter_count(PRESETS[preset]) == GPT2[preset]


# Brown et al. (2020), Table 2.1.
GPT3 = Config(50257, 2048, 12288, 96, 96)
# Megatron-Turing NLG 530B, Smith et al. (2022): 105 layers, 20480 wide, 128 heads.
MT_NLG = Config(50257, 2048, 20480, 105, 128)


def test_parameters_of_gpt3():
    # Brown et al. (2020), Table D.1: 174,600 million.
    assert parameter_count(GPT3) / 1e6 == pytest.approx(174_600, rel=5e-4)


# Brown et al. (2020), Table D.1: millions of parameters and FLOPs to train on 300 billion tokens.
@pytest.mark.parametrize(
    ("millions", "flops"),
    [(125, 2.25e20), (356, 6.41e20), (760, 1.37e21), (1320, 2.38e21), (12_850, 2.31e22), (174_600, 3.14e23)],
)
def test_compute_of_gpt3(millions, flops):
    assert training_flops(millions * 1e6, 300e9) == pytest.approx(flops, rel=0.005)


# Hoffmann et al. (2022), Table 3: parameters, tokens and FLOPs of optimal runs. Tokens are printed to 0.1 billion; the
# larger models' only to 0.1 trillion, too coarse for a comparison.
@pytest.mark.parametrize(
    ("parameters", "tokens", "flops"), [(4e8, 8.0e9, 1.92e19), (1e9, 20.2e9, 1.21e20), (1e10, 205.1e9, 1.23e22)]
)
def test_compute_of_chinchilla(parameters, tokens, flops):
    assert training_flops(parameters, tokens) == pytest.approx(flops, rel=0.005)


def test_compute_of_llama_3():
    # Grattafiori et al. (2024), section 1: 405 billion parameters, 15.6 trillion tokens, 3.8e25 FLOPs.
    assert training_flops(405e9, 15.6e12) == pytest.approx(3.8e25, rel=0.005)


# Korthikanti et al. (2022), section 5: what selective recomputation saves of the activations.
@pytest.mark.parametrize(("config", "saved"), [(GPT3, 0.70), (MT_NLG, 0.65)], ids=["GPT-3", "MT-NLG"])
def test_selective_recomputation(config, saved):
    whole = activation_bytes(config, 1, dropout=True)
    rest = activation_bytes(config, 1, dropout=True, remat="weights")
    assert 1 - rest / whole == pytest.approx(saved, abs=0.005)


def test_activations_of_a_block():
    # The same paper, equation 1: s b h (34 + 5 a s / h) for each layer; equation 2, over t devices: s b h (10 + 24 / t
    # + 5 a s / h t); 2 s b h when only the input is kept.
    stream = 2048 * 12288
    assert activation_bytes(GPT3, 1, dropout=True) == 96 * stream * (34 + 5 * 96 * 2048 / 12288)
    assert activation_bytes(GPT3, 1, dropout=True, tensor=8) == 96 * stream * (10 + 24 / 8 + 5 * 96 * 2048 / 12288 / 8)
    assert activation_bytes(GPT3, 3, remat="full") == 3 * 96 * stream * 2


def test_utilisation_of_palm():
    # Chowdhery et al. (2022), Tables 1 and 3, section 4.1: 540B parameters, 118 layers, 48 heads of 256, sequences
    # of 2048; 238.3 thousand tokens a second on 6144 TPU v4 of 275 TFLOP/s are 46.2 %. Its block is not GPT-2's, so
    # that the formula is applied to its own count of parameters.
    attention = Config(1, 2048, 48 * 256, 118, 48)
    a_token = 6 * 540.35e9 + flops_per_token(attention) - 6 * (parameter_count(attention) - 2048 * 48 * 256)
    assert mfu(238.3e3, a_token, 6144 * 275e12) == pytest.approx(0.462, abs=0.001)


def test_utilisation_of_llm_c():
    # https://github.com/karpathy/llm.c/discussions/677: GPT-2 1.5B on eight H100, step 2 of its log, "47.4% bf16 MFU |
    # 381690 tok/s". Its count (train_gpt2.cu, gpt2_estimate_mfu) is 6 N + 6 L C T: positions are among the weights, and
    # attention is the unmasked half only.
    c = PRESETS["gpt2-1.5b"]
    theirs = flops_per_token(c, padded=True) + 6 * c.context * c.width - 6 * c.layers * c.width * c.context
    assert mfu(381_690, theirs, 8 * H100_BFLOAT16) == pytest.approx(0.474, abs=0.0005)


def test_flops_of_a_token_of_gpt2():
    # nanoGPT, model.py, estimate_mfu: 6 N + 12 L H Q T, without the positions in N.
    n = 124_439_808 - 1024 * 768
    assert flops_per_token(PRESETS["gpt2-124m"]) == 6 * n + 12 * 12 * 12 * 64 * 1024
    assert flops_per_token(PRESETS["gpt2-124m"], training=False) * 3 == flops_per_token(PRESETS["gpt2-124m"])


def test_full_sharding_sends_half_as_much_again():
    # ZeRO, section 7: 2 and 3 times the parameters, for many devices.
    plain, sharded = data_parallel(1.0, 1024, itemsize=1).sent, fully_sharded(1.0, 1024, itemsize=1).sent
    assert (plain, sharded) == pytest.approx((2, 3), rel=0.002)
    assert sharded / plain == pytest.approx(1.5)


def test_a_ring_is_bound_by_latency_or_by_bandwidth():
    link = Link(latency=1e-6, bandwidth=1e9)
    assert ring_all_reduce(4e9, 8).seconds(link) == pytest.approx(2 * 7 / 8 * 4, rel=1e-4)
    assert ring_all_reduce(8, 8).seconds(link) == pytest.approx(14e-6, rel=1e-2)


def test_a_stage_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="not 4"):
        state_memory(1, stage=4)
    with pytest.raises(ValueError, match="'dots'"):
        activation_bytes(GPT3, 1, remat="dots")


@pytest.mark.parametrize(
    "asked",
    [
        lambda: state_memory(1e9, devices=0),
        lambda: activation_bytes(GPT3, 1, tensor=0),
        lambda: logit_bytes(GPT3, 1, tensor=-1),
        lambda: ring_all_reduce(1e9, 0),
        lambda: tree_all_reduce(1e9, 0),
        lambda: data_parallel(1e9, -2),
        lambda: fully_sharded(1e9, 0),
        lambda: tensor_parallel(GPT3, 1, 0),
    ],
    ids=["states", "activations", "logits", "ring", "tree", "data", "sharded", "tensor"],
)
def test_less_than_one_device_is_refused(asked):
    with pytest.raises(ValueError, match="must be at least 1"):
        asked()


def test_a_peak_of_nothing_is_refused():
    with pytest.raises(ValueError, match="peak must be a positive number"):
        mfu(1e5, 1e9, 0)


def test_logits_of_gpt2():
    # 1024 tokens times 50257 words of 2 bytes: 102.9 MB, and 25.7 MB on each of four devices.
    assert logit_bytes(PRESETS["gpt2-124m"], 1) / 1e6 == pytest.approx(102.9, abs=0.05)
    assert logit_bytes(PRESETS["gpt2-124m"], 1, tensor=4) / 1e6 == pytest.approx(25.7, abs=0.05)
