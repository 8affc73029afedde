"""The CUDA and Triton kernels of mamba_ssm and causal_conv1d, imported one operation at a time."""
