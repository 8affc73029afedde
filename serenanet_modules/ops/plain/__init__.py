"""Plain PyTorch: runs on any device, with backward passes of bounded memory."""
