"""A training and an evaluation in eight bits, rounded as a GPU would."""

from tests.support.tiny import PAIRS, weights


def test_a_training_in_eight_bits(train, reference):
    """Layers are converted and told, its losses are near those of float32, and the folder is one like any other."""
    options = ("--number_of_epochs", 1, "--beam_size", 0, "--eval_precision", "fp8", "--emulate_precision", *PAIRS)
    run = train("--precision", "fp8", *options).done()
    told = run.result["precision"]
    assert (
        (told["training"], told["evaluation"]) == ("fp8", "fp8") and told["emulated"] and told["converted_layers"] > 3
    )
    assert "fp8: " in run.output and "front end or output" in run.output
    assert told["left"] and len(told["never_called"]) < told["converted_layers"]
    plain = reference.result["history"][0]["train"]["ctc"]
    assert 0 < abs(run.result["history"][0]["train"]["ctc"] - plain) < 0.05 * plain
    assert reference.result["precision"] == {"training": "fp32", "evaluation": "fp32"}
    assert {name: (t.shape, t.dtype) for name, t in weights(run.folder).items()} == {
        name: (t.shape, t.dtype) for name, t in weights(reference.folder).items()
    }
