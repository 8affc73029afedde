"""The machine under a run: processes, devices, threads, files, faults, provenance."""
