"""Which parts of a photo come from elsewhere; read `localization.py` first."""
