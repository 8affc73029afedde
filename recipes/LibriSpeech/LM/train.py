"""Train a language model of a recogniser's units: python train.py HPARAMS --acoustic RESULT_DIR --text FILE."""

from serenanet_modules.training.experiment import main

if __name__ == "__main__":
    main(__file__)
