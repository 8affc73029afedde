"""The machine under a run: processes, devices, threads, memory, files, faults, provenance."""
