"""A training by lab 05's reference, as a program of its own that a test can kill: `killed_run.py FOLDER RESULT STEPS`.

Prints each step when it is done; at the end writes every array of model and optimizer to RESULT.
"""

import sys
from pathlib import Path

import numpy as np
import optax
from flax import nnx

from gradlab.handwriting import digit_images
from gradlab.trials import arrays
from gradlab_grading.reference import lab_folders, reference


def run(folder, result, steps):
    """The whole training, or what is left of it."""
    names = reference(lab_folders()["05-training"])
    model = names["CNN"](nnx.Rngs(0), channels=4, dropout=0.5)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    data = digit_images().train
    names["fit"](
        names["train_step"],
        model,
        optimizer,
        data.images,
        data.labels,
        seed=3,
        batch_size=32,
        steps=steps,
        folder=folder,
        every=4,
        on_step=lambda step, *_: print(step, flush=True),
    )
    found = arrays(nnx.state(model)) | {f"optimizer/{k}": v for k, v in arrays(nnx.state(optimizer)).items()}
    np.savez(result, **found)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
