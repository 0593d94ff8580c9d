"""Partition functions as students write them."""

from jax.sharding import PartitionSpec as P

SPECS = {
    "tokens.embedding": ("model", "data"),
    "positions.embedding": (None, "data"),
    "qkv.kernel": ("data", "model"),
    "qkv.bias": ("model",),
    "out.kernel": ("model", None, "data"),
    "up.kernel": ("data", "model"),
    "up.bias": ("model",),
    "down.kernel": ("model", "data"),
}


def right(name, shape):
    """Columns and rows along "model", and every matrix along "data" too."""
    key = name.removeprefix("blocks.")
    return P(*[None] * (key != name), *SPECS.get(key, ()))


def whole(name, shape):
    return P()


def fsdp(name, shape):
    """Along "data" only."""
    return P(*("data" if size == max(shape) else None for size in shape)) if len(set(shape)) == len(shape) else P()


def columns_only(name, shape):
    """down.kernel is cut into columns as well: what the up projection made must be gathered."""
    return P(None, "data", "model") if name.endswith("down.kernel") else right(name, shape)


def illegal(name, shape):
    """An axis twice, one that there is not, one that does not divide, too many entries, no spec, an exception."""
    wrong = {
        "qkv.kernel": P(None, "data", "data"),
        "out.kernel": P(None, "modle"),
        "qkv.bias": P(None, None, "model"),
        "norm.scale": P(None, "data"),
        "up.bias": ("model",),
    }
    if name.endswith("down.bias"):
        raise KeyError(name)
    key = name.removeprefix("blocks.")
    return wrong.get(key, right(name, shape))


def unwritten(name, shape):
    raise NotImplementedError
