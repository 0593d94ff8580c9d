"""Functions that cross the seam by name: public dataclasses of this package with plain fields."""

import dataclasses
import importlib
from typing import Any, TypeVar

T = TypeVar("T")

_NAMES: dict[type, str] = {}
_HOME = "gradlab."


def portable(cls: type[T]) -> type[T]:
    """Let instances of a frozen dataclass of `gradlab` cross the seam, by import name and fields.

    This is how a check hands a *function* to a student's code: the other side imports its own copy of the class.
    Bound methods cross too, so `surface.gradient` can be an argument.
    """
    if not (dataclasses.is_dataclass(cls) and cls.__module__.startswith(_HOME)):
        raise TypeError(f"{cls.__qualname__} must be a dataclass defined in gradlab to cross the seam")
    _NAMES[cls] = f"{cls.__module__}:{cls.__qualname__}"
    return cls


def name_of(cls: type) -> str | None:
    """The import name under which instances of exactly this class cross, or None."""
    return _NAMES.get(cls)


def fields_of(instance: Any) -> dict[str, Any]:
    """The fields of a portable, by name, as they are sent."""
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def rebuild(name: str, fields: dict[str, Any]) -> Any:
    """The portable of that import name; only classes that were marked `@portable` are accepted."""
    module, _, qualname = name.partition(":")
    if not module.startswith(_HOME):
        raise ValueError(f"{name} is not a class of gradlab")
    cls = getattr(importlib.import_module(module), qualname, None)
    if not isinstance(cls, type) or name_of(cls) != name:
        raise ValueError(f"{name} is not marked @portable")
    return cls(**fields)
