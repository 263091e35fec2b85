import os

# PyTorch asks for its large memory in huge pages then: what is filled anew for every piece costs fewer page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
