"""Visual place recognition with spiking networks: routes, scores, an ensemble of modules that learn by STDP, and VPRTempo."""
