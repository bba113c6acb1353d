"""The page that the demo writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnkit.cli import figures
from snnkit.cli.chipside import ENERGY_COLUMNS, ENERGY_NOTE, energy_row
from snnkit.cli.common import si
from snnkit.cli.report import Report

if TYPE_CHECKING:
    from snnkit.cli.findings import Findings


def page(found: Findings) -> Report:
    """All findings on one page."""
    report = Report(
        "snnkit demo",
        "A spiking network trained on event-camera digits, a CNN converted to spikes, what an inference costs on chips, and "
        "integers for Loihi that were checked before they were written.",
    )
    _cards(report, found)
    _data(report, found)
    _training(report, found)
    _conversion(report, found)
    _energy(report, found)
    _deployment(report, found)
    return report


def _cards(report: Report, found: Findings) -> None:
    training, deployment = found.training, found.deployment
    qcfs = found.conversion["methods"]["qcfs"]
    at = dict(zip(qcfs["timesteps"], qcfs["snn"], strict=True))
    loihi = found.reports[found.deployment.target]
    report.cards(
        [
            (
                f"{training['mean']:.3f} ± {training['std']:.3f}",
                f"spiking test accuracy, {len(training['seeds'])} seed(s), {training['test_samples']} recordings",
            ),
            (f"{at[8]:.3f} / {qcfs['ann']:.3f}", "converted CNN at 8 time steps / its ANN"),
            (
                si(loihi.energy_j, "J"),
                f"per inference on Loihi ({si(loihi.low_j, 'J')} to {si(loihi.high_j, 'J')})",
            ),
            (f"{deployment.agreement:.3f}", "of test samples decided alike by float and integer network"),
        ]
    )
    if found.quick:
        report.text(
            "This was a quick run: one short training, so accuracies are below what the full demo reaches."
        )


def _data(report: Report, found: Findings) -> None:
    one = found.recording
    report.section("Events")
    report.text(
        "The 1 797 handwritten digits that come with scikit-learn, each seen by a simulated event camera that makes three "
        "saccades, as in N-MNIST. Every event is a pixel that became brighter (ON) or darker (OFF) by a fixed contrast."
    )
    figure = figures.recording(one["image"], one["frames"], one["rate"], found.dt, one["label"])
    report.figure(
        figure, f"A test recording: {one['events']} events. Red: more ON events, blue: more OFF events."
    )


def _training(report: Report, found: Findings) -> None:
    training = found.training
    report.section("Training")
    report.text(
        f"A network of {training['parameters']} parameters, trained with surrogate gradients. Seeds differ in weights, order and "
        "augmentation. The test set was read once, after training."
    )
    histories = {f"seed {run['seed']}": run["training"]["history"] for run in training["runs"]}
    report.figure(figures.training(histories), "Loss and accuracy while training.")
    rows = [[str(s), f"{a:.4f}"] for s, a in zip(training["seeds"], training["accuracy"], strict=True)]
    report.table(
        ["seed", "test accuracy"], [*rows, ["mean", f"{training['mean']:.4f} ± {training['std']:.4f}"]]
    )
    report.figure(
        figures.rasters(found.rasters, found.dt), "Spikes of every layer during one test recording."
    )


def _conversion(report: Report, found: Findings) -> None:
    methods = found.conversion["methods"]
    report.section("Conversion")
    report.text(
        "A small CNN on the still images, trained once with ReLU and once with quantised activations (QCFS), then converted to "
        "integrate-and-fire neurons. Thresholds come from training images only; the image is fed as a current in every step."
    )
    curves = {name: dict(zip(m["timesteps"], m["snn"], strict=True)) for name, m in methods.items()}
    report.figure(
        figures.conversion(curves, {name: m["ann"] for name, m in methods.items()}),
        "Test accuracy of the spiking network after T time steps.",
    )
    steps = next(iter(methods.values()))["timesteps"]
    rows = [[n, f"{m['ann']:.4f}", *(f"{a:.4f}" for a in m["snn"])] for n, m in methods.items()]
    report.table(["thresholds", "ANN", *(f"T={t}" for t in steps)], rows)


def _energy(report: Report, found: Findings) -> None:
    activity = found.activity
    report.section("Energy per inference")
    report.text(
        f"Counted on {activity.samples} test samples: {activity.total('spikes'):.0f} spikes and {activity.total('synops'):.0f} "
        "synaptic operations per inference, times what each costs on a chip. Bars are the interval that published constants "
        "leave open; scopes differ (some figures hold leakage and routing, some do not), which each chip's notes say."
    )
    spans = {name: (r.energy_j, r.low_j, r.high_j) for name, r in found.reports.items()}
    report.figure(figures.energy_by_chip(spans), "Energy per inference by chip.")
    labels = {name: f"{name} {layer.kind}" for name, layer in activity.layers.items()}
    layers = {
        chip: {labels.get(name, name): joules for name, joules in r.breakdown.items() if joules}
        for chip, r in found.reports.items()
    }
    report.figure(figures.energy_by_layer(layers), "Neural dynamic energy by layer.")
    report.table(ENERGY_COLUMNS, [energy_row(r, found.graph) for r in found.reports.values()])
    report.text(ENERGY_NOTE[0].upper() + ENERGY_NOTE[1:])
    columns = [
        "layer",
        "neurons",
        "spikes",
        "spikes per neuron and step",
        "synaptic operations",
        "MACs of the equal ANN layer",
    ]
    report.table(columns, [_counts(labels[n], layer) for n, layer in activity.layers.items()])
    for name, one in found.reports.items():
        report.notes(
            f"{one.title}: assumptions and what is left out", _notes(one) or [f"nothing noted for {name}"]
        )


def _counts(label: str, layer: Any) -> list[str]:
    rate = f"{layer.rate:.4f}" if layer.neurons else ""
    return [
        label,
        str(layer.neurons or ""),
        f"{layer.spikes:.1f}" if layer.neurons else "",
        rate,
        f"{layer.synops:.0f}" if not layer.neurons else "",
        f"{layer.dense_macs:.0f}" if not layer.neurons else "",
    ]


def _notes(report: Any) -> list[str]:
    return [f"assumed: {line}" for line in report.assumptions] + [
        f"left out: {line}" for line in report.left_out
    ]


def _deployment(report: Report, found: Findings) -> None:
    deployment = found.deployment
    report.section("Deployment")
    report.text(
        "The network as 8-bit integers in the file format of lava-dl (netx), and the same integers run on our model of the chip's "
        "arithmetic with all test samples. The folder holds the config, the integers, test vectors and how to load them."
    )
    spiking = {n: row for n, row in deployment.report["layers"].items() if "identical_bins" in row}
    steps, counts = found.activity.steps, found.activity.layers
    pairs = {
        n: (row["float_rate"] * counts[n].neurons * steps, row["integer_rate"] * counts[n].neurons * steps)
        for n, row in spiking.items()
    }
    report.figure(
        figures.agreement({n: row["identical_bins"] for n, row in spiking.items()}, pairs),
        "Float network against integer model, by layer.",
    )
    report.table(
        ["", "float", "integer"],
        [
            ["test accuracy", f"{deployment.float_accuracy:.4f}", f"{deployment.integer_accuracy:.4f}"],
            ["samples decided alike", "", f"{deployment.agreement:.4f}"],
        ],
    )
    report.notes("Notes of the deployment", deployment.report["notes"])
    report.text(f"Files: {', '.join(deployment.files)}")
