"""Verdicts as a report for a court file; read `report.py` first."""
