"""Loops over recordings of event cameras: decoding, filtering, surfaces, collation."""
