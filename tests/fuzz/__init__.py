"""Damaged and hostile files: what they are made from, how they are changed, and what a reader must keep to."""
