"""Neuron loops: a program printed as C99, Numba or Triton source, its adjoint, and the torch operators in front of them."""
