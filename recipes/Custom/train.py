"""Train on your own corpus: python train.py HPARAMS --locale LOCALE --data_folder MANIFEST [--key value ...]."""

from serenanet_modules.training.experiment import main

if __name__ == "__main__":
    main(__file__)
