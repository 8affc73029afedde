"""Train on any locale of Common Voice: python train.py HPARAMS --locale LOCALE --data_folder DIR [--key value ...]."""

from serenanet_modules.training.experiment import main

if __name__ == "__main__":
    main(__file__)
