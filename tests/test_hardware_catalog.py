"""The catalogue: every number says what it is, and nothing is paid for twice."""

import tomllib

import pytest
from hardware_cases import activity_of, dense

from snnkit.errors import UserError
from snnkit.hardware import UnknownChip, catalog, chip, chips, estimate
from snnkit.hardware.bill import Bill
from snnkit.hardware.catalog import CONFIDENCE, EVIDENCE, SCOPES, parse


@pytest.mark.parametrize("name", chips())
def test_every_number_has_unit_scope_evidence_and_source(name):
    known = chip(name)
    assert known.name == name and known.figures()
    for figure in known.figures():
        assert figure.unit in catalog.SI and figure.evidence in EVIDENCE and figure.confidence in CONFIDENCE
        assert figure.scope in SCOPES or figure.scope.startswith("per_")
        assert len(figure.source) > 3 and 0 <= figure.low <= figure.value <= figure.high
        assert (figure.confidence == "C") <= (figure.evidence in ("recalled", "vendor"))
    for section in (known.energy, known.time, known.power):
        assert all(f.covers and f.operating_point for f in section.values())


def test_the_chips_asked_for_are_there():
    wanted = {"cmos45", "loihi", "truenorth", "spinnaker", "speck", "rram128", "xylo"}
    assert wanted <= set(chips())


def test_a_typo_suggests_the_nearest():
    with pytest.raises(UnknownChip, match="did you mean 'loihi'"):
        chip("lohi")
    with pytest.raises(UserError, match="did you mean 'speck'"):
        estimate(None, None, chip="spek")


@pytest.mark.parametrize(
    "field", ["unit", "scope", "evidence", "confidence", "source", "operating_point", "covers"]
)
def test_a_number_without_a_field_is_refused(field):
    data = tomllib.loads((catalog.FOLDER / "truenorth.toml").read_text())
    del data["energy"]["synop"][field]
    with pytest.raises(UserError, match=rf"energy\.synop lacks {field}"):
        parse(data, "truenorth.toml")


@pytest.mark.parametrize("change", [{"unit": "kcal"}, {"low": 30.0}, {"source": "nobody"}, {"scope": "some"}])
def test_a_number_that_makes_no_sense_is_refused(change):
    data = tomllib.loads((catalog.FOLDER / "truenorth.toml").read_text())
    data["energy"]["synop"] |= change
    with pytest.raises(UserError, match="not understood"):
        parse(data, "truenorth.toml")


def test_nothing_may_be_added_to_an_all_in_figure():
    truenorth, loihi = chip("truenorth"), chip("loihi")
    for extra in (loihi.energy["message"], loihi.energy["neuron_update"], loihi.power["static"]):
        bill = Bill(truenorth)
        bill.pay("0", "synaptic events", 10, truenorth.energy["synop"])
        with pytest.raises(UserError, match="paid twice"):
            bill.pay("", "extra", 1, extra)


def test_a_chip_file_that_counts_leakage_twice_is_caught():
    data = tomllib.loads((catalog.FOLDER / "truenorth.toml").read_text())
    data["power"] = {"static": dict(data["energy"]["synop"], unit="mW", scope="global", covers=["static"])}
    net = dense([20, 10])
    with pytest.raises(UserError, match="static would be paid twice"):
        estimate(net, activity_of(net, 5, synops={"0": 100.0}), chip=parse(data, "truenorth.toml"))


def test_two_incremental_figures_may_serve_different_layers():
    loihi = chip("loihi")
    bill = Bill(loihi)
    bill.pay("0", "synaptic events", 1, loihi.energy["synop_conv"])
    bill.pay("1", "synaptic events", 1, loihi.energy["synop_dense"])
    with pytest.raises(UserError, match="paid twice"):
        bill.pay("1", "synaptic events", 1, loihi.energy["synop_conv"])
