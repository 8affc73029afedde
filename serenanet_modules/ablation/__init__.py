"""``serenanet ablate``: a suite of variants, each trained with several seeds, as processes here or as Slurm jobs."""
