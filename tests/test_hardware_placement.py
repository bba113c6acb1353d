"""Footprints against hand arithmetic and the figures of the vendors' compilers; everything that does not fit,
at once.
"""

import nir
import numpy as np
import pytest
from hardware_cases import conv, dense, graph, lif
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import UserError
from snnkit.hardware import DoesNotFit, chip, place
from snnkit.hardware.footprint_loihi import axon_bits
from snnkit.hardware.footprints import _match, arrays
from snnkit.hardware.layers import layers


def convnet(c_in=2, size=34, channels=(16, 32, 64), classes=10):
    """Strided 3 x 3 convolutions and a dense layer, IF neurons."""
    nodes, shape = [], (c_in, size, size)
    for c in channels:
        nodes.append(conv(np.ones((c, shape[0], 3, 3)), shape[1:], 2, 1))
        shape = (c, (shape[1] + 1) // 2, (shape[2] + 1) // 2)
        nodes.append(lif(shape, kind="IF"))
    nodes.append(nir.Flatten({"input": np.array(shape)}, 0, -1))
    nodes.append(nir.Linear(np.ones((classes, int(np.prod(shape))), dtype=np.float32)))
    return graph((c_in, size, size), (classes,), *nodes, lif((classes,), kind="IF"))


# Loihi ------------------------------------------------------------------------------------------------------


def test_axon_memory_by_hand():
    assert axon_bits(0, 8) == 0
    assert axon_bits(1, 8) == 64  # 18 bits in one word
    assert axon_bits(64, 8) == 576  # 522 bits in nine words
    assert axon_bits(65, 8) == 576 + 64
    assert axon_bits(64, 1) == 128


def test_loihi_dense_footprint_by_hand():
    placed = place(dense([390, 256, 256, 29]), "loihi")
    assert placed.n_cores == 3
    used = placed.used["0"]
    assert used["compartments"] == 256 and used["input axons"] == 390
    assert used["synapse bits"] == 390 * 4 * 576  # each axon: 256 synapses in four blocks of 64
    assert placed.used["4"]["synapse bits"] == 256 * 256  # 29 synapses: 242 bits in four words


def test_loihi_splits_a_layer_whose_memory_is_full():
    placed = place(dense([1000, 1000]), "loihi")
    # 1000 x 1000 at 9 bits and a little is 9 Mbit, in cores of 1 Mbit
    assert len(placed.cores["0"]) == 9
    assert placed.used["0"]["synapse bits"] <= 1_048_576


def test_loihi_convolutions_share_their_weights():
    placed = place(convnet(), "loihi")
    full = 16 * 17 * 17 * 9 * 32 * 16  # bits, were the second layer stored connection by connection
    assert placed.used["2"]["synapse bits"] * len(placed.cores["2"]) < full / 4
    assert all(use["compartments"] <= 1024 and use["input axons"] <= 4096 for use in placed.used.values())


def test_output_axons_count_destination_cores():
    placed = place(dense([64, 1024, 4000]), "loihi")
    destinations = len(placed.cores["2"])
    assert placed.used["0"]["output axons"] == np.ceil(1024 / len(placed.cores["0"])) * destinations <= 4096


def test_loihi_names_every_layer_and_resource_at_once():
    with pytest.raises(DoesNotFit) as caught:
        place(dense([5000, 5000, 5000]), "loihi")
    text = str(caught.value)
    assert "layer 0: input axons per core 5,000, limit 4,096" in text
    assert "layer 2: input axons per core 5,000, limit 4,096" in text
    assert len(caught.value.problems) >= 2 and "\n" not in text


def test_a_network_that_is_merely_large_says_how_many_cores():
    with pytest.raises(DoesNotFit, match=r"\d+ cores needed, 128 there"):
        place(dense([4000, 4000, 4000, 4000]), "loihi")


# Speck ------------------------------------------------------------------------------------------------------


def test_speck_footprint_formula():
    placed = place(convnet(), "speck")
    # kernel = c 2^(ceil log2 9 + ceil log2 f), neurons = f 2^(ceil log2 fy + ceil log2 fx)
    assert placed.used["0"] == {
        "kernel words": 2 * 2 ** (4 + 4),
        "neuron words": 16 * 2 ** (5 + 5),
        "biases": 0,
    }
    assert placed.used["2"] == {
        "kernel words": 16 * 2 ** (4 + 5),
        "neuron words": 32 * 2 ** (4 + 4),
        "biases": 0,
    }
    assert placed.used["4"] == {
        "kernel words": 32 * 2 ** (4 + 6),
        "neuron words": 64 * 2 ** (3 + 3),
        "biases": 0,
    }
    assert placed.used["7"]["kernel words"] == 64 * 2 ** (5 + 4)  # 5 x 5 inputs of 64 channels, ten outputs
    cores = [c for (c,) in placed.cores.values()]
    assert len(set(cores)) == 4
    assert sum(chip("speck").lists["neuron_words"]) == 327_680  # the 327 K neurons of the publication


def test_speck_reports_all_that_is_wrong():
    with pytest.raises(DoesNotFit) as caught:
        place(convnet(c_in=2, size=128, channels=(32, 256, 512)), "speck")
    text = str(caught.value)
    assert "layer 0: neuron words 131,072, limit 65,536" in text and "layer 2: kernel words 131,072" in text


def test_speck_layers_that_compete_for_the_same_core():
    heavy = dense([64, 64, 64, 64])  # 64 x 64 kernels fit everywhere
    assert place(heavy, "speck").n_cores == 3
    big = dense([256, 256, 256, 256])  # 64 k kernel words each: only cores 5 and 6
    with pytest.raises(DoesNotFit, match="the cores large enough are taken"):
        place(big, "speck")


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.integers(0, 4), unique=True), min_size=1, max_size=6
    )
)
@settings(max_examples=100, deadline=None)
def test_matching_is_as_large_as_trying_everything(allowed):
    def most(names, free):
        if not names:
            return 0
        skip = most(names[1:], free)
        return max([skip, *(1 + most(names[1:], free - {c}) for c in allowed[names[0]] if c in free)])

    match = _match(allowed)
    assert len(set(match.values())) == len(match) == most(list(allowed), frozenset(range(5)))
    assert all(core in allowed[name] for name, core in match.items())


# Others -----------------------------------------------------------------------------------------------------


def test_truenorth_fan_in_is_a_wall():
    with pytest.raises(DoesNotFit, match="layer 0: fan-in per neuron 784, limit 256"):
        place(dense([784, 10]), "truenorth")
    placed = place(dense([256, 512]), "truenorth")
    assert placed.n_cores == 2 + 2  # two cores of 256 neurons, two to copy 256 inputs twice
    placed = place(
        graph((2, 16, 16), (8, 16, 16), conv(np.ones((8, 2, 3, 3)), (16, 16), 1, 1), lif((8, 16, 16))),
        "truenorth",
    )
    # patches of 9 x 9 outputs see 11 x 11 x 2 = 242 inputs: 2 x 2 patches, 8 * 81 neurons each in three cores
    assert placed.used["0"]["splitter cores"] == np.ceil(512 * 3 / 256) and placed.n_cores == 4 * 3 + 6


def test_crossbars_from_shapes():
    parts = layers(convnet())
    known = chip("rram128")
    # fan-in / 128 rows down; outputs x four cells / 128 columns across
    assert [arrays(la, known) for la in parts] == [(1, 1), (2, 1), (3, 2), (13, 1)]
    assert place(convnet(), "rram128").total == {"crossbars": 1 + 2 + 6 + 13, "tiles": 1.0}


def test_spinnaker_cores_and_chips():
    placed = place(dense([784, 500, 500, 10]), "spinnaker")
    assert [len(c) for c in placed.cores.values()] == [2, 2, 1]
    assert placed.total["chips"] == 1.0


def test_xylo_and_odin_limits():
    assert place(dense([16, 100, 8]), "xylo").cores == {"0": (0,), "2": (0,)}
    with pytest.raises(DoesNotFit) as caught:
        place(dense([40, 2000, 10]), "xylo")
    assert all(
        word in str(caught.value)
        for word in ("input channels 40", "hidden neurons 2,000", "output neurons 10")
    )
    assert place(dense([100, 50, 10]), "odin").n_cores == 1
    with pytest.raises(DoesNotFit, match="neurons of all layers 310, limit 256"):
        place(dense([100, 300, 10]), "odin")


def test_pooling_is_folded_into_the_wiring():
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    net = graph((2, 8, 8), (4, 4, 4), pool, conv(np.ones((4, 2, 3, 3)), (4, 4), 1, 1), lif((4, 4, 4)))
    (layer,) = layers(net)
    assert (
        layer.in_shape == (2, 8, 8)
        and layer.kernel == (6, 6)
        and layer.stride == (2, 2)
        and layer.pad == (2, 2)
    )
    assert layer.own_kernel == (3, 3) and layer.fan_in == 72


def test_errors_of_placement_are_user_errors():
    with pytest.raises(UserError, match="no placement rules for cmos45"):
        place(dense([4, 2]), "cmos45")
    with pytest.raises(UserError, match="did you mean 'speck'"):
        place(dense([4, 2]), "spek")
    with pytest.raises(UserError, match="no synaptic layer"):
        place(graph((4,), (4,), lif((4,))), "loihi")
    net = dense([4, 2])
    net.edges.append(("1", "0"))
    with pytest.raises(UserError, match="form a cycle"):
        place(net, "loihi")


def test_placement_is_plain_data():
    placed = place(dense([64, 32, 10]), "loihi")
    assert placed.to_dict()["cores"] == {"0": [0], "2": [1]}
    assert "compartments" in placed.table()
