"""What a GPU does its own way: a pass over the corpus in which the host never waits for one batch's answer.

Each kernel has its slow obvious twin in tests/engine/test_gpu_kernels.py, which also runs them where there is no GPU.
"""
