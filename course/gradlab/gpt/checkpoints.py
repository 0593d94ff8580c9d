"""Save and resume with Orbax: a step is on disk whole or not at all, and can be read on another mesh."""

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental.multihost_utils import sync_global_devices

from gradlab.gpt.config import Config
from gradlab.gpt.trainer import Trainer, TrainState


def _wait_over_devices(*, key: str, timeout_ms: int) -> None:  # Gloo has a limit of its own, not this one
    """Waits for all processes, and fails at once where one is gone.

    Orbax would wait at JAX's coordination service, which takes a heartbeat to notice, and then aborts this process
    before it can say why. Only for saving that is not asynchronous: collectives of two threads would mix.
    """
    if jax.process_count() > 1:
        sync_global_devices(key)


class Checkpoints:
    """The last `keep` checkpoints of a run, in a folder that all processes share. Use it in a `with` block.

    The folder is made at once. Raises ValueError for less than one step between checkpoints, OSError where the folder
    cannot be made or written in; on restoring, ValueError for a model of other sizes and for what cannot be read.
    """

    def __init__(self, folder: str | Path, *, every: int, keep: int = 2) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, not {every}")
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(errno.EACCES, "this folder cannot be written in", str(folder))
        on_cpu = jax.default_backend() == "cpu"
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            save_interval_steps=every,
            # On CPU a "copy to the host" may be the buffer itself, which the next step is given.
            enable_async_checkpointing=not on_cpu,
            async_options=ocp.AsyncOptions(barrier_sync_fn=_wait_over_devices) if on_cpu else None,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # After an error another process may be gone, and there is nobody to wait for. One alone ends what it saves.
        if error is None or jax.process_count() == 1:
            self._manager.close()

    @property
    def latest(self) -> int | None:
        """The last step that is saved whole, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, config: Config, *, now: bool = False) -> bool:
        """Save the state after `step` steps where that is due, or `now`; says whether it did."""
        if now and self.latest == step:
            return False
        content = ocp.args.Composite(state=ocp.args.StandardSave(state), sizes=ocp.args.JsonSave(config.sizes()))
        return self._manager.save(step, args=content, force=now)

    def restore(self, trainer: Trainer) -> TrainState | None:
        """The latest state, each slice read by the device that needs it; None where there is none."""
        step = self.latest
        if step is None:
            return None
        sizes = self._read(step, "sizes", ocp.args.JsonRestore())
        if sizes != trainer.config.sizes():
            raise ValueError(
                f"the checkpoint is of a model of {sizes}, this one has {trainer.config.sizes()}: "
                "give the same model, or another folder"
            )
        return self._read(step, "state", ocp.args.StandardRestore(trainer.abstract))

    def _read(self, step: int, item: str, how: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**{item: how}))[item]
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"the checkpoint {self.folder / str(step)} cannot be read: move it away to go on from the one before, "
                f"or give another folder ({str(error).splitlines()[0]})"
            ) from error
