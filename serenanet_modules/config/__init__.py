"""Hyper-parameters: files in layers, what their values may be, and what a stranger's file may build."""
