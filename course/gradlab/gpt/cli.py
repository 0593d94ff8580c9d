"""Train a GPT on the source code of the standard library, from a terminal, Slurm or Kubernetes."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gradlab.gpt.config import PRESETS, Config, Recipe

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
# As a shell says it of a program that Ctrl-C has ended.
INTERRUPTED = 130
NOT_SAVED = "nothing is saved without --checkpoints"


def _option(text: str) -> typer.models.OptionInfo:
    return typer.Option(help=text)


@app.command(help=__doc__)
def main(
    preset: Annotated[str, _option(f"Sizes of the model: {', '.join(PRESETS)}.")] = "tiny",
    steps: Annotated[int, _option("Updates of the weights.")] = Recipe.steps,
    batch: Annotated[int, _option("Sequences of one update, over all devices.")] = Recipe.batch,
    accumulation: Annotated[int, _option("Parts of a batch, one after the other.")] = Recipe.accumulation,
    rate: Annotated[float, _option("Highest learning rate.")] = Recipe.rate,
    warmup: Annotated[int, _option("Updates until it is reached.")] = Recipe.warmup,
    seed: Annotated[int, _option("Of the initial weights and the order of the data.")] = Recipe.seed,
    data: Annotated[int | None, _option("Devices along 'data'. Default: all that there are.")] = None,
    model: Annotated[int, _option("Devices along 'model': tensor parallelism.")] = 1,
    dtype: Annotated[str, _option("Of the arithmetic; weights stay float32.")] = Config.dtype,
    remat: Annotated[
        str, _option("What is computed twice: none, dots, weights, full. On a CPU, only with --scan.")
    ] = Config.remat,
    scan: Annotated[bool, _option("One compiled block in a loop.")] = Config.scan,
    characters: Annotated[int, _option("Length of the text to train on.")] = 1_000_000,
    checkpoints: Annotated[Path | None, _option("Folder to save in, and to resume from.")] = None,
    every: Annotated[int, _option("Steps between checkpoints.")] = 100,
    report: Annotated[int, typer.Option(help="Steps between lines of the log.", min=1)] = 10,
) -> None:
    """Parse, join the other processes, train."""
    from gradlab import distributed

    try:
        member = distributed.join()
    except (ValueError, distributed.CannotJoin) as error:
        raise SystemExit(f"gradlab.gpt: {error}") from error
    try:
        config = _preset(preset).but(dtype=dtype, remat=remat, scan=scan)
        recipe = Recipe(steps, batch, accumulation, rate, warmup, seed=seed)
        _train(config, recipe, (data, model), characters, checkpoints, every, report)
    except (ValueError, OSError) as error:
        if distributed.is_loss_of_process(error):
            _leave(member, checkpoints, error)
        _stop(member, str(error), 1)
    except RuntimeError as error:
        if not distributed.is_loss_of_process(error):
            raise
        _leave(member, checkpoints, error)
    except KeyboardInterrupt:
        again = f"the same command goes on from the last checkpoint in {checkpoints}" if checkpoints else NOT_SAVED
        _stop(member, f"interrupted; {again}.", INTERRUPTED)


def _preset(name: str) -> Config:
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _train(
    config: Config,
    recipe: Recipe,
    mesh: tuple[int | None, int],
    characters: int,
    folder: Path | None,
    every: int,
    lines: int,
) -> None:
    from contextlib import nullcontext

    import jax

    from gradlab.corpus import standard_library
    from gradlab.gpt.checkpoints import Checkpoints
    from gradlab.gpt.run import Progress, held_out_loss, train
    from gradlab.gpt.sharding import make_mesh
    from gradlab.gpt.trainer import Trainer

    trainer = Trainer(config, recipe, make_mesh(*mesh))
    size = sum(leaf.size for leaf in jax.tree.leaves(trainer.abstract.parameters))
    say = _printer(jax.process_index())
    say(f"{size:,} parameters on a mesh of {dict(trainer.mesh.shape)}, {jax.process_count()} processes")

    def show(now: Progress) -> None:
        if now.step % lines == 0 or now.step in (1, recipe.steps):
            say(
                f"step {now.step} of {recipe.steps}, loss {now.loss:.6f}, gradient {now.gradient_norm:.3f}, "
                f"{now.tokens_per_second:,.0f} tokens/s, {now.seconds_left:.0f} s left"
            )

    corpus = standard_library(characters)
    with Checkpoints(folder, every=every) if folder else nullcontext() as checkpoints:
        if checkpoints and checkpoints.latest is not None:
            say(f"goes on from the checkpoint of step {checkpoints.latest}")
            if checkpoints.latest >= recipe.steps:
                say(f"{recipe.steps} steps are done already: give more --steps to train on")
        finished = train(trainer, corpus.train, checkpoints=checkpoints, report=show)
        say(f"held-out loss {held_out_loss(trainer, finished.state, corpus):.6f} nats a token")


def _printer(process: int):  # noqa: ANN202 a function that prints, or one that does not
    return (lambda text: print(text, flush=True)) if process == 0 else (lambda text: None)


def _leave(member, checkpoints: Path | None, error: Exception) -> NoReturn:  # noqa: ANN001 None for one alone
    from gradlab import distributed

    who = f"process {member.number} of {member.count}" if member else "the process"
    again = f"start all again with --checkpoints {checkpoints} to go on" if checkpoints else "start all again"
    print(f"gradlab.gpt: {who} stops, because another one is gone: {again}.", file=sys.stderr)
    _stop(member, str(error).splitlines()[0], distributed.LOST_A_PROCESS)


def _stop(member, why: str, status: int) -> NoReturn:  # noqa: ANN001 None for one alone
    """Say why, and end; one of several ends at once, for an ordinary exit waits for the others at a barrier."""
    from gradlab import distributed

    print(f"gradlab.gpt: {why}", file=sys.stderr, flush=True)
    if member:
        distributed.leave(member, status)
    raise SystemExit(status)


if __name__ == "__main__":
    app()
