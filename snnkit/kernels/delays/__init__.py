"""Delayed products: two taps, windows and integer delays; by events, lanes, shifts or transforms."""
