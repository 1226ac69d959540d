"""Triton kernels for what torch does in several passes over memory, or in another layout.

Activations are channels-last, arithmetic is fp32 whatever the tensors are. Imported only where
Triton is installed; on a CPU they run in Triton's interpreter, which the tests use.
"""
