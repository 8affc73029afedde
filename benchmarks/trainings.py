"""Trainings as users start them, of the embedded corpus's recipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "tests/sample/CommonVoice/sw"
SMALL = """
    --d_model 96 --encoder.n_layers 2 --encoder.d_ffn 256 --encoder.n_heads 2 --car null --dropout 0.0
    --spec_augment null --speed_perturb null --max_batch_seconds 24 --warmup_steps 60 --final_lr_share 0.0
    --beam_size 0 --lm null --checkpoints_to_average 1 --noprogressbar --device=cpu
""".split()


def trained(folder, *words):
    """The content of result.json of a training of SerenaNet, made small; one that is finished is not made again.

    Parameters
    ----------
    folder : Path
        Of results.
    *words : object
        Further ones of the command line.
    """
    if not (folder / "result.json").is_file():
        line = [sys.executable, ROOT / "recipes/CommonVoice/sw/train.py", ROOT / "hparams/serenanet.yaml"]
        line += [ROOT / "hparams/sizes/serenanet/small.yaml", "--output_folder", folder, *SMALL, *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([str(word) for word in line], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:] or done.stdout[-2000:])
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))
