"""The trainer's twin in PyTorch, for `gradlab bench gpt`: equal shapes, precision, loss, optimizer and first weights.

PyTorch is imported when it is asked for: the course does not depend on it.
"""

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.sharding import parameter_path
from gradlab.gpt.trainer import Trainer, rate_schedule

# Flax's; PyTorch's own is ten times as large.
EPSILON = 1e-6
# Where the trainer's matrices have inputs first, a `Linear` has outputs first.
LINEAR = ("qkv", "out", "up", "down")


def build(torch: Any, config: Config) -> Any:
    """A GPT as `gradlab.gpt.model.GPT`: pre-norm, fused QKV, biases, tied embedding, padded vocabulary.

    Called with tokens of shape (b, t + 1), under autocast where the config asks for bfloat16, it gives the loss. The
    stream between blocks has the config's dtype. The logits leave their product in it, too, and are then cast.
    """
    nn, c = torch.nn, config
    dtype = getattr(torch, c.dtype)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm, self.mlp_norm = (nn.LayerNorm(c.width, eps=EPSILON) for _ in range(2))
            self.qkv, self.out = nn.Linear(c.width, 3 * c.width), nn.Linear(c.width, c.width)
            self.up, self.down = nn.Linear(c.width, c.hidden), nn.Linear(c.hidden, c.width)

        def forward(self, x: Any) -> Any:
            b, t, _ = x.shape
            qkv = self.qkv(self.attention_norm(x)).view(b, t, c.heads, 3, c.head_width).permute(3, 0, 2, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, t, c.width))
            return x + self.down(nn.functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(c.padded_vocabulary, c.width)
            self.positions = nn.Embedding(c.context, c.width)
            self.blocks = nn.ModuleList([Block() for _ in range(c.layers)])
            self.norm = nn.LayerNorm(c.width, eps=EPSILON)

        def forward(self, tokens: Any) -> Any:
            seen, wanted = tokens[:, :-1], tokens[:, 1:]
            x = (self.tokens(seen) + self.positions.weight[None, : seen.shape[1]]).to(dtype)
            for block in self.blocks:
                x = block(x)
            logits = nn.functional.linear(self.norm(x), self.tokens.weight).float()
            padding = torch.arange(c.padded_vocabulary, device=logits.device) >= c.vocabulary
            logits = logits.masked_fill(padding, torch.finfo(torch.float32).min)
            return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    return GPT()


def weights(parameters: Any) -> dict[str, np.ndarray]:
    """The trainer's parameters under the names and in the shapes that the twin has for them."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        name, array = parameter_path(path), np.asarray(leaf)
        if name.startswith("blocks."):
            for layer, part in enumerate(array):
                key, turned = _renamed(name.removeprefix("blocks."), part)
                found[f"blocks.{layer}.{key}"] = turned
        else:
            key, turned = _renamed(name, array)
            found[key] = turned
    return found


def _renamed(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    module, kind = name.split(".")
    if module not in LINEAR:
        return f"{module}.{'bias' if kind == 'bias' else 'weight'}", array
    if kind == "bias":
        return name, array.reshape(-1)
    # Several axes of inputs (of `out`) or of outputs (of `qkv`) are one in the twin.
    inputs = array.shape[0] if module != "out" else array.shape[0] * array.shape[1]
    return f"{module}.weight", np.ascontiguousarray(array.reshape(inputs, -1).T)


def measure_torch(
    config: Config,
    recipe: Recipe,
    tokens: Int[np.ndarray, "b t1"],
    time: Callable[[Callable[[], Any], Callable[[Any], Any]], tuple[float, list[Any]]],
) -> tuple[float, list[float], int, int]:
    """Trains the twin from the trainer's first weights.

    Returns:
        Seconds of a step and the loss of each by `time(step, wait)`, how many parameters there are, and the most bytes
        that its tensors have had on the GPU (0 without one).
    """
    torch: Any = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    model = build(torch, config)
    first = weights(Trainer(config, recipe).init().parameters)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in first.items()})
    step = _stepper(torch, model.to(device), recipe, torch.from_numpy(tokens).long().to(device), config.dtype)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        seconds, losses = time(step, lambda loss: loss.item())
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    count = sum(parameter.numel() for parameter in model.parameters())
    return seconds, [loss.item() for loss in losses], count, memory


def _stepper(torch: Any, model: Any, recipe: Recipe, batch: Any, dtype: str) -> Callable[[], Any]:
    """A step of training on the same batch each time; it gives the loss before its update."""
    matrices = [it for it in model.parameters() if it.ndim > 1]
    rest = [it for it in model.parameters() if it.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95), fused=True)
    rates = iter(np.asarray(rate_schedule(recipe)(np.arange(recipe.steps))).tolist())
    compiled, kind = torch.compile(model), batch.device.type

    def step() -> Any:
        rate = next(rates)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(kind, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = compiled(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step
