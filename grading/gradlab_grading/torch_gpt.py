"""The trainer's twin in PyTorch, for `gradlab bench gpt`: the same shapes, precision, loss and optimizer.

PyTorch is imported when it is asked for: the course does not depend on it.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int

from gradlab.gpt.config import Config, Recipe


def build(torch: Any, config: Config) -> Any:
    """A GPT as `gradlab.gpt.model.GPT`: pre-norm, fused QKV, biases, tied embedding, padded vocabulary."""
    nn, c = torch.nn, config

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm, self.mlp_norm = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
            self.qkv, self.out = nn.Linear(c.width, 3 * c.width), nn.Linear(c.width, c.width)
            self.up, self.down = nn.Linear(c.width, c.hidden), nn.Linear(c.hidden, c.width)

        def forward(self, x: Any) -> Any:
            b, t, _ = x.shape
            qkv = self.qkv(self.attention_norm(x)).view(b, t, 3, c.heads, c.head_width).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, t, c.width))
            return x + self.down(nn.functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(c.padded_vocabulary, c.width)
            self.positions = nn.Embedding(c.context, c.width)
            self.blocks = nn.ModuleList([Block() for _ in range(c.layers)])
            self.norm = nn.LayerNorm(c.width)
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens: Any) -> Any:
            seen, wanted = tokens[:, :-1], tokens[:, 1:]
            x = self.tokens(seen) + self.positions.weight[None, : seen.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = nn.functional.linear(self.norm(x), self.tokens.weight)
            return nn.functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten())

    return GPT()


def measure_torch(
    config: Config,
    recipe: Recipe,
    tokens: Int[np.ndarray, "b t1"],
    time: Callable[[Callable[[], Any], Callable[[Any], Any]], float],
) -> tuple[float, float]:
    """Seconds of a step by `time(step, wait)`, and the most bytes that its tensors have had on the GPU."""
    torch: Any = importlib.import_module("torch")
    torch.set_float32_matmul_precision("high")
    model = build(torch, config).cuda()
    matrices = [it for it in model.parameters() if it.ndim > 1]
    rest = [it for it in model.parameters() if it.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95), fused=True)
    compiled = torch.compile(model)
    batch = torch.from_numpy(tokens).long().cuda()

    def step() -> Any:
        with torch.autocast("cuda", torch.bfloat16):
            loss = compiled(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return time(step, lambda _: torch.cuda.synchronize()), torch.cuda.max_memory_allocated()
