"""A run that was stopped and goes on cannot be told from one that was not."""

import jax
import numpy as np
import pytest

from gradlab.corpus import standard_library
from gradlab.gpt.checkpoints import Checkpoints
from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.run import held_out_loss, learning_curve, train
from gradlab.gpt.trainer import Trainer

CONFIG = Config(context=16, width=32, layers=2, heads=4)
RECIPE = Recipe(steps=7, batch=8, warmup=2, rate=1e-2)


class Stopped(Exception):
    pass


def stop_at(step):
    def report(progress):
        if progress.step == step:
            raise Stopped

    return report


def test_resume_is_exact(tmp_path):
    text = standard_library(50_000).train
    trainer = Trainer(CONFIG, RECIPE)
    whole = train(trainer, text)
    assert list(whole.losses) == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(Stopped), Checkpoints(tmp_path / "run", every=2) as checkpoints:
        train(trainer, text, checkpoints=checkpoints, report=stop_at(5))
    with Checkpoints(tmp_path / "run", every=2) as checkpoints:
        assert checkpoints.latest == 4
        rest = train(trainer, text, checkpoints=checkpoints)
        assert checkpoints.latest == 7
    # One machine, one program: not a bit differs.
    assert rest.losses == {step: whole.losses[step] for step in (5, 6, 7)}
    jax.tree.map(np.testing.assert_array_equal, rest.state, whole.state)


def test_a_learning_curve_ends_where_the_training_does():
    text, trainer, reported = standard_library(50_000), Trainer(CONFIG, RECIPE), []
    curve = learning_curve(trainer, text, (2, 7), report=lambda *point: reported.append(point))
    assert reported == [(2, curve[0]), (7, curve[1])]
    assert curve[1] == held_out_loss(trainer, train(trainer, text.train).state, text, batches=16)
    assert curve[1] < curve[0]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    trainer, other = Trainer(CONFIG, RECIPE), Trainer(CONFIG.but(width=64), RECIPE)
    with Checkpoints(tmp_path / "run", every=1) as checkpoints:
        assert checkpoints.restore(trainer) is None
        checkpoints.save(1, trainer.init(), CONFIG)
        with pytest.raises(ValueError, match=r"'width': 32.*'width': 64"):
            checkpoints.restore(other)
