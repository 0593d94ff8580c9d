"""Initialise, step, evaluate: three compiled programs on a mesh."""

from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.model import GPT, next_token_loss
from gradlab.gpt.sharding import make_mesh, parameter_path, shardings


class TrainState(NamedTuple):
    """All that a step changes: arrays, or in the same places what is said of them (shapes, shardings).

    `step` counts updates, `parameters` is an `nnx.State`, `optimizer` Optax's state. All are float32 but the counts.
    """

    step: Any
    parameters: Any
    optimizer: Any


class Metrics(NamedTuple):
    """Of one step, before its update: mean loss in nats a token, and the norm of the gradient before clipping."""

    loss: Any
    gradient_norm: Any


class Trainer:
    """A model of `config`, trained by `recipe` on `mesh` (default: one device).

    Batches are `(accumulation, batch / accumulation, context + 1)` tokens, see `gradlab.gpt.batches`.
    """

    def __init__(self, config: Config, recipe: Recipe, mesh: Mesh | None = None) -> None:
        self.config, self.recipe = config, recipe
        self.mesh = make_mesh(1, 1) if mesh is None else mesh
        if (recipe.batch // recipe.accumulation) % self.mesh.shape["data"]:
            raise ValueError(
                f"{recipe.batch // recipe.accumulation} sequences (batch / accumulation) cannot be divided "
                f"over {self.mesh.shape['data']} devices of the axis 'data'"
            )
        self.graph, parameters = nnx.split(nnx.eval_shape(lambda: GPT(config, nnx.Rngs(0))))
        self.transform = make_optimizer(recipe, parameters)
        self.shardings = self._shardings(parameters)
        self.batch_sharding = NamedSharding(self.mesh, P(None, "data", None))

    def _shardings(self, parameters: nnx.State) -> TrainState:
        placed = shardings(parameters, self.mesh)
        everywhere = NamedSharding(self.mesh, P())
        state = optax.tree_utils.tree_map_params(
            self.transform,
            lambda _, sharding: sharding,
            jax.eval_shape(self.transform.init, parameters),
            placed,
            transform_non_params=lambda _: everywhere,
        )
        return TrainState(everywhere, placed, state)

    def init(self) -> TrainState:
        """The state before the first step; each device makes only its own slices. The same on every mesh."""
        key = jax.random.key(self.recipe.seed)
        return jax.jit(self._init, out_shardings=self.shardings)(key)

    def _init(self, key: Array) -> TrainState:
        parameters = nnx.state(GPT(self.config, nnx.Rngs(key)), nnx.Param)
        return TrainState(jnp.zeros((), jnp.int32), parameters, self.transform.init(parameters))

    @cached_property
    def abstract(self) -> TrainState:
        """Shapes, dtypes and shardings of the state: what a checkpoint is restored into, and a step lowered with."""
        # The key is made inside, that no device has to be there: a step can be compiled for machines that are not.
        state = jax.eval_shape(lambda: self._init(jax.random.key(0)))
        return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, self.shardings)

    @property
    def abstract_batch(self) -> jax.ShapeDtypeStruct:
        """Shape and sharding of a batch."""
        r = self.recipe
        shape = (r.accumulation, r.batch // r.accumulation, self.config.context + 1)
        return jax.ShapeDtypeStruct(shape, jnp.int32, sharding=self.batch_sharding)

    def step(self, state: TrainState, batch: Int[Array, "a b t1"]) -> tuple[TrainState, Metrics]:
        """One update. The buffers of `state` are used again for the result: it is gone afterwards."""
        with jax.set_mesh(self.mesh):
            return self._step(state, batch)

    def compile_step(self) -> jax.stages.Compiled:
        """The compiled step, to be asked for its text, costs and memory."""
        with jax.set_mesh(self.mesh):
            return self._step.lower(self.abstract, self.abstract_batch).compile()

    @cached_property
    def _step(self) -> Any:
        everywhere = NamedSharding(self.mesh, P())
        return jax.jit(
            partial(_train_step, self.graph, self.transform, self.shardings.parameters),
            in_shardings=(self.shardings, self.batch_sharding),
            out_shardings=(self.shardings, Metrics(everywhere, everywhere)),
            donate_argnums=0,
        )

    def evaluate(self, state: TrainState, batch: Int[Array, "a b t1"]) -> Float[Array, ""]:
        """The mean loss on a batch, without an update."""
        with jax.set_mesh(self.mesh):
            return self._evaluate(state.parameters, batch)

    @cached_property
    def _evaluate(self) -> Any:
        def mean_loss(parameters: nnx.State, batch: Int[Array, "a b t1"]) -> Float[Array, ""]:
            model = nnx.merge(self.graph, parameters)
            return jnp.mean(jax.lax.map(lambda part: next_token_loss(model, part), batch))

        return jax.jit(mean_loss)

    def model(self, state: TrainState) -> GPT:
        """The model with the weights of a state, which it shares: do not step and use it afterwards."""
        return nnx.merge(self.graph, state.parameters)


def _train_step(
    graph: nnx.GraphDef, transform: optax.GradientTransformation, placed: nnx.State, state: TrainState, batch: Array
) -> tuple[TrainState, Metrics]:
    def loss_of(parameters: nnx.State, tokens: Int[Array, "b t1"]) -> Float[Array, ""]:
        return next_token_loss(nnx.merge(graph, parameters), tokens)

    def add(total: tuple[Array, nnx.State], tokens: Int[Array, "b t1"]) -> tuple[tuple[Array, nnx.State], None]:
        found = jax.value_and_grad(loss_of)(state.parameters, tokens)
        loss, gradients = jax.tree.map(jnp.add, total, found)
        # At once to where the parameter is: a device never holds the sum of a gradient that is not its own.
        return (loss, jax.lax.with_sharding_constraint(gradients, placed)), None

    # Parts are equal, so the mean of their means is the mean of the batch.
    zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.parameters))
    parts = batch.shape[0]
    total = jax.lax.scan(add, zeros, batch)[0] if parts > 1 else add(zeros, batch[0])[0]
    loss, gradients = jax.tree.map(lambda x: x / parts, total)
    updates, optimizer = transform.update(gradients, state.optimizer, state.parameters)
    parameters = optax.apply_updates(state.parameters, updates)
    return TrainState(state.step + 1, parameters, optimizer), Metrics(loss, optax.tree.norm(gradients))


def rate_schedule(recipe: Recipe) -> optax.Schedule:
    """The learning rate by the number of updates that have been made: up along a line, then down along a cosine."""
    last = max(recipe.steps, recipe.warmup + 1)
    return optax.warmup_cosine_decay_schedule(0.0, recipe.rate, recipe.warmup, last, end_value=recipe.rate / 10)


def make_optimizer(recipe: Recipe, parameters: nnx.State) -> optax.GradientTransformation:
    """Clipped AdamW under warm-up and a cosine. The state is float32, as the parameters are."""
    decayed = jax.tree_util.tree_map_with_path(
        lambda path, _: parameter_path(path).endswith(("kernel", "embedding")), parameters
    )
    return optax.chain(
        optax.clip_by_global_norm(recipe.clip),
        optax.adamw(rate_schedule(recipe), b1=0.9, b2=0.95, weight_decay=recipe.decay, mask=decayed),
    )
