"""Distillation losses, one paper one file."""

from kernelscope.distill.losses.kd import KD
from kernelscope.distill.losses.kda import KDA

LOSSES = {"kd": KD, "kda": KDA}
