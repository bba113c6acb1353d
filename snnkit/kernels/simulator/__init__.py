"""The event-driven simulator: what a network needs said as data, its loop printed from that, compiled and run."""
