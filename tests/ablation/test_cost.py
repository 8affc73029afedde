"""What an ablation has cost, and what is left of it by what was measured."""

import json

import pytest

from serenanet_modules.ablation.cost import cost
from serenanet_modules.errors import UserError

LINE = "epoch: {}, lr: 1.66e-03, seconds: {} - train loss: 3.17 - valid loss: 2.07, valid WER: 1.07e+02\n"


@pytest.fixture(name="made")
def _made(run):
    """``made(name, training=None, epochs=10, evaluation=0)``: a run of 10 epochs, finished where it has seconds."""

    def make(name, training=None, epochs=10, evaluation=0.0, **more):
        made = run(name)
        made.epochs = 10
        made.folder.mkdir(parents=True)
        if training is not None:
            seconds = {"training": training, "evaluation": evaluation}
            content = {"seconds": seconds, "epochs": epochs, "processes": 1, "device": "cpu", **more}
            (made.folder / "result.json").write_text(json.dumps(content))
        return made

    return make


def test_by_the_nearest_that_was_measured(made):
    """A variant's own seed, else its kind; pre-trainings and fine-tunings apart."""
    done = [made("pretraining/full/1", 1800), made("full/1", 3600, 10, 360), made("no_car/1", 1800, 5, 0)]
    left = [made("pretraining/full/2"), made("full/2"), made("other/2")]
    told = cost([*done, *left], done, 2.0)
    assert told[0] == "spent: 3 trainings, 2.10 hours (4.20 at 2.00 an hour)"
    pretraining, full, other = 1800, 3600 + 180, 10 * 360 + 180
    hours = (pretraining + full + other) / 3600
    assert told[1] == (
        f"to run: 3 trainings, at most about {hours:.2f} hours ({2 * hours:.2f} at 2.00 an hour), by the epochs "
        "measured in 3"
    )
    assert len(told) == 2


def test_a_run_under_way_is_measured_by_its_log(made):
    """Only what is left of it counts, at its own pace; an epoch whose checkpoint was lost is logged again."""
    begun = made("full/1")
    (begun.folder / "train_log.txt").write_text(LINE.format(1, 100) + LINE.format(2, 240) + LINE.format(2, 200))
    assert cost([begun], []) == [
        "begun: 1 training, so far about 0.06 hours",
        "to run: 1 training, at most about 0.22 hours, by the epochs measured in 1",
    ]


def test_several_processes_on_gpus_count_each(made):
    done = made("full/1", 1800, processes=4, device="NVIDIA H200", evaluation=900)
    assert cost([done, made("full/2")], [done]) == [
        "spent: 1 training, 3.00 GPU hours",
        "to run: 1 training, at most about 3.00 GPU hours, by the epochs measured in 1",
    ]


def test_nothing_is_guessed_without_a_measurement(made):
    done, left = made("pretraining/full/1", 60), made("full/1")
    assert cost([done, left], [done])[1:] == [
        "to run: 1 training of unknown cost: no such run has finished an epoch yet"
    ]
    assert cost([done], [done]) == ["spent: 1 training, 0.02 hours"]


def test_a_result_that_is_none(made):
    done = made("full/1", "much")
    with pytest.raises(UserError, match=r"full/1/result.json: is not the result of a training"):
        cost([done], [done])
