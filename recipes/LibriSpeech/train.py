"""Train on LibriSpeech: python train.py HPARAMS --data_folder DIR [--key value ...]."""

from serenanet_modules.training.experiment import main

if __name__ == "__main__":
    main(__file__)
