"""kernelscope: how much of the teacher's kernel did the student inherit, where, and can the number be trusted?"""

__version__ = "0.1.0"
