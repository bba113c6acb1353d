"""Loops of the encoders: codes of values, of signals, cameras and cochleas."""
