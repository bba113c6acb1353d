"""The snnkit command: demo, train, convert, energy, deploy, chips, datasets, info."""
