"""snnkit: train spiking networks on event data, convert ANNs to spikes, and know what an inference costs on a chip."""

__version__ = "0.1.0"
