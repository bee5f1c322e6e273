"""Many photos: worker processes, a journal that survives a kill, a cluster; read `batch.py` first."""
