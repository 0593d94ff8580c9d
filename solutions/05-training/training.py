# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 05: Training
#
# You have a model, a loss and an optimizer. Between them and a trained network lies a loop, and the loop is where most of
# the time of most projects goes. It drops out at the wrong moment, it forgets its optimizer when it is restarted, it
# reports a number that was chosen by looking. None of this raises an error. In this lab you write the loop so that it
# is right, and so that you can pull the plug at any moment and lose nothing.
#
# You need about five hours. The [chapter](../../course/chapters/05-training.md) has the reasons; you can do the lab without it.
#
# **How to work.** Replace `raise NotImplementedError` by your code, run the cell, and run the check below it. The check
# says what came back, what was wanted, and which known mistake it looks like. Hidden checks ask the same questions with
# other numbers when the lab is graded. Hints are folded: open them one at a time.
#
# **Flax NNX in five lines.** A model is a Python object, an `nnx.Module`; its arrays are attributes, and training changes
# them in place. Parameters are `nnx.Param`, running statistics `nnx.BatchStat`, random state `nnx.RngState`.
# `nnx.state(model)` gives them all, `nnx.state(model, nnx.Param)` those of one kind, `nnx.update(model, state)` writes them
# back. `model.train()` and `model.eval()` switch dropout and batch norm. `nnx.jit` and `nnx.value_and_grad` are JAX's, for
# functions of such objects.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from jaxtyping import Array, Float, Int

from gradlab import corpus, predict
from gradlab.bar import Bar
from gradlab.checks import training as checks
from gradlab.handwriting import digit_images
from gradlab.trials import Stream
from gradlab.widgets.behaviour.module import behaviour_of
from gradlab.widgets.confusion import Confusion
from gradlab.widgets.dashboard import Dashboard
from gradlab.widgets.gradient_flow.steps import StepFlow

# %% [markdown]
# ## 1. A network with batch norm and dropout
#
# *Difficulty: easy. Importance: high. About 25 minutes. 10 points.*
#
# Two of its layers behave differently in training and afterwards. *Batch norm* (Ioffe and Szegedy 2015) normalises each
# channel by the mean and variance of the batch while training, and keeps running averages of both; afterwards it uses the
# averages, so that an answer does not depend on who else is in the batch. *Dropout* (Srivastava et al. 2014) sets each
# feature to zero with probability $p$ and divides the rest by $1-p$; afterwards it does nothing.
#
# The network, for images of 8 x 8 pixels and one channel:
#
# 1. convolution 3 x 3 to `channels`, batch norm, relu, maximum over 2 x 2;
# 2. convolution 3 x 3 to `2 * channels`, batch norm, relu, maximum over 2 x 2;
# 3. flatten, dropout, linear to 10 logits.
#
# Give batch norm `momentum=0.9`: the default of 0.99 needs hundreds of steps to settle.
#
# <details><summary>Hint 1: an idea</summary>
#
# Layers are made in `__init__` and called in `__call__`. `nnx.Conv` pads so that the size stays.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `nnx.Conv(1, channels, (3, 3), rngs=rngs)`, `nnx.BatchNorm(channels, momentum=0.9, rngs=rngs)`, `nnx.max_pool`. Two poolings leave 2 x 2 pixels of `2 * channels` channels.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# One stage is `nnx.max_pool(nnx.relu(norm(conv(x))), (2, 2), strides=(2, 2))`. After two of them, flatten with
# `x.reshape(len(x), -1)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "cnn", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CNN(nnx.Module):
    """Two convolutions with batch norm, dropout, and a linear layer.

    Args:
        rngs: where the weights and the dropout masks come from.
        channels: channels of the first convolution; the second has twice as many.
        dropout: the probability with which a feature is set to zero in training.
    """

    def __init__(self, rngs: nnx.Rngs, channels: int = 16, dropout: float = 0.25):
        ### BEGIN SOLUTION
        self.conv1 = nnx.Conv(1, channels, (3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(channels, momentum=0.9, rngs=rngs)
        self.conv2 = nnx.Conv(channels, 2 * channels, (3, 3), rngs=rngs)
        self.norm2 = nnx.BatchNorm(2 * channels, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.head = nnx.Linear(2 * 2 * 2 * channels, 10, rngs=rngs)
        ### END SOLUTION

    def __call__(self, images: Float[Array, "b 8 8 1"]) -> Float[Array, "b 10"]:
        """The logits of each image; no softmax."""
        ### BEGIN SOLUTION
        x = nnx.max_pool(nnx.relu(self.norm1(self.conv1(images))), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.norm2(self.conv2(x))), (2, 2), strides=(2, 2))
        return self.head(self.dropout(x.reshape(len(x), -1)))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-network", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.network(CNN)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.network(CNN)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. One step of training
#
# *Difficulty: medium. Importance: high. About 30 minutes. 10 points.*
#
# A step computes the mean cross-entropy of a batch, its gradient, and lets the optimizer move the parameters. `nnx.jit`
# traces the function once and then runs the compiled program. It traces again whenever it sees something new: another
# shape, another mode, a function that was made afresh. A step that is traced each time is a hundred times slower and gives
# the same numbers, so nobody notices. The check counts the traces.
#
# `evaluate` leaves a model in evaluation mode, so the step switches to training mode itself.
#
# <details><summary>Hint 1: an idea</summary>
#
# `nnx.value_and_grad(loss, has_aux=True)` differentiates with respect to the model's parameters. `optimizer.update(model, gradients)` moves them.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The decorator `@nnx.jit` is there already. Inside: `model.train()`, a function `loss(model)` that returns the mean loss and the logits, its value and gradient, the update.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()`; accuracy is `(logits.argmax(-1) == labels).mean()`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "train-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
@nnx.jit
def train_step(
    model: nnx.Module, optimizer: nnx.Optimizer, inputs: Float[Array, "b ..."], labels: Int[Array, "b ..."]
) -> tuple[Float[Array, ""], Float[Array, ""], nnx.State]:
    """One step on one batch, in training mode; model and optimizer are changed in place. Traced once by `nnx.jit`.

    Args:
        model: gives logits, labels' shape and one more axis of classes.
        optimizer: an `nnx.Optimizer` of the model's parameters.
        inputs, labels: the batch.

    Returns:
        The mean cross-entropy and the share of right answers before the step, and the gradients.
    """
    ### BEGIN SOLUTION
    model.train()

    def mean_loss(model):
        logits = model(inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    (loss, logits), grads = nnx.value_and_grad(mean_loss, has_aux=True)(model)
    optimizer.update(model, grads)
    return loss, (logits.argmax(-1) == labels).mean(), grads
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-train-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.train_step(train_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.train_step(train_step)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your step trains a deep network on digits: twenty layers of 64 units. It is the map of lab 03, now while your
# step moves the weights. Let them start too small: the gradient at the input is a millionth of the output's, and SGD moves
# nothing. Switch to Adam. The gradient vanishes as before, and the updates do not, because Adam divides each gradient by its
# own size. After some steps the gradient arrives. Or mend the cause, with layer norm or residual connections.

# %%
StepFlow(train_step, depth=20)

# %% [markdown]
# ### Predict: how often is it traced?
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# An epoch over 100 examples in batches of 32 has three full batches and one of 4. You train for 5 epochs, 20 steps. How
# often does JAX trace the step? In the next cell, write `trace_guess =` and your number, and run it before you
# go on.

# %% nbgrader={"grade": false, "grade_id": "trace-guess", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
trace_guess = 1
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-trace-guess", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.trace_guess(trace_guess)

# %%
traced = 0


class Counted(CNN):
    """Counts how often Python runs through it, which it does only while it is traced."""

    def __call__(self, images):
        global traced
        traced += 1
        return super().__call__(images)


counted = Counted(nnx.Rngs(0), channels=4)
counted_optimizer = nnx.Optimizer(counted, optax.sgd(0.1), wrt=nnx.Param)
few = digit_images().train
for step in range(20):
    rows = slice(32 * (step % 4), min(32 * (step % 4) + 32, 100))
    train_step(counted, counted_optimizer, jnp.asarray(few.images[rows]), jnp.asarray(few.labels[rows]))
predict.reveal(trace_guess, traced, "traces in 20 steps with a short last batch")

# %% [markdown]
# Once for each shape. Two are harmless; a text cut into sentences of every length gives hundreds. That is why batches in
# exercise 4 all have one size.
#
# ## 3. Evaluation
#
# *Difficulty: easy. Importance: high. About 20 minutes. 8 points.*
#
# Accuracy is a mean over *examples*. The last batch is often short, and the mean of the batches' means counts its
# examples too much. So add up over all examples and divide once: `batch_totals` sums over a batch, and `evaluate` over the
# batches. Evaluation must not change the model: neither its statistics nor, by dropout, its answers.
#
# <details><summary>Hint 1: an idea</summary>
#
# Sum, do not average, within a batch.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `model.eval()`; walk through the examples in slices of `batch_size`; add up the losses and the right answers; divide both by the number of examples.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `batch_totals` does the work of a batch. It stands outside of `evaluate`: a function that is defined inside would be
# traced at each call. Turn its two numbers into Python's with `float` before you add them up.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "evaluate", "locked": false, "schema_version": 3, "solution": true, "task": false}
@nnx.jit
def batch_totals(
    model: nnx.Module, inputs: Float[Array, "b ..."], labels: Int[Array, " b"]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """The sum of the losses of one batch, and how many answers are right."""
    ### BEGIN SOLUTION
    logits = model(inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.sum(), (logits.argmax(-1) == labels).sum()
    ### END SOLUTION


def evaluate(
    model: nnx.Module, inputs: Float[Array, "n ..."], labels: Int[Array, " n"], batch_size: int
) -> dict[str, float]:
    """`{"loss": ..., "accuracy": ...}` in evaluation mode, as means over all examples.

    Args:
        model: switched to evaluation mode; its parameters and statistics stay as they are.
        inputs, labels: the examples, gone through in order in batches of `batch_size`; the last one may be short.
    """
    ### BEGIN SOLUTION
    model.eval()
    loss = right = 0.0
    for first in range(0, len(labels), batch_size):
        chosen = slice(first, first + batch_size)
        batch_loss, batch_right = batch_totals(model, inputs[chosen], labels[chosen])
        loss, right = loss + float(batch_loss), right + float(batch_right)
    return {"loss": loss / len(labels), "accuracy": right / len(labels)}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-evaluate", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.evaluate(evaluate)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.evaluate(evaluate)
### END HIDDEN TESTS

# %% [markdown]
# ## 4. The order of the data
#
# *Difficulty: easy. Importance: high. About 15 minutes. 5 points.*
#
# A run that is resumed at step 1000 must see the batch that it would have seen. The simplest way is to have no state at all:
# the rows of a batch are a *function* of the seed and of the step. Each epoch has its own permutation, from its own random
# key. What does not fill a batch at the end of an epoch is left out of this epoch, so that all batches have one shape; the
# next permutation leaves out others.
#
# <details><summary>Hint 1: an idea</summary>
#
# Which epoch is step 17, if an epoch has 5 batches? Which batch of it?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# An epoch has `examples // batch_size` batches; `divmod` of the step by that gives the epoch and the place in it. Permute
# the rows by a key that depends on seed and epoch, and slice.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jax.random.fold_in(jax.random.key(seed), epoch)` is the epoch's key; `jax.random.permutation(key, examples)` its order.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "batch-at", "locked": false, "schema_version": 3, "solution": true, "task": false}
def batch_at(seed: int, step: int, examples: int, batch_size: int) -> Int[np.ndarray, " b"]:
    """The rows of the batch at a step, counted from 0: a function of its arguments, and of nothing else.

    Each epoch of `examples // batch_size` steps visits each row at most once, in an order of its own.
    """
    ### BEGIN SOLUTION
    epoch, place = divmod(step, examples // batch_size)
    order = jax.random.permutation(jax.random.fold_in(jax.random.key(seed), epoch), examples)
    return np.asarray(order)[place * batch_size : (place + 1) * batch_size]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-batch-at", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.batch_at(batch_at)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.batch_at(batch_at)
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Checkpoints
#
# *Difficulty: medium. Importance: high. About 35 minutes. 10 points.*
#
# What must be saved so that a run goes on as if nothing had happened? The parameters, everybody says. Then Adam's moments
# are zero again and its count too, and the loss jumps. Then batch norm's averages. Then the state of the random numbers, or
# dropout repeats the masks of the first steps. And the step, or the data starts again. The check compares the resumed run
# with one that was never stopped, *bit by bit*.
#
# Orbax writes a pytree of arrays to a folder, and renames it into place when all of it is there: a process that is killed
# while it saves leaves the older checkpoint whole, and a folder with another name. Save each step into a folder of its own
# below `folder`.
#
# <details><summary>Hint 1: an idea</summary>
#
# `nnx.state(model)` holds parameters, statistics and random state; `nnx.state(optimizer)` the moments and the count. The folder's name can be the step.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Save with `ocp.StandardCheckpointer()`, used in a `with` block, which waits until all is written; Orbax wants an absolute path. To restore, find the largest step (a number: as text, '9' is after '10'), give Orbax the fresh states as a template, and `nnx.update` both objects.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `checkpointer.save(self.folder / str(step), {'model': nnx.state(model), 'optimizer': nnx.state(optimizer)}, force=True)` and `checkpointer.restore(path, template)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "checkpoints", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Checkpoints:
    """The checkpoints of one run, below `folder`, which need not be there yet."""

    def __init__(self, folder: Path):
        self.folder = Path(folder).absolute()

    def save(self, step: int, model: nnx.Module, optimizer: nnx.Optimizer) -> None:
        """Writes, with Orbax, all that is needed to go on after `step` steps; it is on disk on return."""
        ### BEGIN SOLUTION
        whole = {"model": nnx.state(model), "optimizer": nnx.state(optimizer)}
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(self.folder / str(step), whole, force=True)
        ### END SOLUTION

    def restore(self, model: nnx.Module, optimizer: nnx.Optimizer) -> int:
        """Brings model and optimizer, in place, to the newest checkpoint.

        Returns:
            The number of steps that were done then; 0, and nothing is changed, where there is no checkpoint.
        """
        ### BEGIN SOLUTION
        steps = [int(path.name) for path in self.folder.glob("*") if path.name.isdigit()]
        if not steps:
            return 0
        template = {"model": nnx.state(model), "optimizer": nnx.state(optimizer)}
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(self.folder / str(max(steps)), template)
        nnx.update(model, found["model"])
        nnx.update(optimizer, found["optimizer"])
        return max(steps)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-checkpoints", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.checkpoints(Checkpoints)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.checkpoints(Checkpoints)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. A loop that can be stopped
#
# *Difficulty: medium. Importance: high. About 30 minutes. 9 points.*
#
# Now the loop itself. It begins with what the newest checkpoint says, so starting and resuming are one thing. It saves after
# each `every` steps, and at the end. An interrupt (the stop button, Ctrl-C, a power cut) needs no code of yours: what was
# done since the last checkpoint is done again, with the same batches and the same random numbers, and ends the same.
#
# After each step it calls `on_step(step, loss, accuracy, gradients)`, if there is one. The progress bar and the
# dashboard listen there. Steps are counted from 1 here: after the first step, one is done.
#
# <details><summary>Hint 1: an idea</summary>
#
# `Checkpoints(folder).restore(model, optimizer)` tells how many steps are done. Where does the loop start?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# For `step` from `done + 1` to `steps`: rows from `batch_at(seed, step - 1, ...)`, one `train_step`, save if it is time, then `on_step`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# It is time to save when `step % every` is 0, and when `step` is the last.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "fit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit(
    train_step: Callable,
    model: nnx.Module,
    optimizer: nnx.Optimizer,
    inputs: Float[np.ndarray, "n ..."],
    labels: Int[np.ndarray, "n ..."],
    *,
    seed: int,
    batch_size: int,
    steps: int,
    folder: Path,
    every: int,
    on_step: Callable | None = None,
) -> int:
    """Trains until `steps` steps are done in all, from the newest checkpoint in `folder` if there is one.

    Args:
        train_step: `(model, optimizer, inputs, labels) -> (loss, accuracy, gradients)`.
        inputs, labels: all examples; the step that makes `step` of them done gets the rows `batch_at(seed, step - 1, ...)`.
        steps: how many steps are to be done when it returns, those before the checkpoint included.
        folder, every: a checkpoint is saved there after each `every` steps, and after the last.
        on_step: called after each step with `(step, loss, accuracy, gradients)`; what it raises ends the training.

    Returns:
        The number of steps done.
    """
    ### BEGIN SOLUTION
    checkpoints = Checkpoints(folder)
    done = checkpoints.restore(model, optimizer)
    for step in range(done + 1, steps + 1):
        rows = batch_at(seed, step - 1, len(labels), batch_size)
        told = train_step(model, optimizer, jnp.asarray(inputs[rows]), jnp.asarray(labels[rows]))
        if step % every == 0 or step == steps:
            checkpoints.save(step, model, optimizer)
        if on_step is not None:
            on_step(step, *told)
    return max(done, steps)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-fit", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 9}
checks.fit(fit)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.fit(fit)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your loop, your step and your network, live. *Start* runs the loop, *Pause* holds it between two steps, *Step*
# makes one more. Move the learning rate while it runs. Watch the gradients of the first layer: which learning rate
# makes them die, and which makes the loss jump? The updates, divided by the size of the weights, should be about a thousandth.
#
# Stop it, run the cell again, and press *Start*: it goes on from its checkpoint, even after a restart of the kernel. To
# begin anew, run `import shutil; shutil.rmtree(live_folder)` first. Do so too when you have changed the network: the old
# checkpoint does not fit it.

# %%
data = digit_images()
live = CNN(nnx.Rngs(0), channels=8)
live_optimizer = nnx.Optimizer(live, optax.inject_hyperparams(optax.adam)(learning_rate=1e-3), wrt=nnx.Param)
live_folder = Path.home() / ".cache" / "gradlab" / "digits"


def run(on_step):
    """The training that the dashboard starts."""
    fit(
        train_step,
        live,
        live_optimizer,
        *data.train,
        seed=0,
        batch_size=64,
        steps=600,
        folder=live_folder,
        every=100,
        on_step=on_step,
    )


Dashboard(run, live, live_optimizer, steps=600)

# %% [markdown]
# ## 7. Overfit fifty examples
#
# *Difficulty: easy. Importance: high. About 15 minutes. 5 points.*
#
# Before a long training, see whether the loop can learn at all: a network with 10,000 parameters must know fifty examples
# by heart. If it does not, something is broken, and it is found in seconds. Make the accuracy on these examples, in
# evaluation mode, 100 %. The grader gives your function fifty others: let it train for some steps more than it needs here.
#
# <details><summary>Hint 1: an idea</summary>
#
# Fifty examples fit into one batch: call your `train_step` again and again.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Make a `CNN` without dropout and an Adam optimizer, and do some 60 steps with all examples.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)`. Batch norm's averages need some dozens of steps to arrive.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "memorize", "locked": false, "schema_version": 3, "solution": true, "task": false}
def memorize(images: Float[np.ndarray, "50 8 8 1"], labels: Int[np.ndarray, "50"]) -> CNN:
    """A network that has learnt these examples by heart: in evaluation mode, every answer is right."""
    ### BEGIN SOLUTION
    model = CNN(nnx.Rngs(0), channels=8, dropout=0.0)
    optimizer = nnx.Optimizer(model, optax.adam(5e-3), wrt=nnx.Param)
    for _ in range(60):
        train_step(model, optimizer, jnp.asarray(images), jnp.asarray(labels))
    return model
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-memorize", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.memorize(memorize)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.memorize(memorize)
### END HIDDEN TESTS

# %% [markdown]
# ## 8. Ninety-seven percent
#
# *Difficulty: open. Importance: high. About 25 minutes. 8 points.*
#
# You get 180 batches of 64 digits, and no more. Return a network that reads **97 %** of digits that it has never seen.
# The check splits the data in its own way, trains with your function, and asks for the answers to 600 others. The grader
# splits them once more. Luck alone moves the result by half a percent, so there 96 % is enough.
#
# <details><summary>Hint 1: an idea</summary>
#
# A schedule that ends at zero is worth a lot when the budget is fixed: `optax.cosine_decay_schedule`.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# One pass over `batches`, your `train_step`, Adam or AdamW with a peak of 0.005 or so that falls along a cosine. A wider
# network with more dropout (24 channels, 0.4) reads unseen digits better than the default.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# The learning rate of the optimizer may be a function of the step: `optax.adamw(optax.cosine_decay_schedule(peak, steps))`,
# where `len(batches)` is the number of steps.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "train-on-budget", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_on_budget(batches: Stream) -> CNN:
    """A network trained on the batches, gone through once: `for images, labels in batches`; there are `len(batches)`."""
    ### BEGIN SOLUTION
    model = CNN(nnx.Rngs(1), channels=24, dropout=0.4)
    schedule = optax.cosine_decay_schedule(5e-3, len(batches))
    optimizer = nnx.Optimizer(model, optax.adamw(schedule), wrt=nnx.Param)
    for images, digits in batches:
        train_step(model, optimizer, jnp.asarray(images), jnp.asarray(digits))
    return model
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-train-on-budget", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.train_on_budget(train_on_budget)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.train_on_budget(train_on_budget)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** What does it still get wrong? Choose a cell of the table, and look at the images in it.

# %%
with Bar("reading digits", 180) as bar:
    reader = train_on_budget(bar.over(Stream(seed=0, steps=180)))
print("validation:", evaluate(reader, *data.validation, 128))
reader.eval()
Confusion(
    data.validation.images[..., 0], data.validation.labels, np.asarray(reader(jnp.asarray(data.validation.images)))
)

# %% [markdown]
# ## 9. Early stopping
#
# *Difficulty: medium. Importance: high. About 25 minutes. 7 points.*
#
# A network that has learnt what is common to all examples goes on to learn what is peculiar to its own. The training loss
# still falls, the validation loss turns. Keep the model of the best epoch, and stop when `patience` epochs in a row have
# brought nothing better (Prechelt 1998). Better means lower by more than `min_delta`.
#
# `nnx.state(model)` does not copy: it shows the very variables that the next epoch changes.
#
# <details><summary>Hint 1: an idea</summary>
#
# Three things to remember: the best loss, its epoch, and a copy of the state at that time.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# After each epoch: append the loss; if it is better, keep it, the epoch and `jax.tree.map(jnp.copy, nnx.state(model))`; else, if `patience` epochs have passed since the best one, stop. At the end, `nnx.update(model, kept)`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# The new loss is better if it is below `best_loss - min_delta`. If it is not, and `epoch - best_epoch` has reached
# `patience`, break.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "early-stopping", "locked": false, "schema_version": 3, "solution": true, "task": false}
def early_stopping(
    model: nnx.Module,
    train_epoch: Callable[[nnx.Module], None],
    validate: Callable[[nnx.Module], float],
    *,
    patience: int,
    min_delta: float,
    max_epochs: int,
) -> tuple[int, list[float]]:
    """Trains until the validation loss stops falling, and leaves the model as it was after its best epoch.

    Args:
        train_epoch: trains the model for one epoch, in place.
        validate: the model's validation loss.
        patience: stop when so many epochs in a row were not better than the best one before them.
        min_delta: an epoch is better if its loss is lower than the best so far by more than this.
        max_epochs: train no longer than this, at least 1.

    Returns:
        The best epoch, counted from 1, and the validation losses of all epochs that were trained.
    """
    ### BEGIN SOLUTION
    best_loss, best_epoch, kept, history = float("inf"), 0, nnx.state(model), []
    for epoch in range(1, max_epochs + 1):
        train_epoch(model)
        history.append(validate(model))
        if history[-1] < best_loss - min_delta:
            best_loss, best_epoch = history[-1], epoch
            kept = jax.tree.map(jnp.copy, nnx.state(model))
        elif epoch - best_epoch >= patience:
            break
    nnx.update(model, kept)
    return best_epoch, history
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-early-stopping", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.early_stopping(early_stopping)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.early_stopping(early_stopping)
### END HIDDEN TESTS

# %% [markdown]
# ## 10. A study, reported honestly
#
# *Difficulty: medium. Importance: high. About 25 minutes. 7 points.*
#
# Which regularisation is best? One run of each proves little: seeds differ by more than settings do. So train each setting
# with several seeds and compare the means of the *validation* accuracy. The winner's validation accuracy is too good: it
# won partly by luck. An honest number comes from data that took no part in the choice, so the *test* part is opened once,
# for the setting that was chosen, and for no other.
#
# <details><summary>Hint 1: an idea</summary>
#
# Validation chooses, test reports.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# For each setting, the mean over seeds of `score(model, 'validation')`. Take the best. Then the mean over seeds of `score(model, 'test')`, of its models only.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# Keep the models in a dictionary, a list of them for each setting: those of the winner are scored once more.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "regularization-study", "locked": false, "schema_version": 3, "solution": true, "task": false}
def regularization_study(train: Callable, score: Callable, settings: list[str], seeds: list[int]) -> dict:
    """Compares settings by validation accuracy and reports the test accuracy of the one that was chosen.

    Args:
        train: `(setting, seed) -> model`, a training from the start.
        score: `(model, part) -> accuracy`, where part is "validation" or "test".
        settings, seeds: each setting is trained with each seed.

    Returns:
        `{"validation": {setting: mean over seeds}, "chosen": setting, "test": mean over its seeds}`.
    """
    ### BEGIN SOLUTION
    models = {setting: [train(setting, seed) for seed in seeds] for setting in settings}
    mean = {name: float(np.mean([score(model, "validation") for model in models[name]])) for name in settings}
    chosen = max(mean, key=lambda name: mean[name])
    return {"validation": mean, "chosen": chosen, "test": float(np.mean([score(m, "test") for m in models[chosen]]))}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-regularization-study", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.regularization_study(regularization_study)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.regularization_study(regularization_study)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** A real study on 100 training examples, where a network that is free to do so learns them by heart.

# %%
SETTINGS = {"none": (0.0, 0.0), "dropout": (0.5, 0.0), "weight decay": (0.0, 0.5)}
# Made once: another optimizer object at each training would be another trace.
decaying = optax.inject_hyperparams(optax.adamw)(3e-3, weight_decay=0.0)
seeds = [0, 1, 2]

with Bar("study", len(SETTINGS) * len(seeds)) as bar:

    def train_setting(setting, seed):
        """A training on 100 examples from the start."""
        dropout, decay = SETTINGS[setting]
        model = CNN(nnx.Rngs(seed), channels=8, dropout=dropout)
        optimizer = nnx.Optimizer(model, decaying, wrt=nnx.Param)
        # float32 as it was: a number of another type would be another trace.
        optimizer.opt_state.hyperparams["weight_decay"][...] = jnp.asarray(decay, jnp.float32)
        for step in range(60):
            rows = batch_at(seed, step, 100, 50)
            loss, _, _ = train_step(
                model, optimizer, jnp.asarray(data.train.images[rows]), jnp.asarray(data.train.labels[rows])
            )
        bar.show(bar.step + 1, training_loss=loss)
        return model

    study = regularization_study(
        train_setting, lambda model, part: evaluate(model, *getattr(data, part), 300)["accuracy"], list(SETTINGS), seeds
    )
study

# %% [markdown]
# **See it on a plane.** Here a network of two inputs learns two moons from 80 points, by your `train_step`. Choose a brush,
# put three or four points of the wrong class into a moon, and let it train. The boundary goes around each of them, and the
# test loss turns while the training loss falls. Then say `dropout=0.5` and do it again.


# %% nbgrader={"grade": false, "grade_id": "planar", "locked": true, "schema_version": 3, "solution": false, "task": false}
class Planar(nnx.Module):
    """A network of two inputs and two classes, with dropout."""

    def __init__(self, rngs: nnx.Rngs, dropout: float):
        self.enter, self.hidden = nnx.Linear(2, 48, rngs=rngs), nnx.Linear(48, 48, rngs=rngs)
        self.drop, self.leave = nnx.Dropout(dropout, rngs=rngs), nnx.Linear(48, 2, rngs=rngs)

    def __call__(self, x):
        return self.leave(self.drop(nnx.relu(self.hidden(self.drop(nnx.relu(self.enter(x)))))))


# %%
planar = Planar(nnx.Rngs(0), dropout=0.0)
planar_optimizer = nnx.Optimizer(planar, optax.inject_hyperparams(optax.adam)(0.01), wrt=nnx.Param)
behaviour_of(planar, planar_optimizer, train_step, learning_rate=0.01)

# %% [markdown]
# ## 11. Text: what comes next
#
# *Difficulty: easy. Importance: high. About 10 minutes. 3 points.*
#
# The same loop trains a language model. The data is one long text, here the source code of Python's own standard library,
# as a row of codes. An example is a window of it, and its labels are the same window, one character later: at each place
# the model is asked for the next character.
#
# <details><summary>Hint 1: an idea</summary>
#
# A window of `length + 1` characters holds both.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Make a table of positions, `starts` down and `0 ... length - 1` across; take the text there, and at one more.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `starts[:, None] + np.arange(length)` is that table, and NumPy takes a table as an index.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "character-batch", "locked": false, "schema_version": 3, "solution": true, "task": false}
def character_batch(
    text: Int[np.ndarray, " n"], starts: Int[np.ndarray, " b"], length: int
) -> tuple[Int[np.ndarray, "b length"], Int[np.ndarray, "b length"]]:
    """Windows of the text that begin at `starts`, and for each character the one that follows it.

    Args:
        text: codes of characters.
        starts: where each window begins; from 0 to `n - length - 1`.
        length: characters in a window.
    """
    ### BEGIN SOLUTION
    places = np.asarray(starts)[:, None] + np.arange(length)[None, :]
    return text[places], text[places + 1]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-character-batch", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.character_batch(character_batch)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.character_batch(character_batch)
### END HIDDEN TESTS

# %% [markdown]
# ## 12. A character model
#
# *Difficulty: medium. Importance: high. About 20 minutes. 6 points.*
#
# Each character becomes a vector, a recurrent network carries a state from left to right, and a linear layer turns each
# state into logits for the next character. The logits at place $t$ may depend on the characters up to $t$, that
# one included, and on none after it.
#
# <details><summary>Hint 1: an idea</summary>
#
# `nnx.Embed`, `nnx.RNN` around a cell, `nnx.Linear`.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `nnx.RNN(nnx.GRUCell(width, width, rngs=rngs))` maps (batch, time, width) to the same. In lab 07 attention takes its place.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# Call the three one after the other, each on what the one before gave.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "character-model", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CharacterModel(nnx.Module):
    """Embedding, a recurrent layer, and a linear layer: logits of the next character at each place.

    Args:
        rngs: where the weights come from.
        vocabulary: how many different characters there are.
        width: features of the embedding and of the state.
    """

    def __init__(self, rngs: nnx.Rngs, vocabulary: int, width: int = 96):
        ### BEGIN SOLUTION
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.memory = nnx.RNN(nnx.GRUCell(width, width, rngs=rngs), rngs=rngs)
        self.head = nnx.Linear(width, vocabulary, rngs=rngs)
        ### END SOLUTION

    def __call__(self, codes: Int[Array, "b t"]) -> Float[Array, "b t vocabulary"]:
        """Logits of the character after each."""
        ### BEGIN SOLUTION
        return self.head(self.memory(self.embed(codes)))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-character-model", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 6}
checks.character_model(CharacterModel)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import training as hidden

hidden.character_model(CharacterModel)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your loop, unchanged, trains it. Stop the kernel in the middle if you like, with the stop button: running the
# cell again goes on where it was. An untrained model is as good as guessing, $\ln 96 = 4.56$; knowing how often each
# character occurs gives about 3.2. To start afresh, and whenever you have changed the model, so that its old checkpoint no
# longer fits, `import shutil; shutil.rmtree(folder)`.

# %%
library = corpus.standard_library(200_000)
starts = np.arange(0, len(library.train) - 41, 40)
windows, following = character_batch(library.train, starts, 40)
writer = CharacterModel(nnx.Rngs(0), vocabulary=len(corpus.ALPHABET))
writer_optimizer = nnx.Optimizer(writer, optax.adam(5e-3), wrt=nnx.Param)
folder = Path.home() / ".cache" / "gradlab" / "characters"

with Bar("characters", 240) as bar:
    listen = lambda step, loss, accuracy, _: bar.show(step, loss=loss, accuracy=accuracy)  # noqa: E731
    fit(
        train_step,
        writer,
        writer_optimizer,
        windows,
        following,
        seed=0,
        batch_size=32,
        steps=240,
        folder=folder,
        every=80,
        on_step=listen,
    )
held_out = character_batch(library.held_out, np.arange(0, 8000, 40), 40)
writer.eval()
scores = optax.softmax_cross_entropy_with_integer_labels(writer(jnp.asarray(held_out[0])), jnp.asarray(held_out[1]))
print(f"held-out files: {float(scores.mean()):.2f} nats a character")


# %%
@nnx.jit
def next_logits(model, codes, last):
    """Logits of the character after place `last`."""
    return model(codes)[0, last]


text, key = "def ", jax.random.key(0)
for _ in range(120):
    codes = corpus.encode(text)[-40:]
    padded = np.zeros((1, 40), np.int32)
    padded[0, : len(codes)] = codes
    key, now = jax.random.split(key)
    logits = next_logits(writer, jnp.asarray(padded), len(codes) - 1)
    text += corpus.decode([jax.random.categorical(now, logits / 0.7)])
print(text)

# %% [markdown]
# ## 13. In your own words
#
# *Difficulty: medium. Importance: high. About 15 minutes. 10 points, graded by hand.*
#
# Two answers of a few sentences each.
#
# 1. After every restart, a colleague's training loss jumps and needs some hundred steps to come back; the validation accuracy
#    at the restart is as it was. What is missing in the checkpoint, and how can you tell from the two facts? *(5 points:
#    what is missing, 2; what the unchanged accuracy shows, 1; how the jump comes about, 1; a test that would have found
#    it, 1.)*
# 2. A team tries 200 settings on 300 validation images, and reports the best one's validation accuracy, 99.3 %. Why is the
#    number too good, and what should they report? *(5 points: what choosing does to the number, 2; how large the noise is
#    beside the differences, 1; what to report, 1; how often it may be looked at, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-training", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 10}
# ### BEGIN SOLUTION
# 1. The optimizer's state (2 points). Parameters and batch norm's statistics are there, since the accuracy is as it was (1).
#    Adam's moments and its count start from zero: the first steps have full length in every direction and follow single
#    noisy gradients (1). A test that compares ten steps after a restart with ten steps without one, bit by bit (1).
# 2. Each validation accuracy is the true one plus noise, and the best of 200 has the luckiest noise: a maximum of noisy
#    numbers is biased upwards (2). One image is 0.33 %, so the noise is as large as the differences (1). They should report
#    the test accuracy of the chosen setting (1), and open the test part once (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# A loop that trains whatever you give it, says where it is, can be stopped anywhere, and goes on to the same bits. In lab 06
# it runs on eight devices, in lab 07 with a model that does not fit on one of them.
