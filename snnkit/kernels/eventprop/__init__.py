"""Event-driven spiking in continuous time: closed-form flow, exact crossings, and the adjoint between spikes."""
