"""DualGlow: synthetic FDG-PET from T1 MRI with paired invertible networks (Sun et al., ICCV 2019)."""

from importlib.metadata import version

__version__ = version("dualglow")
