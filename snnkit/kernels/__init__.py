"""Kernels: programs printed as source, compiled, run behind torch operators. The only room of numba and triton.

Importing it compiles nothing and imports neither.
"""
