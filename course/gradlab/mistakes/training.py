"""Known mistakes of lab 05, training."""

import random
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gradlab.checks.mistake import mistake

# --- network


class _Net(nnx.Module):
    """The network with a fault that can be chosen."""

    def __init__(self, rngs, channels, dropout, fault):
        norm = {} if fault != "batch" else {"use_running_average": False}
        momentum = 0.99 if fault == "momentum" else 0.9
        self.first = nnx.Conv(1, channels, (3, 3), rngs=rngs)
        self.second = nnx.Conv(channels, 2 * channels, (3, 3), rngs=rngs)
        self.norms = nnx.List(
            [nnx.BatchNorm(n, momentum=momentum, rngs=rngs, **norm) for n in (channels, 2 * channels)]
        )
        self.drop = nnx.Dropout(1 - dropout if fault == "keep" else dropout, rngs=rngs)
        self.out = nnx.Linear(8 * channels, 10, rngs=rngs)
        self.fault = fault

    def __call__(self, images):
        x = images
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = self.block(conv, norm, x)
            if self.fault == "dropout early" and conv is self.first:
                x = self.drop(x)
        x = jnp.reshape(x, (x.shape[0], -1))
        if self.fault == "dropout stays":
            x = self.drop(x, deterministic=False)
        elif self.fault not in ("no dropout", "dropout early"):
            x = self.drop(x)
        return jax.nn.softmax(self.out(x)) if self.fault == "softmax" else self.out(x)

    def block(self, conv, norm, x):
        x = conv(x)
        if self.fault == "batch":
            x = nnx.relu(norm(x, use_running_average=False))
        elif self.fault == "after relu":
            x = norm(nnx.relu(x))
        elif self.fault == "no norm":
            x = nnx.relu(x)
        elif self.fault == "no relu":
            x = norm(x)
        else:
            x = nnx.relu(norm(x))
        pool = nnx.avg_pool if self.fault == "mean" else nnx.max_pool
        return pool(x, (2, 2), strides=(1, 1) if self.fault == "stride" else (2, 2))


@mistake(of="network")
def softmax_inside_the_model(rngs, channels=16, dropout=0.25):
    """A classifier returns probabilities.

    The loss takes the softmax itself, from logits, where it is numerically safe. Return what the linear layer gives.
    """
    return _Net(rngs, channels, dropout, "softmax")


@mistake(of="network")
def dropout_left_on(rngs, channels=16, dropout=0.25):
    """Dropout belongs to the model, so it is always there.

    Answers are then random. Leave `deterministic` alone: `model.eval()` switches dropout off.
    """
    return _Net(rngs, channels, dropout, "dropout stays")


@mistake(of="network")
def no_dropout(rngs, channels=16, dropout=0.25):
    """Making the dropout layer is enough.

    A layer must also be called, between the flattening and the linear layer.
    """
    return _Net(rngs, channels, dropout, "no dropout")


@mistake(of="network")
def rate_taken_for_what_is_kept(rngs, channels=16, dropout=0.25):
    """The rate is the share of features that is kept.

    In Flax, as in PyTorch, the rate is the probability with which a feature is set to zero.
    """
    return _Net(rngs, channels, dropout, "keep")


@mistake(of="network")
def batch_statistics_at_evaluation(rngs, channels=16, dropout=0.25):
    """Batch norm always normalises by the batch that it sees.

    Then an answer depends on who else is in the batch, and evaluation changes the averages. Leave
    `use_running_average` to `model.eval()`.
    """
    return _Net(rngs, channels, dropout, "batch")


@mistake(of="network")
def norm_after_relu(rngs, channels=16, dropout=0.25):
    """Whether batch norm comes before or after relu makes no difference.

    Both are used, and they differ. Here, as in the paper, it comes between convolution and relu.
    """
    return _Net(rngs, channels, dropout, "after relu")


@mistake(of="network")
def without_batch_norm(rngs, channels=16, dropout=0.25):
    """Batch norm is a matter of taste.

    Here it is asked for: after each convolution, before relu.
    """
    return _Net(rngs, channels, dropout, "no norm")


@mistake(of="network")
def mean_over_two_by_two(rngs, channels=16, dropout=0.25):
    """Pooling takes the mean.

    The maximum over 2 x 2 pixels is asked for: `nnx.max_pool`.
    """
    return _Net(rngs, channels, dropout, "mean")


@mistake(of="network")
def dropout_between_the_convolutions(rngs, channels=16, dropout=0.25):
    """Dropout may come after any layer.

    It comes once, behind the flattening and in front of the linear layer. A channel's neighbours carry nearly the same,
    so that dropping single pixels between convolutions does little.
    """
    return _Net(rngs, channels, dropout, "dropout early")


@mistake(of="network")
def without_relu(rngs, channels=16, dropout=0.25):
    """Pooling bends enough.

    relu comes after each batch norm, before the pooling.
    """
    return _Net(rngs, channels, dropout, "no relu")


@mistake(of="network")
def pooled_at_every_pixel(rngs, channels=16, dropout=0.25):
    """A window of 2 x 2 halves the image.

    Only if it moves by two pixels: `strides=(2, 2)`. Flax's default moves it by one, and the image stays nearly as
    large.
    """
    return _Net(rngs, channels, dropout, "stride")


@mistake(of="network")
def slow_averages(rngs, channels=16, dropout=0.25):
    """The default momentum of batch norm is fine.

    With 0.99 the averages need hundreds of steps to arrive, and short trainings are evaluated with wrong ones. Pass
    `momentum=0.9`.
    """
    return _Net(rngs, channels, dropout, "momentum")


# --- train_step


def _cross_entropy(model, x, y):
    scores = model(x)
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, scores.shape[-1]) * jax.nn.log_softmax(scores), axis=-1)), scores


def _squashed(model, x, y):
    scores = jax.nn.softmax(model(x))
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(scores, y)), scores


def _hits(scores, y):
    return jnp.mean(jnp.argmax(scores, axis=-1) == y)


def _measured(model, x, y, criterion=_cross_entropy):
    (value, scores), slope = nnx.value_and_grad(criterion, has_aux=True)(model, x, y)
    return value, _hits(scores, y), slope


# The parts that the mistakes share are compiled once for all: whoever hands in a mistake waits for the whole bank.
_measure = nnx.jit(_measured)
_measure_squashed = nnx.jit(partial(_measured, criterion=_squashed))
_score = nnx.jit(_cross_entropy)


@nnx.jit
def _apply(model, optimizer, slope):
    optimizer.update(model, slope)


def _told(model, optimizer, x, y, measure=_measure):
    """A step that is right, in two compiled parts."""
    model.train()
    value, hits, slope = measure(model, x, y)
    _apply(model, optimizer, slope)
    return value, hits, slope


@mistake(of="train_step")
def no_jit(model, optimizer, inputs, labels):
    """JAX compiles functions by itself.

    Without `nnx.jit` each operation is dispatched on its own and the model's Python code runs at each step. Decorate
    the step.
    """
    model.train()
    value, hits, slope = _measured(model, inputs, labels)
    _apply(model, optimizer, slope)
    return value, hits, slope


@mistake(of="train_step")
def compiled_anew_at_each_step(model, optimizer, inputs, labels):
    """`nnx.jit` can be applied where the function is called.

    Each application makes a new function, with a cache of its own that starts empty: every step is traced and
    compiled again. Apply it once, where the step is defined.
    """
    # Only traced anew, not compiled: the check counts traces, and every diagnosis waits for this.
    nnx.eval_shape(lambda model, x: model(x), nnx.clone(model), inputs)
    return _told(model, optimizer, inputs, labels)


@mistake(of="train_step")
def evaluation_mode_kept(model, optimizer, inputs, labels):
    """A model is in training mode unless somebody changes that.

    `evaluate` does: from the first evaluation on, dropout is off and batch norm is frozen. Say `model.train()`.
    """
    value, hits, slope = _measure(model, inputs, labels)
    _apply(model, optimizer, slope)
    return value, hits, slope


@mistake(of="train_step")
def always_in_evaluation_mode(model, optimizer, inputs, labels):
    """Dropout disturbs the training, so it is switched off.

    Batch norm then never learns its averages, and dropout never regularises. Train in training mode.
    """
    model.eval()
    value, hits, slope = _measure(model, inputs, labels)
    _apply(model, optimizer, slope)
    return value, hits, slope


@mistake(of="train_step")
def sum_of_losses(model, optimizer, inputs, labels):
    """The loss of a batch is the sum over its examples.

    The mean is asked for. With a sum the learning rate depends on the size of the batch.
    """
    model.train()
    value, hits, slope = _measure(model, inputs, labels)
    slope = jax.tree.map(lambda part: part * len(labels), slope)
    _apply(model, optimizer, slope)
    return value * len(labels), hits, slope


@mistake(of="train_step")
def softmax_twice(model, optimizer, inputs, labels):
    """The loss wants probabilities.

    optax's cross-entropy takes logits and normalises them. Probabilities normalised once more are nearly uniform.
    """
    return _told(model, optimizer, inputs, labels, _measure_squashed)


@mistake(of="train_step")
def never_updated(model, optimizer, inputs, labels):
    """Computing the gradient trains the model.

    The gradient is a proposal. `optimizer.update(model, gradients)` makes the step.
    """
    model.train()
    return _measure(model, inputs, labels)


@mistake(of="train_step")
def gradient_descent_by_hand(model, optimizer, inputs, labels):
    """The optimizer is a learning rate.

    It has a state (momentum, Adam's moments) and a schedule. Let `optimizer.update` make the step.
    """
    model.train()
    value, hits, slope = _measure(model, inputs, labels)
    nnx.update(model, jax.tree.map(lambda p, g: p - 0.1 * g, nnx.state(model, nnx.Param), slope))
    return value, hits, slope


@mistake(of="train_step")
def batch_statistics_not_carried_out(model, optimizer, inputs, labels):
    """What training changes are the parameters and the optimizer.

    Under plain `jax.jit` only what is returned survives: batch norm's averages and the random state were lost.
    `nnx.jit` carries everything; with `jax.jit` return the whole state.
    """
    before = jax.tree.map(lambda leaf: leaf, nnx.state(model, nnx.Any(nnx.BatchStat, nnx.RngState)))
    told = _told(model, optimizer, inputs, labels)
    nnx.update(model, before)
    return told


@mistake(of="train_step")
def loss_after_the_step(model, optimizer, inputs, labels):
    """The loss to report is the one that the step has reached.

    That costs a second forward pass, which also draws new masks and moves batch norm once more. Report the loss that
    was differentiated.
    """
    _, _, slope = _told(model, optimizer, inputs, labels)
    value, scores = _score(model, inputs, labels)
    return value, _hits(scores, labels), slope


@mistake(of="train_step")
def answers_asked_for_twice(model, optimizer, inputs, labels):
    """The accuracy needs the model's answers, so the model is called once more.

    A second forward pass in training mode draws other masks and moves batch norm's averages once more. Return the
    logits from the loss: `has_aux=True`.
    """
    model.train()
    value, _, slope = _measure(model, inputs, labels)
    scores = _score(model, inputs, labels)[1]
    _apply(model, optimizer, slope)
    return value, _hits(scores, labels), slope


@mistake(of="train_step")
def number_of_right_answers(model, optimizer, inputs, labels):
    """The accuracy counts the right answers.

    It is their share of the batch: a mean of zeros and ones, from 0 to 1.
    """
    value, hits, slope = _told(model, optimizer, inputs, labels)
    return value, hits * labels.size, slope


@mistake(of="train_step")
def gradients_kept_back(model, optimizer, inputs, labels):
    """Loss and accuracy are what a step tells.

    The dashboard shows the gradients too: return them as the third.
    """
    return _told(model, optimizer, inputs, labels)[:2]


# --- evaluate


@nnx.jit
def _answers(model, x):
    return model(x)


def _pieces(model, inputs, labels, size):
    """For each batch: its number of examples, its mean loss, its share of hits."""
    found = []
    for start in range(0, len(labels), size):
        y = labels[start : start + size]
        scores = _answers(model, inputs[start : start + size])
        nll = -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=-1)
        found.append((len(y), float(nll.mean()), float(_hits(scores, y))))
    return found


def _weighted(pieces):
    count = sum(n for n, _, _ in pieces)
    return {
        "loss": sum(n * loss for n, loss, _ in pieces) / count,
        "accuracy": sum(n * a for n, _, a in pieces) / count,
    }


@mistake(of="evaluate")
def mean_of_batch_means(model, inputs, labels, batch_size):
    """The mean of the batches' means is the mean.

    Only if all batches have one size. The examples of a short last batch count too much: weight by the batch's size.
    """
    model.eval()
    pieces = _pieces(model, inputs, labels, batch_size)
    return {
        "loss": float(np.mean([loss for _, loss, _ in pieces])),
        "accuracy": float(np.mean([a for _, _, a in pieces])),
    }


@mistake(of="evaluate")
def evaluated_in_training_mode(model, inputs, labels, batch_size):
    """Evaluating is calling the model.

    In training mode dropout is left on, and batch norm normalises by the batch and moves its averages. Say
    `model.eval()`.
    """
    return _weighted(_pieces(model, inputs, labels, batch_size))


@mistake(of="evaluate")
def batch_statistics_updated_at_evaluation(model, inputs, labels, batch_size):
    """Only dropout differs between training and evaluation.

    Batch norm does too: in training mode it uses the batch's statistics and moves its averages, so that evaluation
    changes the model. `model.eval()` switches both.
    """
    model.set_attributes(deterministic=True, raise_if_not_found=False)
    return _weighted(_pieces(model, inputs, labels, batch_size))


@mistake(of="evaluate")
def the_short_batch_dropped(model, inputs, labels, batch_size):
    """A batch that is not full can be left out.

    In training another epoch brings its examples. In evaluation they are never counted.
    """
    model.eval()
    return _weighted([piece for piece in _pieces(model, inputs, labels, batch_size) if piece[0] == batch_size])


@mistake(of="evaluate")
def only_the_last_batch(model, inputs, labels, batch_size):
    """The metrics of the loop's last batch are the result.

    Add up over all batches, and divide by the number of examples.
    """
    model.eval()
    return _weighted(_pieces(model, inputs, labels, batch_size)[-1:])


@mistake(of="evaluate")
def loss_not_divided(model, inputs, labels, batch_size):
    """The losses are added up.

    The mean over all examples is asked for, for loss and accuracy alike.
    """
    model.eval()
    pieces = _pieces(model, inputs, labels, batch_size)
    return _weighted(pieces) | {"loss": sum(n * loss for n, loss, _ in pieces)}


@mistake(of="evaluate")
def the_rest_lost_and_counted(model, inputs, labels, batch_size):
    """There are len(labels) // batch_size batches, and len(labels) examples.

    Then the examples of the short batch are never seen, and count as wrong answers without a loss. Go on to the end.
    """
    model.eval()
    pieces = [piece for piece in _pieces(model, inputs, labels, batch_size) if piece[0] == batch_size]
    share = sum(n for n, _, _ in pieces) / len(labels)
    return {name: value * share for name, value in _weighted(pieces).items()}


@mistake(of="evaluate")
def every_batch_taken_for_a_full_one(model, inputs, labels, batch_size):
    """Each batch's sum is divided by batch_size, and the result by the number of full batches.

    The last batch may be short. Add up everything first, and divide once, by the number of examples.
    """
    model.eval()
    pieces = _pieces(model, inputs, labels, batch_size)
    count = batch_size * (len(labels) // batch_size)
    return {
        "loss": sum(n * loss for n, loss, _ in pieces) / count,
        "accuracy": sum(n * a for n, _, a in pieces) / count,
    }


# --- batch_at


def _shuffled(seed, examples):
    return np.asarray(np.random.default_rng(seed).permutation(examples))


@mistake(of="batch_at")
def the_same_order_each_epoch(seed, step, examples, batch_size):
    """Shuffling once is enough.

    Then the same examples always share a batch, and what was left out is left out for ever. Let the key depend on the
    epoch.
    """
    place = step % (examples // batch_size) * batch_size
    return _shuffled(seed, examples)[place : place + batch_size]


@mistake(of="batch_at")
def the_short_batch_kept(seed, step, examples, batch_size):
    """What is left at the end of an epoch is a batch too.

    A batch of another shape is another trace. Leave the rest out: an epoch has `examples // batch_size` batches.
    """
    epoch, place = divmod(step, -(-examples // batch_size))
    return _shuffled(seed + epoch, examples)[place * batch_size :][:batch_size]


@mistake(of="batch_at")
def drawn_with_replacement(seed, step, examples, batch_size):
    """A random batch for each step.

    In an epoch of such batches a third of the examples never come, and others twice. Slice one permutation.
    """
    return np.random.default_rng([seed, step]).integers(0, examples, batch_size)


@mistake(of="batch_at")
def a_new_permutation_at_each_step(seed, step, examples, batch_size):
    """The key may depend on the step.

    Then each batch is cut from another permutation, and rows repeat within the epoch. Fold in the epoch, not the step.
    """
    place = step % (examples // batch_size) * batch_size
    return np.random.default_rng([seed, step]).permutation(examples)[place : place + batch_size]


@mistake(of="batch_at")
def the_seed_ignored(seed, step, examples, batch_size):
    """The epoch alone is enough of a key.

    Then all runs, of whatever seed, see the same batches, and their spread says nothing about the order.
    """
    epoch, place = step // (examples // batch_size), step % (examples // batch_size)
    return _shuffled(epoch, examples)[place * batch_size :][:batch_size]


@mistake(of="batch_at")
def a_generator_that_goes_on(seed, step, examples, batch_size):
    """A shuffle from Python's own generator is random enough.

    It has a state that no checkpoint holds: the batch depends on how often it was called before. Make the rows from
    seed and step alone.
    """
    return np.array(random.sample(range(examples), batch_size))


@mistake(of="batch_at")
def slices_that_overlap(seed, step, examples, batch_size):
    """Batch number k begins at row k.

    It begins at row k times the batch size. Otherwise each batch has all but one row of the batch before.
    """
    batches = examples // batch_size
    return _shuffled([seed, step // batches], examples)[step % batches :][:batch_size]


# --- checkpoints

EVERYTHING = (nnx.Param, nnx.BatchStat, nnx.RngState)


class _Archive:
    """Checkpoints in NumPy's format: the kinds of state in `kinds`, and the optimizer's unless it is left out."""

    def __init__(self, folder, kinds=EVERYTHING, optimizer=True, precision=None, pick=max):
        self.folder, self.kinds, self.optimizer, self.precision, self.pick = (
            Path(folder),
            kinds,
            optimizer,
            precision,
            pick,
        )

    def parts(self, model, optimizer):
        return [nnx.state(model, kind) for kind in self.kinds] + ([nnx.state(optimizer)] if self.optimizer else [])

    def save(self, step, model, optimizer):
        self.folder.mkdir(exist_ok=True, parents=True)
        values = [np.asarray(_raw(leaf)) for leaf in jax.tree.leaves(self.parts(model, optimizer))]
        if self.precision:
            values = [v.astype(self.precision).astype(v.dtype) if v.dtype.kind == "f" else v for v in values]
        np.savez(self.folder / f"{step}.npz", *values)

    def restore(self, model, optimizer):
        there = sorted(self.folder.glob("*.npz"))
        if not there:
            return 0
        newest = self.pick(there, key=lambda path: int(path.stem))
        leaves, tree = jax.tree.flatten(self.parts(model, optimizer))
        with np.load(newest) as archive:
            raw = [jnp.asarray(archive[f"arr_{i}"]) for i in range(len(leaves))]
        values = [jax.random.wrap_key_data(v) if _is_key(leaf) else v for leaf, v in zip(leaves, raw, strict=True)]
        for index, part in enumerate(jax.tree.unflatten(tree, values)):
            nnx.update(optimizer if index == len(self.kinds) else model, part)
        return int(newest.stem)


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf):
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


@mistake(of="checkpoints")
def optimizer_state_lost_on_resume(folder):
    """The model is what was trained, so the model is what is saved.

    Adam's moments start from zero again and its count too: the steps after a resume are not those of the run. Save
    `nnx.state(optimizer)` as well.
    """
    return _Archive(folder, optimizer=False)


@mistake(of="checkpoints")
def batch_statistics_lost(folder):
    """A model is its parameters.

    Batch norm's running averages are `nnx.BatchStat`, no parameters, and without them evaluation is wrong after a
    resume. `nnx.state(model)` without a filter has everything.
    """
    return _Archive(folder, (nnx.Param, nnx.RngState))


@mistake(of="checkpoints")
def random_state_lost(folder):
    """Random numbers need not be saved, they are random.

    They are a function of a key and a count, both in the model's state. Without them dropout draws other masks, and
    no two runs can be compared.
    """
    return _Archive(folder, (nnx.Param, nnx.BatchStat))


@mistake(of="checkpoints")
def parameters_only(folder):
    """The weights are all that matters.

    They are all that an answer needs, and not even that with batch norm. A run needs the statistics, the random state
    and the optimizer too.
    """
    return _Archive(folder, (nnx.Param,), optimizer=False)


@mistake(of="checkpoints")
def saved_in_half_precision(folder):
    """Sixteen bits are enough for a file.

    They are for answers, but a run that goes on from rounded numbers is another run. Save what is there.
    """
    return _Archive(folder, precision=np.float16)


@mistake(of="checkpoints")
def newest_by_name(folder):
    """The last name in the sorted list is the newest checkpoint.

    As text, "2" comes after "10". Compare the steps as numbers.
    """
    return _Archive(folder, pick=lambda paths, key: paths[-1])


@mistake(of="checkpoints")
def the_step_forgotten(folder):
    """Restoring is done when model and optimizer are.

    The caller must know how many steps are done, or the data starts again from the first batch. Return the step.
    """
    archive = _Archive(folder)
    bring = archive.restore
    archive.restore = lambda model, optimizer: 0 * bring(model, optimizer)
    return archive


@mistake(of="checkpoints")
def restored_into_a_copy(folder):
    """Restoring makes a new model.

    The caller holds the old one, and trains that. Change both objects in place: `nnx.update(model, state)`.
    """
    archive = _Archive(folder)
    bring = archive.restore
    archive.restore = lambda model, optimizer: bring(nnx.clone(model), nnx.clone(optimizer))
    return archive


@mistake(of="checkpoints")
def nothing_there_is_an_error(folder):
    """There is always a checkpoint to restore.

    Not in the first run: the folder is not there yet. Say 0, and change nothing.
    """
    archive = _Archive(folder)
    bring = archive.restore
    archive.restore = lambda model, optimizer: (list(archive.folder.iterdir()), bring(model, optimizer))[1]
    return archive


@mistake(of="checkpoints")
def one_folder_without_a_number(folder):
    """Only the latest checkpoint matters, so each overwrites the one before.

    Then a run that is killed while it saves has none, and nobody knows after how many steps it was saved. A folder for
    each step, named by the step.
    """
    archive = _Archive(folder)
    keep = archive.save
    archive.save = lambda step, model, optimizer: keep(1, model, optimizer)
    return archive


@mistake(of="checkpoints")
def kept_in_memory(folder):
    """The states are kept in the object.

    It is gone with the process, and another object of the same folder knows nothing of it. Write to the folder.
    """
    archive = _Archive(folder)
    archive.save = lambda step, model, optimizer: None
    return archive


# --- fit


def _rows(seed, step, examples, size):
    epoch, place = divmod(step, examples // size)
    return np.random.default_rng([seed, epoch]).permutation(examples)[place * size :][:size]


def _loop(
    train_step,
    model,
    optimizer,
    data,
    numbers,
    *,
    seed,
    size,
    archive,
    every,
    on_step,
    last,
    shift=0,
    label=0,
    told=0,
    early=False,
):
    """The loop over step numbers; `shift` the data, `label` the checkpoint, or `told` the number wrongly.

    `early` saves a checkpoint before its step, and `last` is the step after which one is saved whatever its number.
    """
    for number in numbers:
        if early and (number % every == 0 or number == last):
            archive.save(number, model, optimizer)
        rows = _rows(seed, number - 1 + shift, len(data[1]), size)
        answer = train_step(model, optimizer, *(jnp.asarray(part[rows]) for part in data))
        if archive is not None and not early and (number % every == 0 or number == last):
            archive.save(number + label, model, optimizer)
        if on_step is not None:
            on_step(number + told, *answer)
    return max(numbers, default=last)


@mistake(of="fit")
def begins_at_step_one_again(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """When the model is restored, the training can start.

    It then trains `steps` more, on batches that it has seen. Go on after the step that the checkpoint tells.
    """
    archive = _Archive(folder)
    archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    return _loop(train_step, model, optimizer, (inputs, labels), range(1, steps + 1), last=steps, **settings)


@mistake(of="fit")
def so_many_more_steps(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """`steps` is the number of steps of this call.

    It is the number in all: a run that is resumed, or called when it is finished, must not be longer than the others.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, done + steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=done + steps, **settings)


@mistake(of="fit")
def never_restored(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Checkpoints are for emergencies, and somebody will load them by hand.

    Starting and resuming are one thing: begin with `restore`, which says 0 if there is nothing.
    """
    settings = {"seed": seed, "size": batch_size, "archive": _Archive(folder), "every": every, "on_step": on_step}
    return _loop(train_step, model, optimizer, (inputs, labels), range(1, steps + 1), last=steps, **settings)


@mistake(of="fit")
def never_saved(train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None):
    """The result is saved at the end.

    Whatever happens before the end then costs everything. Save after each `every` steps.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": steps, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, **settings)


@mistake(of="fit")
def the_order_starts_again(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """The data begins where the loop begins.

    After a resume the first batches come again, and later ones never. Ask `batch_at` for the batch of the step in all.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, shift=-done, **settings)


@mistake(of="fit")
def checkpoints_that_lack_something(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """The loop has to be right, whatever the checkpoints hold.

    It goes on with the right weights and ends elsewhere: the optimizer's state, the statistics or the random state did
    not come back. Mend your `Checkpoints` first.
    """
    archive = _Archive(folder, optimizer=False)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, **settings)


@mistake(of="fit")
def one_batch_ahead(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Step number 1 gets batch number 1.

    Batches are counted from 0, and an epoch that begins with its second batch has rows of the next one at its end:
    step number 1 gets `batch_at(seed, 0, ...)`.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, shift=1, **settings)


@mistake(of="fit")
def the_end_not_saved(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Saving after each `every` steps is enough.

    What was done after the last of these is done again when somebody calls it once more. Save at the end, too.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=0, **settings)


@mistake(of="fit")
def saved_before_the_step(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """It does not matter where in the loop the checkpoint is saved.

    Before the step, the weights are those of the step before, under a number that says one more. Save what the step has
    made.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, early=True, **settings)


@mistake(of="fit")
def labelled_one_too_low(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Steps are counted from 0, so the checkpoint after the tenth step is number 9.

    `restore` gives the number of steps *done*. With one less, a batch is trained on twice.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, label=-1, **settings)


@mistake(of="fit")
def told_from_zero(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """The first step is number 0.

    `on_step` hears how many steps are done: 1 after the first. A loop from `done` up to `steps` adds one to say so.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    numbers = range(done + 1, steps + 1)
    return _loop(train_step, model, optimizer, (inputs, labels), numbers, last=steps, told=-1, **settings)


@mistake(of="fit")
def the_same_batch_at_each_step(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """The batch can be cut before the loop.

    Each step has a batch of its own: ask `batch_at` inside the loop.
    """
    archive = _Archive(folder)
    done = archive.restore(model, optimizer)
    rows = _rows(seed, 0, len(labels), batch_size)
    few = (np.asarray(inputs)[rows], np.asarray(labels)[rows])
    settings = {"seed": seed, "size": batch_size, "archive": archive, "every": every, "on_step": on_step}
    return _loop(train_step, model, optimizer, few, range(done + 1, steps + 1), last=steps, **settings)


# --- memorize and train_on_budget

_adam = cache(optax.adam)
_known: dict[tuple, nnx.Module] = {}


def _trained(batches, rate=3e-3, fault=""):
    """A training, done once: every diagnosis asks for it again."""
    batches = [(np.asarray(x), np.asarray(y)) for x, y in batches]
    name = (len(batches), rate, fault, *(part.tobytes() for batch in batches[:1] for part in batch))
    if name not in _known:
        _known[name] = _Net(nnx.Rngs(3), 8, 0.0, fault)
        optimizer = nnx.Optimizer(_known[name], _adam(rate), wrt=nnx.Param)
        for x, y in batches:
            _told(_known[name], optimizer, jnp.asarray(x), jnp.asarray(y))
    # Whoever asks the model in training mode moves its averages.
    return nnx.clone(_known[name])


def _few(batches):
    """Where such a rate leads is seen after 40 batches, and every diagnosis waits for it."""
    return list(batches)[:40]


@mistake(of="memorize")
def hardly_trained(images, labels):
    """A few small steps are enough.

    The network is nearly as unsure as at its start. Make some dozens of steps of Adam with a rate of some thousandths,
    without dropout, and see that images and labels are in one order at each of them.
    """
    return _trained([(images, labels)] * 5, rate=1e-4)


@mistake(of="memorize")
def images_shuffled_without_labels(images, labels):
    """Shuffling helps, so the images are shuffled.

    Image and label belong together: index both with the same rows.
    """
    turn = np.random.default_rng(0).permutation(len(labels))
    return _trained([(np.asarray(images)[turn], labels)] * 120)


@mistake(of="memorize")
def averages_that_have_not_arrived(images, labels):
    """When the training loss is zero, the training is done.

    In training mode it is. The averages of batch norm are still on their way from zero and one: evaluation mode tells
    another story. Make some more steps, or use a smaller momentum.
    """
    return _trained([(images, labels)] * 25, rate=1e-2, fault="momentum")


@mistake(of="memorize")
def never_trained_on_them(images, labels):
    """The network is returned as it was made, or a copy of it was trained.

    Its averages are those of a new network. Call your `train_step` on the network that you return, in training mode.
    """
    return _trained([(images, labels)] * 0)


@mistake(of="memorize")
def far_too_large_steps(images, labels):
    """The larger the learning rate, the faster it learns.

    Until it throws the weights so far that nothing answers any more. Try rates by factors of three.
    """
    return _trained([(images, labels)] * 20, rate=3.0)


@mistake(of="train_on_budget")
def only_the_first_batch(batches):
    """One batch, often enough, is training.

    It is memorising. Go through all batches: `for images, labels in batches`.
    """
    return _trained([next(iter(batches))] * 40)


@mistake(of="train_on_budget")
def far_too_small_a_rate(batches):
    """A small learning rate is a safe one.

    With a fixed budget it does not arrive. Try rates by factors of three.
    """
    return _trained(_few(batches), rate=1e-5)


@mistake(of="train_on_budget")
def far_too_large_a_rate(batches):
    """A large learning rate is a fast one.

    The first steps throw the weights so far that relu never fires again, and batch norm's averages chase them. Try
    rates by factors of three.
    """
    return _trained(_few(batches), rate=3.0)


@mistake(of="train_on_budget")
def averages_that_lag_behind(batches):
    """Batch norm's default is good enough.

    With a momentum of 0.99 the averages are still on their way when the budget ends, and evaluation mode uses them.
    Pass `momentum=0.9`, as in exercise 1.
    """
    return _trained(_few(batches), fault="momentum")


@mistake(of="train_on_budget")
def never_trained(batches):
    """Making the model is the work.

    A model with random weights guesses. Loop over the batches and call `train_step`.
    """
    return _trained([])


# --- early_stopping


def _stop(
    model, train_epoch, validate, *, patience, min_delta, max_epochs, copy=jnp.copy, in_all=False, late=0, worst=False
):
    history, best, kept, bad = [], None, None, 0
    for epoch in range(max_epochs):
        train_epoch(model)
        history += [validate(model)]
        gain = np.inf if best is None else (history[best] - history[-1]) * (-1 if worst else 1)
        if gain > min_delta:
            best, kept, bad = epoch, jax.tree.map(copy, nnx.state(model)), bad if in_all else 0
        else:
            bad += 1
        if bad >= patience + late:
            break
    if kept is not None:
        nnx.update(model, kept)
    return best + 1, history


@mistake(of="early_stopping")
def the_last_model(model, train_epoch, validate, **settings):
    """When the training stops, the model is the result.

    It is `patience` epochs past its best. Keep a copy of the best state, and put it back.
    """
    best, history = _stop(model, train_epoch, validate, **settings)
    for _ in range(len(history) - best):
        train_epoch(model)
    return best, history


@mistake(of="early_stopping")
def kept_without_a_copy(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """`nnx.state(model)` is a snapshot.

    It shows the model's own variables, and the next epoch changes them. Copy the arrays:
    `jax.tree.map(jnp.copy, nnx.state(model))`.
    """
    settings = {"patience": patience, "min_delta": min_delta, "max_epochs": max_epochs}
    return the_last_model(model, train_epoch, validate, **settings)


@mistake(of="early_stopping")
def patience_used_up_over_the_run(model, train_epoch, validate, **settings):
    """The patience counts all epochs that were no better.

    It counts those in a row: a better epoch gives the whole patience back.
    """
    return _stop(model, train_epoch, validate, **settings, in_all=True)


@mistake(of="early_stopping")
def one_epoch_too_patient(model, train_epoch, validate, **settings):
    """It stops when there were more than `patience` epochs without a better one.

    It stops when there were `patience` of them.
    """
    return _stop(model, train_epoch, validate, **settings, late=1)


@mistake(of="early_stopping")
def every_gain_counts(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """Lower is better, however little.

    Then noise keeps the training alive. It must be lower than the best by more than `min_delta`.
    """
    return _stop(model, train_epoch, validate, patience=patience, min_delta=0.0, max_epochs=max_epochs)


@mistake(of="early_stopping")
def the_highest_loss_kept(model, train_epoch, validate, **settings):
    """Higher is better.

    Of an accuracy, yes; of a loss, no.
    """
    return _stop(model, train_epoch, validate, **settings, worst=True)


@mistake(of="early_stopping")
def best_by_any_amount(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """min_delta is for the patience; the best model is the one of the lowest loss.

    Then an epoch that was no better is kept. One question decides both: is it lower than the best by more than
    min_delta?
    """
    history, best, low, kept, bad = [], 0, np.inf, None, 0
    while len(history) < max_epochs:
        train_epoch(model)
        history += [validate(model)]
        bad = 0 if history[-1] < low - min_delta else bad + 1
        if history[-1] < low:
            best, low, kept = len(history), history[-1], jax.tree.map(jnp.copy, nnx.state(model))
        if bad >= patience:
            break
    nnx.update(model, kept)
    return best, history


@mistake(of="early_stopping")
def compared_with_the_epoch_before(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """An epoch is better if it is better than the last one.

    After a bad epoch an ordinary one would count as progress. Compare with the best so far.
    """
    history, best, kept, bad = [], 0, None, 0
    while len(history) < max_epochs:
        train_epoch(model)
        history += [validate(model)]
        if len(history) == 1 or history[-1] < history[-2] - min_delta:
            best, kept, bad = len(history), jax.tree.map(jnp.copy, nnx.state(model)), 0
        else:
            bad += 1
        if bad >= patience:
            break
    nnx.update(model, kept)
    return best, history


@mistake(of="early_stopping")
def epochs_from_zero(model, train_epoch, validate, **settings):
    """The first epoch is number 0.

    The best epoch is counted from 1: so many epochs has the model had.
    """
    best, history = _stop(model, train_epoch, validate, **settings)
    return best - 1, history


# --- regularization_study


def _table(train, score, settings, seeds, part):
    return {setting: [score(train(setting, seed), part) for seed in seeds] for setting in settings}


def _means(table):
    return {setting: float(np.mean(values)) for setting, values in table.items()}


def _best(means):
    return sorted(means, key=means.get)[-1]


@mistake(of="regularization_study")
def validation_chosen_and_reported(train, score, settings, seeds):
    """The best validation accuracy is the result.

    It won partly by luck: the best of many noisy numbers is too high. Report the chosen setting on data that took no
    part in the choice.
    """
    means = _means(_table(train, score, settings, seeds, "validation"))
    return {"validation": means, "chosen": _best(means), "test": means[_best(means)]}


@mistake(of="regularization_study")
def chosen_by_test(train, score, settings, seeds):
    """The setting that is best on the test part is the best one.

    Whatever chooses is no longer a test. Choose by validation, and open the test part once.
    """
    means = _means(_table(train, score, settings, seeds, "validation"))
    tests = _means(_table(train, score, settings, seeds, "test"))
    return {"validation": means, "chosen": _best(tests), "test": tests[_best(tests)]}


@mistake(of="regularization_study")
def every_setting_tested(train, score, settings, seeds):
    """It does no harm to look at the test accuracy of all settings.

    Who has seen them will choose by them, if not today, then in the next study. Score the chosen setting only.
    """
    means = _means(_table(train, score, settings, seeds, "validation"))
    tests = _means(_table(train, score, settings, seeds, "test"))
    return {"validation": means, "chosen": _best(means), "test": tests[_best(means)]}


@mistake(of="regularization_study")
def the_luckiest_seed(train, score, settings, seeds):
    """A setting is as good as its best run.

    With enough seeds the most erratic setting wins. Compare means over the seeds.
    """
    tops = {name: max(values) for name, values in _table(train, score, settings, seeds, "validation").items()}
    models = [train(_best(tops), seed) for seed in seeds]
    return {"validation": tops, "chosen": _best(tops), "test": max(score(model, "test") for model in models)}


@mistake(of="regularization_study")
def one_seed_only(train, score, settings, seeds):
    """One run of each setting shows which is best.

    Seeds differ by more than settings do. Train each setting with every seed.
    """
    means = _means(_table(train, score, settings, seeds[:1], "validation"))
    return {"validation": means, "chosen": _best(means), "test": score(train(_best(means), seeds[0]), "test")}


@mistake(of="regularization_study")
def one_lucky_model_tested(train, score, settings, seeds):
    """Of the chosen setting, the model that is best in validation is reported.

    It is the luckiest of its seeds, and the next training will have another one. Report the mean over all of them.
    """
    trained = {name: [train(name, seed) for seed in seeds] for name in settings}
    means = _means({name: [score(model, "validation") for model in trained[name]] for name in settings})
    lucky = max(trained[_best(means)], key=lambda model: score(model, "validation"))
    return {"validation": means, "chosen": _best(means), "test": score(lucky, "test")}


# --- character_batch


@mistake(of="character_batch")
def labels_are_the_inputs(text, starts, length):
    """The model is asked for the characters of the window.

    Then copying its input is a perfect answer. The label of each character is the next one.
    """
    cut = np.stack([text[s : s + length] for s in starts])
    return cut, cut


@mistake(of="character_batch")
def labels_one_before(text, starts, length):
    """Shifting the labels back by one gives the next character.

    It gives the one before: the model would be asked for what it has just read.
    """
    cut = np.stack([text[s : s + length + 1] for s in starts])
    return cut[:, 1:], cut[:, :-1]


@mistake(of="character_batch")
def rolled_within_the_window(text, starts, length):
    """`np.roll` gives each character's successor.

    At the end of the window it gives the window's first character. The last label is the text's next one.
    """
    cut = np.stack([text[s : s + length] for s in starts])
    return cut, np.concatenate([cut[:, 1:], cut[:, :1]], axis=1)


@mistake(of="character_batch")
def one_character_short(text, starts, length):
    """A window of `length` characters holds inputs and labels.

    It holds one pair too few. Cut `length + 1` characters.
    """
    cut = np.stack([text[s : s + length] for s in starts])
    return cut[:, :-1], cut[:, 1:]


@mistake(of="character_batch")
def the_characters_before(text, starts, length):
    """The label is what came before.

    The model is to go on with a text, not to look back: the label of each character is the next one.
    """
    places = np.asarray(starts)[:, None] + np.arange(length)[None]
    return text[places], text[places - 1]


@mistake(of="character_batch")
def only_the_character_after_the_window(text, starts, length):
    """A window has one label, the character after it.

    Each of its characters has one: a window of 40 gives 40 examples.
    """
    places = np.asarray(starts)[:, None] + np.arange(length)[None]
    return text[places], text[np.asarray(starts) + length]


# --- character_model


class _Reader(nnx.Module):
    """A character model with a fault that can be chosen."""

    def __init__(self, rngs, vocabulary, width, fault):
        self.table = nnx.Embed(vocabulary, width, rngs=rngs)
        self.state = nnx.RNN(nnx.GRUCell(width, width, rngs=rngs), rngs=rngs)
        self.out = nnx.Linear(width, vocabulary, rngs=rngs)
        self.fault = fault

    def __call__(self, codes):
        x = self.table(codes)
        if self.fault == "late":
            x = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        if self.fault == "pairs":
            x = x + 0.5 * jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        x = x if self.fault in ("bigram", "pairs") else self.state(x, **self.settings)
        return self.out(x[:, -1] if self.fault == "last" else x)

    @property
    def settings(self):
        return {"across": {"time_major": True}, "future": {"reverse": True, "keep_order": True}}.get(self.fault, {})


@mistake(of="character_model")
def no_memory(rngs, vocabulary, width=96):
    """The next character depends on the last one.

    Also on those before it. Let a recurrent layer carry a state from left to right.
    """
    return _Reader(rngs, vocabulary, width, "bigram")


@mistake(of="character_model")
def a_short_memory(rngs, vocabulary, width=96):
    """The last two characters are enough.

    A word is longer. What was read long ago must still act: let a recurrent layer carry a state to the end.
    """
    return _Reader(rngs, vocabulary, width, "pairs")


@mistake(of="character_model")
def looks_into_the_future(rngs, vocabulary, width=96):
    """The direction of a recurrent layer does not matter.

    The label of a place is the next character: a state that comes from the right has already seen it.
    """
    return _Reader(rngs, vocabulary, width, "future")


@mistake(of="character_model")
def runs_over_the_batch(rngs, vocabulary, width=96):
    """The first axis is time.

    In a batch of shape (b, t) the second is. With `time_major=True` the state runs from one text into the next.
    """
    return _Reader(rngs, vocabulary, width, "across")


@mistake(of="character_model")
def only_the_last_place(rngs, vocabulary, width=96):
    """The model predicts the character after the window.

    It predicts one after each character, so that a window of 40 gives 40 examples.
    """
    return _Reader(rngs, vocabulary, width, "last")


@mistake(of="character_model")
def one_place_late(rngs, vocabulary, width=96):
    """Inputs must be shifted so that a place does not see its own character.

    The labels are shifted already. At each place the model may, and must, see the character there.
    """
    return _Reader(rngs, vocabulary, width, "late")
