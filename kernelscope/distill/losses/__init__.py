"""Distillation losses as modules, one paper one file: ``loss(student_features, teacher_features, labels)``."""

from kernelscope.distill.losses.at import AT
from kernelscope.distill.losses.cka import CKA
from kernelscope.distill.losses.full_kernel import FullKernel
from kernelscope.distill.losses.gram import Gram
from kernelscope.distill.losses.kd import KD
from kernelscope.distill.losses.kda import KDA
from kernelscope.distill.losses.procrustes import Procrustes
from kernelscope.distill.losses.rkd import RKD
from kernelscope.distill.losses.sp import SP

LOSSES = {
    "kd": KD,
    "at": AT,
    "rkd": RKD,
    "kda": KDA,
    "full_kernel": FullKernel,
    "gram": Gram,
    "sp": SP,
    "cka": CKA,
    "procrustes": Procrustes,
}

__all__ = ["AT", "CKA", "KD", "KDA", "LOSSES", "RKD", "SP", "FullKernel", "Gram", "Procrustes"]
