"""Rematerialisation: what a block keeps for its backward pass, and what is computed a second time."""

from collections.abc import Callable

import jax

# From the most memory and the least work to the opposite (Chen et al. 2016 for the last).
POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    # Keeps every matrix product; element-wise work is cheap to repeat.
    "dots": jax.checkpoint_policies.dots_saveable,
    # Keeps products with weights, which cost most, and not those between activations: attention is repeated.
    "weights": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    # Keeps the input of each block.
    "full": jax.checkpoint_policies.nothing_saveable,
}


def remat(block: Callable, name: str, *, in_loop: bool) -> Callable:
    """The block under the policy of that name.

    Args:
        block: a function, of which the derivative will be taken.
        name: one of `POLICIES`.
        in_loop: whether it is the body of a scan, in which the compiler cannot undo the policy. Outside of one it is
            told not to, which XLA's backend for processors ignores: there a policy without a scan saves nothing.

    Raises ValueError for a name that there is not.
    """
    if name not in POLICIES:
        raise ValueError(f"there is no remat policy {name!r}: choose one of {', '.join(POLICIES)}")
    policy = POLICIES[name]
    return block if policy is None else jax.checkpoint(block, policy=policy, prevent_cse=not in_loop)
