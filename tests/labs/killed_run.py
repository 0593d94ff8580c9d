"""A training by lab 05's reference, as a program of its own: `killed_run.py FOLDER RESULT STEPS [KILLED_AT]`.

Prints for each step its number and a checksum of the batch that it trained on. With KILLED_AT it kills itself after
that step, by a signal that no program can catch. Otherwise it writes every array of model and optimizer to RESULT.
"""

import os
import signal
import sys
import zlib
from pathlib import Path

import numpy as np
import optax
from flax import nnx

from gradlab.handwriting import digit_images
from gradlab.trials import arrays
from gradlab_grading.reference import lab_folders, reference


def run(folder, result, steps, killed_at=None):
    """The whole training, or what is left of it."""
    names = reference(lab_folders()["05-training"])
    model = names["CNN"](nnx.Rngs(0), channels=2, dropout=0.5)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    data = digit_images().train
    seen = []

    def train_step(model, optimizer, inputs, labels):
        seen.append(zlib.crc32(np.asarray(inputs).tobytes() + np.asarray(labels).tobytes()))
        return names["train_step"](model, optimizer, inputs, labels)

    def on_step(step, *_):
        print(step, seen[-1], flush=True)
        if step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = {"seed": 3, "batch_size": 32, "steps": steps, "folder": folder, "every": 4}
    names["fit"](train_step, model, optimizer, data.images, data.labels, **settings, on_step=on_step)
    np.savez(
        result, **arrays(nnx.state(model)), **{f"optimizer/{k}": v for k, v in arrays(nnx.state(optimizer)).items()}
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
