"""The datasets that snnkit knows, one file each (or family)."""
