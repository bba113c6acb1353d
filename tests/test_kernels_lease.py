"""Leased output pages: reused when nobody can see them any more, and never before."""

import copy
import gc
import threading

import pytest
import torch

from snnkit.kernels import lease

BIG = (1 << 18,)  # a MiB of float32


@pytest.fixture(autouse=True)
def fresh_pool():
    gc.collect()
    lease.trim()
    yield
    gc.collect()
    lease.trim()


def address(tensor):
    return tensor.untyped_storage().data_ptr()


def test_a_page_returns_when_the_last_reference_is_gone():
    first = lease.empty(BIG, torch.float32)
    where = address(first)
    view, array = first[10:20], first.numpy()
    del first
    assert lease.held() == 0
    del view
    assert lease.held() == 0
    array[:] = 1.0
    del array
    assert lease.held() == 1 << 20
    assert address(lease.empty(BIG, torch.float32)) == where


def test_living_leases_never_share_memory():
    tensors = [lease.empty(BIG, torch.float32).fill_(k) for k in range(8)]
    assert all(bool((t == k).all()) for k, t in enumerate(tensors))
    assert len({address(t) for t in tensors}) == 8


def test_shapes_and_types():
    for dtype in (torch.float32, torch.float64, torch.int32):
        t = lease.empty((64, 32, 512), dtype)
        assert t.shape == (64, 32, 512) and t.dtype is dtype and t.is_contiguous()
        t.fill_(3)
        assert int(t.sum()) == 3 * t.numel()
    assert lease.empty((3, 2), torch.float32).shape == (3, 2)
    assert lease.empty((0, 1 << 20), torch.float32).numel() == 0


def test_a_smaller_page_is_not_lent_and_a_much_larger_one_is_kept():
    big = address(lease.empty((1 << 20,), torch.float32))
    assert lease.held() == 4 << 20
    assert address(lease.empty(BIG, torch.float32)) != big
    assert address(lease.empty((1 << 20,), torch.float32)) == big


def test_the_pool_has_a_cap_and_can_be_trimmed():
    before = lease._cap
    try:
        lease.set_cap(3 << 20)
        tensors = [lease.empty(BIG, torch.float32) for _ in range(6)]
        tensors.clear()
        assert lease.held() == 3 << 20
        lease.trim(1 << 20)
        assert lease.held() == 1 << 20
        lease.set_cap(0)
        lease.empty(BIG, torch.float32)
        assert lease.held() == 0
    finally:
        lease.set_cap(before)


def test_autograd_keeps_what_it_saved_and_training_holds_no_more_with_time():
    from snnkit.neurons import LIF

    cell, x = LIF(tau=0.02, dt=1e-3), torch.rand(100, 4, 1024)
    weight = torch.ones(1024, requires_grad=True)
    sizes = []
    for _ in range(6):
        spikes = cell(x * weight)
        loss = (spikes * spikes).sum()
        del spikes
        lease.empty(x.shape, x.dtype).fill_(float("nan"))  # would overwrite a page given back too early
        loss.backward()
        assert bool(torch.isfinite(weight.grad).all())
        weight.grad = None
        del loss
        gc.collect()
        sizes.append(lease.held())
    assert sizes[2:] == [sizes[2]] * 4


def test_a_deep_copy_is_its_own_memory():
    tensor = lease.empty(BIG, torch.float32).fill_(1)
    twin = copy.deepcopy(tensor)
    twin.fill_(2)
    assert float(tensor.sum()) == tensor.numel() and address(twin) != address(tensor)


def test_many_threads():
    wrong = []

    def work(k):
        for _ in range(30):
            t = lease.empty(BIG, torch.float32).fill_(k)
            if not bool((t == k).all()):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
