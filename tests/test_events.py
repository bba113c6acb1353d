"""EventTensor: round trips hold for every input, and every bad input is one clear error."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnkit.errors import UserError
from snnkit.events import EventTensor

SHAPES = st.tuples(*[st.integers(1, 5)] * 4)
CELLS = st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, -1.0, 0.5])


@st.composite
def dense(draw, shapes=SHAPES):
    return torch.from_numpy(draw(hnp.arrays(np.float32, draw(shapes), elements=CELLS)))


@st.composite
def recordings(draw):
    n = draw(st.integers(1, 30))
    ticks = np.sort(np.array(draw(st.lists(st.integers(0, 20_000), min_size=n, max_size=n)), dtype=np.int64))
    channels = np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)))
    return ticks, channels


def naive_dense(steps, channels, values, shape):
    """Events one by one into a dense array."""
    x = np.zeros(shape, np.float64)
    for t, c, v in zip(steps, channels, values, strict=True):
        x[t, 0].reshape(-1)[c] += v
    return x


@given(dense())
def test_dense_to_events_and_back_changes_nothing(x):
    ev = EventTensor.from_dense(x, 1e-3)
    assert torch.equal(ev.dense(), x)
    assert ev.nnz == int((x != 0).sum()) and ev.density == ev.nnz / x.numel()
    assert (ev.values is None) == bool((x[x != 0] == 1).all())
    EventTensor(
        ev.rowptr, ev.indices, ev.values, ev.shape, ev.dt
    )  # and passes every check of the constructor
    assert EventTensor.from_dense(ev.dense(), 1e-3).equal(ev)


@given(recordings(), st.booleans(), st.booleans())
def test_raw_events_equal_a_naive_count(recording, weighted, binary):
    ticks, channels = recording
    values = np.arange(len(ticks)) % 3 - 1.0 if weighted else np.ones(len(ticks))
    given_values = values if weighted else None
    ev = EventTensor.from_events(
        ticks, channels, shape=7, dt=1e-3, unit=1e-6, values=given_values, binary=binary
    )
    expected = naive_dense(ticks // 1000, channels, values, ev.shape)
    if binary:
        expected = naive_dense(ticks // 1000, channels, np.ones(len(ticks)), ev.shape) > 0
    assert ev.shape[0] == ticks[-1] // 1000 + 1
    np.testing.assert_array_equal(ev.dense().numpy(), expected)
    EventTensor(ev.rowptr, ev.indices, ev.values, ev.shape, ev.dt)


@given(recordings())
def test_seconds_and_microseconds_fall_in_the_same_steps(recording):
    ticks, channels = recording
    exact = EventTensor.from_events(ticks, channels, shape=7, dt=1e-3, unit=1e-6)
    assert EventTensor.from_events(ticks * 1e-6, channels, shape=7, dt=1e-3).equal(exact)
    assert EventTensor.from_events(torch.from_numpy(ticks) / 1e6, channels, shape=7, dt=1e-3).equal(exact)


@given(
    st.integers(0, 10**6), st.sampled_from([1e-3, 1e-4, 2.5e-3, 1 / 3, 7e-6, 0.1, 1e-2]), st.integers(1, 999)
)
def test_a_multiple_of_dt_begins_its_step(k, dt, part):
    def step(t, kind):
        return len(EventTensor.from_events(np.array([t], kind), [0], shape=1, dt=dt)) - 1

    assert step(k * dt, np.float64) == k
    assert step((k + part / 1000) * dt, np.float64) == k
    if k < 1000:  # a float32 time cannot tell more steps apart to a thousandth
        assert step(k * dt, np.float32) == k
        assert step((k + part / 1100) * dt, np.float32) == k


def test_summed_times_land_on_their_steps_too():
    t = np.cumsum(np.full(10_000, 1e-3)) - 1e-3
    ev = EventTensor.from_events(np.maximum(t, 0), np.zeros(10_000, int), shape=1, dt=1e-3)
    assert ev.nnz == 10_000 and ev.values is None


@given(dense(), st.integers(-7, 7), st.integers(-7, 7))
def test_time_slices_equal_those_of_the_dense_tensor(x, a, b):
    ev = EventTensor.from_dense(x, 1e-3)
    assert torch.equal(ev[a:b].dense(), x[a:b])
    assert ev[a:b].shape == tuple(x[a:b].shape)
    assert all(torch.equal(step, x_t) for step, x_t in zip(ev, x, strict=True))
    assert torch.equal(ev[-1], x[-1])


@given(dense(), st.data())
def test_batch_selection_equals_that_of_the_dense_tensor(x, data):
    ids = data.draw(st.lists(st.integers(-x.shape[1], x.shape[1] - 1), max_size=6))
    ev = EventTensor.from_dense(x, 1e-3)
    assert torch.equal(ev.batch(ids).dense(), x[:, ids] if ids else x[:, :0])
    assert torch.equal(ev.batch(slice(1, None)).dense(), x[:, 1:])
    assert torch.equal(ev.batch(0).dense(), x[:, :1])
    mask = torch.arange(x.shape[1]) % 2 == 0
    assert torch.equal(ev.batch(mask).dense(), x[:, mask])


@given(st.lists(dense(st.tuples(st.integers(1, 5), st.integers(1, 3), st.just(4))), min_size=1, max_size=4))
def test_stack_pads_the_shorter_ones_with_silence(parts):
    ev = EventTensor.stack([EventTensor.from_dense(x, 1e-3) for x in parts])
    T = max(len(x) for x in parts)
    padded = [torch.cat([x, x.new_zeros(T - len(x), *x.shape[1:])]) for x in parts]
    assert torch.equal(ev.dense(), torch.cat(padded, 1))
    EventTensor(ev.rowptr, ev.indices, ev.values, ev.shape, ev.dt)


def test_pixels_are_flattened_polarity_first_then_rows():
    x, y, p = [3, 0], [1, 2], [0, 1]
    ev = EventTensor.from_events([0.0, 0.002], (x, y, p), shape=(2, 3, 4), dt=1e-3)
    assert ev.shape == (3, 1, 2, 3, 4)
    assert ev.dense().nonzero().tolist() == [[0, 0, 0, 1, 3], [2, 0, 1, 2, 0]]
    assert EventTensor.from_events([0.0, 0.002], np.array([x, y, p]).T, shape=(2, 3, 4), dt=1e-3).equal(ev)
    flat = EventTensor.from_events([0.0], ([3], [1]), shape=(3, 4), dt=1e-3)
    assert flat.indices.tolist() == [7]


def test_cells_whose_values_cancel_hold_no_event():
    ev = EventTensor.from_events([0.0, 0.0], [1, 1], shape=3, dt=1e-3, values=[1.0, -1.0])
    assert ev.nnz == 0 and ev.shape == (1, 1, 3)


def test_steps_pad_or_refuse_or_drop():
    make = lambda **kw: EventTensor.from_events([0.0, 0.004], [0, 1], shape=2, dt=1e-3, **kw)
    assert make(steps=9).shape == (9, 1, 2)
    with pytest.raises(
        UserError, match=r"event 1 comes at t=0.004 s, in step 4, but there are steps=4.*drop_late"
    ):
        make(steps=4)
    assert make(steps=4, drop_late=True).nnz == 1
    assert EventTensor.from_events([], [], shape=2, dt=1e-3, steps=5).shape == (5, 1, 2)


def test_moving_and_showing():
    ev = EventTensor.from_dense(torch.eye(4).unsqueeze(1), 1e-3)
    assert ev.to("cpu").equal(ev) and not ev.equal(ev[1:]) and not ev.equal(3)
    assert repr(ev) == "EventTensor(T=4, B=1, N=(4,), dt=0.001 s, 4 events all 1, density 25 %, cpu)"
    assert ev.dense(torch.float64).dtype == torch.float64
    assert ev.rows().tolist() == [0, 1, 2, 3]
    meta = ev.to("meta")
    assert meta.device.type == "meta"


def events(t=(0.0, 0.001, 0.002), where=(0, 1, 2), **kw):
    return EventTensor.from_events(np.array(t), where, **{"shape": 3, "dt": 1e-3} | kw)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: events(dt=0), r"dt is the length of a step in seconds and must be positive, got dt=0"),
        (lambda: events(dt=-1e-3), r"must be positive"),
        (lambda: events(dt=float("nan")), r"must be positive"),
        (lambda: events(dt=1), r"dt is in seconds.*fall into one step; for 1 ms write dt=0.001"),
        (lambda: events(t=(0.0, np.nan, 0.1)), r"event 1: t=nan is not a finite time"),
        (lambda: events(t=(-0.5, 0.0, 0.1)), r"event 0: t=-0.5 is before time 0"),
        (
            lambda: events(t=(0.0, 0.2, 0.1)),
            r"event 2: t=0.1 is earlier than the event before it; sort first",
        ),
        (
            lambda: events(t=(0, 150_000, 300_000_000)),
            r"300000001000? steps|t is in seconds unless you say unit=1e-6",
        ),
        (lambda: events(where=(0, 3, -1)), r"event 1: channel=3 is not in 0..2 of shape \(3,\)"),
        (lambda: events(where=(0, 1)), r"each of the 3 events; got arrays of shape \(2,\)"),
        (lambda: events(shape=(2, 4, 4)), r"shape \(2, 4, 4\) takes x, y, p for each of the 3 events"),
        (
            lambda: events(where=([0, 0, 0], [0, 0, 0], [1, -1, 1]), shape=(2, 4, 4)),
            r"event 1: p=-1 is not in 0..1.*for polarities -1 and 1 pass p > 0",
        ),
        (
            lambda: events(where=([0, 4, 0], [0, 0, 0], [1, 1, 1]), shape=(2, 4, 4)),
            r"event 1: x=4 is not in 0..3",
        ),
        (lambda: events(values=[1.0, 2.0]), r"values has one entry per event: expected shape \(3,\)"),
        (lambda: events(values=[1.0, np.inf, 2.0]), r"event 1: value inf is not a finite number"),
        (lambda: events(shape=0), r"shape is the shape of one step"),
        (lambda: events(steps=0), r"at least 1; got 0"),
        (lambda: events(unit=0), r"unit is the seconds per unit of t"),
        (lambda: events(t=(), where=()), r"there are no events, so the length is unknown: pass steps"),
        (lambda: EventTensor.from_dense(torch.zeros(3, 4), 1e-3), r"shape T B \*N .*got \(3, 4\)"),
        (lambda: EventTensor.from_dense(torch.full((2, 1, 2), torch.nan), 1e-3), r"x\[0, 0, 0\] is nan"),
        (lambda: EventTensor.stack([]), r"at least one"),
        (lambda: EventTensor.stack([events(), events(dt=2e-3)]), r"part 0 has .* at dt=0.001 s, part 1"),
        (lambda: events()[::2], r"time is sliced in steps of 1"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: events(dt="1ms"), TypeError),
        (lambda: events(where=(0.5, 1, 2)), TypeError),
        (lambda: events()["a"], TypeError),
        (lambda: events()[0, 0], TypeError),
        (lambda: events()[3], IndexError),
        (lambda: events().batch([1]), IndexError),
    ],
)
def test_wrong_types_and_positions(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"indices": torch.tensor([0, 9, 2], dtype=torch.int32)}, r"event 1: index 9 is not in 0..2"),
        ({"rowptr": torch.tensor([0, 2, 1, 3])}, r"never decreases, but it does at row 1"),
        ({"rowptr": torch.tensor([0, 3])}, r"T \* B \+ 1 = 4 entries"),
        (
            {"rowptr": torch.tensor([0, 3, 3, 3]), "indices": torch.tensor([0, 2, 1], dtype=torch.int32)},
            r"event 2: indices increase strictly inside a row, but 1 does not",
        ),
        ({"values": torch.ones(2)}, r"one entry per index"),
    ],
)
def test_the_constructor_checks_ready_made_arrays(change, message):
    ev = events()
    parts = {
        "rowptr": ev.rowptr,
        "indices": ev.indices,
        "values": None,
        "shape": ev.shape,
        "dt": ev.dt,
    } | change
    with pytest.raises(UserError, match=message):
        EventTensor(**parts)


@settings(max_examples=20)
@given(dense())
def test_a_worker_process_gets_the_same_events(x):
    import copy

    ev = EventTensor.from_dense(x, 1e-3)
    assert copy.deepcopy(ev).equal(ev)
