"""A backend that the environment asks for is refused where it cannot run."""

import pytest

from serenanet_modules.errors import UserError
from serenanet_modules.ops import cpp
from serenanet_modules.runtime.backend import check_backend


@pytest.mark.parametrize(
    ("backend", "device", "told"),
    [
        ("cpp", "cpu", "SERENANET_OPS_BACKEND=cpp: there is no compiler"),
        ("cpp", "cuda:1", "run on the CPU, and this runs on cuda:1"),
        ("fused", "cpu", "need a GPU"),
        ("triton", "cuda", "choose one of"),
    ],
)
def test_what_cannot_run_is_refused(monkeypatch, backend, device, told):
    monkeypatch.setattr(cpp, "why_not", lambda: "there is no compiler")
    monkeypatch.setenv("SERENANET_OPS_BACKEND", backend)
    with pytest.raises(UserError, match=told):
        check_backend(device)


@pytest.mark.parametrize(("backend", "device"), [("", "cpu"), ("torch", "cpu"), ("torch", "cuda"), ("fused", "cuda")])
def test_what_may_run_is_not(monkeypatch, backend, device):
    monkeypatch.setenv("SERENANET_OPS_BACKEND", backend)
    check_backend(device)
