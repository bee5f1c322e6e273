"""Which body took a photo: fingerprints of sensors; read `device.py` first."""
