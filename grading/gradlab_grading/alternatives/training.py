"""Correct but different implementations of lab 05, training."""

from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx

from gradlab_grading.alternatives import alternative

# --- network


class _Stages(nnx.Module):
    def __init__(self, rngs, channels=16, dropout=0.25):
        sizes = [1, channels, 2 * channels]
        self.stages = nnx.List(
            [
                nnx.Sequential(
                    nnx.Conv(a, b, kernel_size=(3, 3), use_bias=False, rngs=rngs),
                    nnx.BatchNorm(b, momentum=0.9, rngs=rngs),
                    nnx.relu,
                    partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2)),
                )
                for a, b in pairwise(sizes)
            ]
        )
        self.last = nnx.Sequential(nnx.Dropout(dropout, rngs=rngs), nnx.Linear(8 * channels, 10, rngs=rngs))

    def __call__(self, images):
        for stage in self.stages:
            images = stage(images)
        return self.last(images.reshape(images.shape[0], -1))


@alternative(of="network")
def in_stages(rngs, channels=16, dropout=0.25):
    """A list of sequences, convolutions without bias."""
    return _Stages(rngs, channels, dropout)


class _ByHand(nnx.Module):
    def __init__(self, rngs, channels=16, dropout=0.25):
        draw = nnx.initializers.he_normal()
        self.a = nnx.Param(draw(rngs.params(), (3, 3, 1, channels)))
        self.b = nnx.Param(draw(rngs.params(), (3, 3, channels, 2 * channels)))
        self.w = nnx.Param(draw(rngs.params(), (8 * channels, 10)))
        self.norm_a = nnx.BatchNorm(channels, momentum=0.9, rngs=rngs)
        self.norm_b = nnx.BatchNorm(2 * channels, momentum=0.9, rngs=rngs)
        self.noise = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, images):
        x = images
        for kernel, norm in ((self.a, self.norm_a), (self.b, self.norm_b)):
            x = jax.lax.conv_general_dilated(x, kernel[...], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jnp.maximum(norm(x), 0)
            b, h, w, c = x.shape
            x = x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
        return self.noise(x.reshape(len(x), -1)) @ self.w[...]


@alternative(of="network")
def with_lax_convolutions(rngs, channels=16, dropout=0.25):
    """Kernels of its own, `lax.conv_general_dilated`, pooling by reshaping."""
    return _ByHand(rngs, channels, dropout)


# --- train_step


@partial(jax.jit, static_argnames=("graph",))
def _functional(graph, state, x, y):
    whole = nnx.merge(graph, state)
    model, optimizer = whole

    def objective(params, rest):
        model = nnx.merge(parts, params, rest, copy=True)
        scores = model(x)
        nll = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), y[..., None], axis=-1))
        return nll, (scores, nnx.state(model, nnx.Not(nnx.Param)))

    parts, params, rest = nnx.split(model, nnx.Param, ...)
    (nll, (scores, rest)), slopes = jax.value_and_grad(objective, has_aux=True)(params, rest)
    nnx.update(model, rest)
    optimizer.update(model, slopes)
    return nll, jnp.mean(jnp.argmax(scores, -1) == y), slopes, nnx.state(whole)


@alternative(of="train_step")
def with_split_and_merge(model, optimizer, inputs, labels):
    """Plain `jax.jit` of a pure function of the whole state."""
    model.train()
    graph, everything = nnx.split((model, optimizer))
    loss, accuracy, slope, everything = _functional(graph, everything, inputs, labels)
    nnx.update((model, optimizer), everything)
    return loss, accuracy, slope


@nnx.jit
def _compiled(model, optimizer, inputs, labels):
    grad = nnx.grad(
        lambda m: (
            (out := m(inputs)) is not None
            and (optax.softmax_cross_entropy(out, jax.nn.one_hot(labels, out.shape[-1])).mean(), out)
        ),
        has_aux=True,
    )
    slopes, out = grad(model)
    optimizer.update(model, slopes)
    loss = optax.softmax_cross_entropy(out, jax.nn.one_hot(labels, out.shape[-1])).mean()
    return loss, jnp.mean((out.argmax(-1) == labels).astype(jnp.float32)), nnx.to_pure_dict(slopes)


@alternative(of="train_step")
def mode_outside_of_jit(model, optimizer, inputs, labels):
    """Switches the mode before the compiled part, and gives the gradients as a plain dict."""
    model.train()
    return _compiled(model, optimizer, inputs, labels)


# --- evaluate


@nnx.jit
def _padded(model, x, y, mask):
    nll = optax.softmax_cross_entropy_with_integer_labels(out := model(x), y)
    return jnp.sum(nll * mask), jnp.sum((out.argmax(-1) == y) * mask)


@alternative(of="evaluate")
def padded_batches(model, inputs, labels, batch_size):
    """Fills the last batch up and masks what was added: one shape, one trace."""
    model.eval()
    count = len(labels)
    rows = np.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
    totals = np.zeros(2)
    for row in rows:
        at = np.minimum(row, count - 1)
        totals += np.array(_padded(model, inputs[at], labels[at], jnp.asarray(row < count, jnp.float32)))
    return {"accuracy": float(totals[1] / count), "loss": float(totals[0] / count)}


@alternative(of="evaluate")
def on_a_copy_with_nnx_metrics(model, inputs, labels, batch_size):
    """Evaluates a clone, with Flax's own metrics, weighted by repeating."""
    calm = nnx.clone(model)
    calm.eval()
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
    for k in range(0, len(labels), batch_size):
        logits = calm(inputs[k : k + batch_size])
        y = labels[k : k + batch_size]
        metrics.update(logits=logits, labels=y, loss=optax.softmax_cross_entropy_with_integer_labels(logits, y))
    return {name: float(value) for name, value in metrics.compute().items()}


# --- batch_at


@alternative(of="batch_at")
def with_numpy(seed, step, examples, batch_size):
    """NumPy's generator from seed and epoch."""
    each = examples // batch_size
    order = np.random.default_rng((seed, step // each)).permutation(examples)
    return order[: each * batch_size].reshape(each, batch_size)[step % each]


@alternative(of="batch_at")
def by_sorting_random_numbers(seed, step, examples, batch_size):
    """Sorts random numbers of the epoch's key."""
    steps = examples // batch_size
    key = jax.random.split(jax.random.fold_in(jax.random.key(seed), step // steps))[0]
    order = jnp.argsort(jax.random.uniform(key, (examples,)))
    return jax.lax.dynamic_slice(order, (step % steps * batch_size,), (batch_size,))


# --- checkpoints


@alternative(of="checkpoints")
class WithOrbaxsManager:
    """Orbax's CheckpointManager, which keeps the last two."""

    def __init__(self, folder):
        self.shelf = Path(folder).absolute()

    def _manager(self):
        return ocp.CheckpointManager(self.shelf, options=ocp.CheckpointManagerOptions(max_to_keep=2))

    def save(self, step, model, optimizer):
        with self._manager() as manager:
            manager.save(step, args=ocp.args.StandardSave(nnx.state((model, optimizer))))
            manager.wait_until_finished()

    def restore(self, model, optimizer):
        with self._manager() as manager:
            if (newest := manager.latest_step()) is None:
                return 0
            wanted = ocp.args.StandardRestore(nnx.state((model, optimizer)))
            nnx.update((model, optimizer), manager.restore(newest, args=wanted))
        return newest


@alternative(of="checkpoints")
class WithNumpyArchives:
    """One archive of NumPy arrays for each step, written aside and renamed."""

    def __init__(self, folder):
        self.shelf = Path(folder)

    def save(self, step, model, optimizer):
        self.shelf.mkdir(parents=True, exist_ok=True)
        leaves = jax.tree.leaves(nnx.state((model, optimizer)))
        data = [jax.random.key_data(it) if jnp.issubdtype(it.dtype, jax.dtypes.prng_key) else it for it in leaves]
        aside = self.shelf / "unfinished"
        with aside.open("wb") as file:
            np.savez(file, *map(np.asarray, data))
        aside.rename(self.shelf / f"{step:08d}.npz")

    def restore(self, model, optimizer):
        path = max(self.shelf.glob("*.npz"), default=None)
        if path is None:
            return 0
        leaves, tree = jax.tree.flatten(nnx.state((model, optimizer)))
        with np.load(path) as archive:
            arrays = [jnp.asarray(array) for array in archive.values()]
        filled = [
            jax.random.wrap_key_data(new) if jnp.issubdtype(old.dtype, jax.dtypes.prng_key) else new
            for old, new in zip(leaves, arrays, strict=True)
        ]
        nnx.update((model, optimizer), jax.tree.unflatten(tree, filled))
        return int(path.stem)


# --- fit


def _advance(train_step, model, optimizer, inputs, labels, rows):
    return train_step(model, optimizer, jnp.take(jnp.asarray(inputs), rows, 0), jnp.take(jnp.asarray(labels), rows, 0))


@alternative(of="fit")
def with_a_while_loop(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Counts up in a while loop and tells before it saves."""
    shelf = WithNumpyArchives(folder)
    step = shelf.restore(model, optimizer)
    while step < steps:
        rows = with_numpy(seed, step, len(labels), batch_size)
        told = _advance(train_step, model, optimizer, inputs, labels, rows)
        step += 1
        if step % every == 0 or step == steps:
            shelf.save(step, model, optimizer)
        if on_step:
            on_step(step, *told)
    return step


@alternative(of="fit")
def saving_when_interrupted(
    train_step, model, optimizer, inputs, labels, *, seed, batch_size, steps, folder, every, on_step=None
):
    """Also saves when it is interrupted, so that nothing is done twice."""
    shelf = WithNumpyArchives(folder)
    done = shelf.restore(model, optimizer)
    try:
        for k in range(done, steps):
            told = _advance(
                train_step,
                model,
                optimizer,
                inputs,
                labels,
                by_sorting_random_numbers(seed, k, len(labels), batch_size),
            )
            done = k + 1
            if done % every == 0:
                shelf.save(done, model, optimizer)
            if on_step is not None:
                on_step(done, *told)
    finally:
        shelf.save(done, model, optimizer)
    return done


# --- memorize and train_on_budget

_sgd = cache(lambda: optax.sgd(optax.linear_schedule(0.1, 0.001, 180), momentum=0.9, nesterov=True))
_adam = cache(lambda: optax.adam(optax.exponential_decay(4e-3, 40, 0.5)))


def _through(batches, tx, channels, dropout):
    model = in_stages(nnx.Rngs(7), channels, dropout)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for images, labels in batches:
        mode_outside_of_jit(model, optimizer, jnp.asarray(images), jnp.asarray(labels))
    return model


@alternative(of="memorize")
def by_momentum(images, labels):
    """SGD with Nesterov's momentum."""
    return _through([(images, labels)] * 60, _sgd(), 8, 0.1)


@alternative(of="memorize")
def in_halves(images, labels):
    """Two batches of 25 in turn, with Adam."""
    halves = [(images[k::2], labels[k::2]) for k in range(2)]
    return _through(halves * 50, _adam(), 8, 0.1)


@alternative(of="train_on_budget")
def budget_by_momentum(batches):
    """SGD with Nesterov's momentum at a rate that falls along a line."""
    return _through(batches, _sgd(), 24, 0.4)


@alternative(of="train_on_budget")
def budget_by_adam(batches):
    """Adam at a rate that falls exponentially, and more dropout."""
    return _through(list(batches), _adam(), 24, 0.5)


# --- early_stopping


@alternative(of="early_stopping")
def with_a_pure_dict(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """Keeps the arrays themselves, which nobody changes, in a plain dict; decides by counting down."""
    losses, left, best = [], patience, 0
    while len(losses) < max_epochs and left:
        train_epoch(model)
        losses.append(validate(model))
        left -= 1
        if not best or losses[-1] + min_delta < losses[best - 1]:
            best, left = len(losses), patience
            arrays = nnx.to_pure_dict(nnx.state(model))
    state = nnx.state(model)
    nnx.replace_by_pure_dict(state, arrays)
    nnx.update(model, state)
    return best, losses


@alternative(of="early_stopping")
def with_a_clone(model, train_epoch, validate, *, patience, min_delta, max_epochs):
    """Keeps a clone of the model, and looks for the rule in the history."""
    history, best = [], None
    for _ in range(max_epochs):
        train_epoch(model)
        loss = validate(model)
        if best is None or loss < history[best] - min_delta:
            best, saved = len(history), nnx.clone(model)
        history.append(loss)
        if len(history) - 1 - best >= patience:
            break
    nnx.update(model, nnx.state(saved))
    return best + 1, history


# --- regularization_study


@alternative(of="regularization_study")
def trained_again_for_the_report(train, score, settings, seeds):
    """Trains the chosen setting once more, since trainings are functions of setting and seed."""
    table = np.array([[score(train(s, seed), "validation") for seed in seeds] for s in settings])
    chosen = settings[int(table.mean(axis=1).argmax())]
    test = sum(score(train(chosen, seed), "test") for seed in seeds) / len(seeds)
    return {"chosen": chosen, "test": test, "validation": dict(zip(settings, map(float, table.mean(1)), strict=True))}


@alternative(of="regularization_study")
def keeping_the_best_so_far(train, score, settings, seeds):
    """Goes through the settings and keeps the best one's models."""
    means, best, kept = {}, -1.0, ("", [])
    for name in settings:
        models = [train(name, seed) for seed in seeds]
        means[name] = sum(score(model, "validation") for model in models) / len(models)
        if means[name] > best:
            best, kept = means[name], (name, models)
    return {"validation": means, "chosen": kept[0], "test": np.mean([score(model, "test") for model in kept[1]])}


# --- text


@alternative(of="character_batch")
def window_by_window(text, starts, length):
    """Python slices, stacked."""
    pairs = [(text[s : s + length], text[s + 1 : s + length + 1]) for s in map(int, starts)]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


@alternative(of="character_batch")
def from_all_windows(text, starts, length):
    """A view of all windows of one more character, as JAX arrays."""
    table = np.lib.stride_tricks.sliding_window_view(text, length + 1)[np.asarray(starts)]
    return jnp.asarray(table[:, :-1]), jnp.asarray(table[:, 1:])


class _Recurrent(nnx.Module):
    def __init__(self, rngs, vocabulary, width=96):
        self.table = nnx.Param(jax.random.normal(rngs.params(), (vocabulary, width)))
        self.memory = nnx.RNN(nnx.OptimizedLSTMCell(width, width, rngs=rngs), rngs=rngs)

    def __call__(self, codes):
        return self.memory(self.table[...][codes]) @ self.table[...].T


@alternative(of="character_model")
def lstm_with_tied_embeddings(rngs, vocabulary, width=96):
    """An LSTM whose output layer is the embedding, transposed."""
    return _Recurrent(rngs, vocabulary, width)


class _Attending(nnx.Module):
    def __init__(self, rngs, vocabulary, width=96):
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.readout = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, codes):
        x = self.embed(codes)
        return self.readout(x + self.attention(x, mask=nnx.make_causal_mask(codes)))


@alternative(of="character_model")
def causal_attention(rngs, vocabulary, width=96):
    """One layer of masked attention."""
    return _Attending(rngs, vocabulary, width)
