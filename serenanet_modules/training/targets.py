"""The targets of a run's masked prediction, made once per result folder: its clusters, and the phones behind them."""

import json
import logging
import shutil
from pathlib import Path

import torch
from safetensors import safe_open

from serenanet_modules.data.alignment import PhoneAligner, cepstra, spelling
from serenanet_modules.data.batching import loader_of
from serenanet_modules.data.clustering import fit_centroids, frames_of, sample_frames
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.heads.clusters import Spectrum, middle
from serenanet_modules.runs.clusters import CLUSTERS, encoder_layer, load_clusters
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import replacing, write_tensors

logger = logging.getLogger(__name__)

ALIGNER = "aligner.safetensors"
ALIGNED_UTTERANCES = 1000  # of train, at most, that the phones are estimated on


class Targets:
    """Makes what a run needs, or finds what it made before, in ``save``; processes other than the main one wait.

    Parameters
    ----------
    plain : dict
        The run's settings: n_clusters, cluster_frames, cluster_layer, targets, iteration, seed, num_workers.
    train : list of Utterance
    root : Path
        Folder of the manifest.
    save : Path
    features : LogMel
        With its statistics, on ``device``.
    device : torch.device
    """

    def __init__(self, plain, train, root, save, features, device):
        self.plain, self.train, self.root, self.save = plain, train, root, Path(save)
        self.features, self.device = features, device

    def clusters(self, start=None):
        """The `Clusters`: those of what the run starts from, a `Start`, or fitted here.

        Raises
        ------
        UserError
            Where they cannot be made as the settings say.
        """
        file = self.save / CLUSTERS
        distributed.main_first(lambda: None if file.is_file() else self._make_clusters(file, start))
        return load_clusters(file).to(self.device)

    def aligner(self):
        """The `PhoneAligner` of the training transcripts; None where there are none, or none that can be aligned."""
        return distributed.main_first(self._aligner_or_warning)

    # --- clusters -------------------------------------------------------------------------------------------------

    def _make_clusters(self, file, start):
        if start is not None and start.clusters is not None:
            with replacing(file) as path:
                shutil.copyfile(start.clusters, path)
            return
        about = {"targets": self.plain["targets"], "iteration": self.plain["iteration"]}
        about |= {"layer": None, "hyperparams": None}
        representation = Spectrum()
        if start is not None and start.teaches:
            there = start.origin
            representation, layer = encoder_layer(there.hparams, there.tensors, self.plain["cluster_layer"])
            about |= {"layer": layer, "hyperparams": there.hparams.text}
        teacher = {f"teacher.{name}": t for name, t in representation.state_dict().items()}
        centroids = self._fit(representation.to(self.device).eval())
        write_tensors(file, {"centroids": centroids, **teacher}, {"clusters": json.dumps(about)})

    def _fit(self, representation):
        """Centroids (K, D) of frames of the whole training set."""
        plain = self.plain
        sample = sample_frames(
            self.train,
            self.root,
            self.features,
            representation,
            plain["cluster_frames"],
            plain["seed"],
            self.device,
            plain["num_workers"],
        )
        seeds = self._phone_means(representation) if plain["targets"] == "phoneme_seeded" else None
        return torch.from_numpy(fit_centroids(sample, plain["n_clusters"], plain["seed"], seeds))

    def _phone_means(self, representation):
        """Mean frame of each phone and of silence, (phones, D)."""
        aligner = self._made_aligner()
        if aligner is None:
            raise UserError("'targets' phoneme_seeded needs transcripts, and no training utterance has one")
        sums, counts = 0.0, torch.zeros(len(aligner.phones))
        spell = spelling()
        for utterance, x, y in self._transcribed(representation, "phones: means"):
            path = aligner.align(cepstra(x.cpu()), spell(utterance))
            if path is not None:
                place = middle(torch.tensor([len(x)]), representation.stride, len(x))[0]
                chosen = torch.nn.functional.one_hot(path[place], len(aligner.phones)).float()  # (T, phones)
                sums = sums + chosen.T @ y.float().cpu()
                counts += chosen.sum(0)
        heard = counts > 0
        return (sums[heard] / counts[heard].unsqueeze(1)).numpy()

    # --- phones -----------------------------------------------------------------------------------------------------

    def _aligner_or_warning(self):
        try:
            return self._made_aligner()
        except UserError as error:
            logger.warning("clusters are not compared with phones: %s", error)
            return None

    def _made_aligner(self):
        """Main process: that of the folder, or a new one; None without transcripts."""
        file = self.save / ALIGNER
        if not file.is_file():
            if not any(u.text for u in self.train):
                return None
            self._make_aligner(file)
        with safe_open(file, "pt") as tensors:
            phones = json.loads(tensors.metadata()["phones"])
            return PhoneAligner(phones, tensors.get_tensor("mean"), tensors.get_tensor("variance"))

    def _make_aligner(self, file):
        spell = spelling()
        heard = [(cepstra(x.cpu()), spell(u)) for u, x, _ in self._transcribed(Spectrum(), "phones: cepstra")]
        aligner = PhoneAligner.fit(heard, progress=True)
        tensors = {"mean": aligner.mean, "variance": aligner.variance}
        write_tensors(file, tensors, {"phones": json.dumps(aligner.phones)})

    def _transcribed(self, representation, title):
        """`frames_of` a seeded sample of the transcribed utterances."""
        rows = [u for u in self.train if u.text]
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.plain["seed"]))
        rows = [rows[i] for i in order[:ALIGNED_UTTERANCES]]
        found = frames_of(loader_of(rows, self.root), self.features, representation, self.device)
        return Bar(found, desc=title, total=len(rows), unit="clip")
