"""Made cameras and scenes with known truth."""

from camtrace.simulator.camera import JpegTables, MadeCamera, make_cameras, save, shoot
from camtrace.simulator.scene import clean_scene, draw_scene

__all__ = ["JpegTables", "MadeCamera", "clean_scene", "draw_scene", "make_cameras", "save", "shoot"]
