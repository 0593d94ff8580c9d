"""Save and resume with Orbax: a step is on disk whole or not at all, and can be read on another mesh."""

from pathlib import Path
from types import TracebackType

import jax
import orbax.checkpoint as ocp

from gradlab.gpt.config import Config
from gradlab.gpt.trainer import Trainer, TrainState


class Checkpoints:
    """The last `keep` checkpoints of a run, in a folder that all processes share. Use it in a `with` block.

    Raises ValueError on restoring where the folder holds a model of other sizes.
    """

    def __init__(self, folder: str | Path, *, every: int, keep: int = 2) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            save_interval_steps=every,
            # On CPU a "copy to the host" may be the buffer itself, which the next step is given.
            enable_async_checkpointing=jax.default_backend() != "cpu",
        )
        self._manager = ocp.CheckpointManager(Path(folder).absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # After an error another process may be gone, and there is nobody to wait for.
        if error is None:
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
        sizes = self._manager.restore(step, args=ocp.args.Composite(sizes=ocp.args.JsonRestore()))["sizes"]
        if sizes != trainer.config.sizes():
            raise ValueError(f"the checkpoint is of a model of {sizes}, this one has {trainer.config.sizes()}")
        content = ocp.args.Composite(state=ocp.args.StandardRestore(trainer.abstract))
        return self._manager.restore(step, args=content)["state"]
