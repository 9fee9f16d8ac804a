"""KDA, kernel transfer with a partial matrix: Qian, Li and Hu, Algorithm 1 and equations 3 and 4."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar

import torch
from torch.nn import functional

from kernelscope.distill.losses.landmark_memory import ClassCentres, LastExamples
from kernelscope.distill.losses.last_epoch import LastEpoch
from kernelscope.distill.losses.loss import Loss, divisor, require_weight, rows_of
from kernelscope.distill.losses.running import RunningClassMeans
from kernelscope.distill.losses.whitening import WAYS

NORMALIZATIONS = ("batch", "entries", "none")
LANDMARKS = ("class-means", "uniform", "running")
WINDOW = 30  #: of running class means, in batches


class KDA(Loss):
    """``weight · Σ h(x_S D_Sᵀ − x_T D_Tᵀ) / normaliser``, h the smooth L1 loss (|z| − ½ from |z| = 1 on).

    D are landmarks from the features seen during the epoch before, each network's own, without gradient; the first
    ``warm_up`` epochs only collect them (Algorithm 1), and :meth:`begin_epoch` goes before every epoch. Classes are
    counted anew every epoch, and one that did not occur is left out of the sum. In ``eval()`` mode none is collected.

    Examples:
        >>> import torch, kernelscope as ks
        >>> loss, X, y = ks.losses.KDA(warm_up=1), torch.randn(8, 5), torch.arange(8) % 2
        >>> for epoch in range(2):
        ...     loss.begin_epoch(epoch, epochs=2)
        ...     value = loss(2 * X, X, y)  # 0 in the first epoch, which collects landmarks
        >>> float(value) > 0
        True

    Args:
        weight: 0.04 in the authors' code, for batches of 256, 100 classes and their feature scale.
        normalization: ``batch`` divides by ‖x_T D_Tᵀ‖_F of the batch, as the authors' code does: the term then grows
            as the square root of the batch size, so a short last batch weighs less. ``entries`` divides by
            √(r m) ‖x_T D_Tᵀ‖_F instead, r the batch size and m the landmarks: a mean over entries in units of their
            root mean square, which depends on neither. ``none`` is equation 4 as printed.
        warm_up: epochs without the term; None for 5 where there are at least 60 epochs, else 1.
        landmarks: ``class-means`` (equation 3), or ``uniform``, random examples, the same ones in both networks
            (Figure 2), as many as there are classes; ``uniform:m`` for m. ``running``, ours: class means over a window
            of batches, the one at hand included, fresh at every step and without warm-up; ``running:w`` for w batches.
        centres_per_class: class means of this many cells a class (Figure 7), by k-means in the teacher's space.
        whiten: None; ``teacher`` for the loss of ``(C_S − C_T) W_T^{+1/2}``, ``own`` of ``C_S W_S^{+1/2} − C_T
            W_T^{+1/2}`` (Corollary 1, Figure 6). Entries are then of the features' size, not of its square.
        seed: of the k-means.
    """

    relational = False
    sources: ClassVar[dict[str, str]] = {
        "layer": "Qian, Li, Hu: before the last FC layer",
        "weight": "the authors' code, for batches of 256",
        "normalization": "the authors' code",
        "warm_up": "Qian, Li, Hu: H = 5",
        "landmarks": "Qian, Li, Hu: eq. 3",
        "centres_per_class": "Qian, Li, Hu: one",
        "whiten": "Qian, Li, Hu: without W",
    }

    def __init__(
        self,
        weight: float = 0.04,
        normalization: str | None = "batch",
        warm_up: int | None = None,
        landmarks: str = "class-means",
        centres_per_class: int = 1,
        whiten: str | None = None,
        seed: int = 0,
    ) -> None:
        normalization = "none" if normalization is None else normalization  # the word none is None in a method
        _require_known("normalization", normalization, NORMALIZATIONS)
        if whiten is not None:
            _require_known("whiten", whiten, WAYS)
        super().__init__()
        self.weight, self.normalization, self.warm_up = require_weight(weight), normalization, warm_up
        self.landmarks, self.centres_per_class, self.whiten, self.seed = landmarks, centres_per_class, whiten, seed
        self.source = self._source()

    def begin_epoch(self, epoch: int | None = None, epochs: int | None = None) -> None:
        self.source.begin_epoch(epoch, epochs)

    def end_epoch(self) -> None:
        self.source.end_epoch()

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        x_S, x_T = rows_of(student, teacher)
        how = {"collect": self.training, "gathered": self.gathered}
        D = self.source.step(x_S.detach(), x_T, labels, self.classes, **how)
        if not D:
            return x_S.new_zeros(())
        similar_S, similar_T = x_S @ D["student"].T, x_T @ D["teacher"].T
        total = functional.smooth_l1_loss(similar_S, similar_T, reduction="sum")
        return self.weight * total / self._normalizer(similar_T)

    def _normalizer(self, similar_T: torch.Tensor) -> torch.Tensor | float:
        if self.normalization == "none":
            return 1.0
        norm = divisor(torch.linalg.vector_norm(similar_T))
        return norm if self.normalization == "batch" else norm * similar_T.numel() ** 0.5

    def _source(self) -> LastEpoch | RunningClassMeans:
        """Where the landmarks that the options name come from."""
        k, seed = self.centres_per_class, self.seed
        for option, value, least in (("centres_per_class", k, 1), ("seed", seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{option} must be a whole number from {least}, not {value!r}")
        name, colon, count = str(self.landmarks).partition(":")
        _require_known("landmarks", name, LANDMARKS)
        if name != "class-means" and k != 1:
            raise ValueError("centres_per_class goes with landmarks=class-means alone")
        if name == "class-means" and colon:
            raise ValueError(f"landmarks={self.landmarks} is written centres_per_class={count or 2}")
        if colon and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise ValueError(f"landmarks={self.landmarks} lacks a number from 1 after the colon")
        if name == "running":
            if self.warm_up is not None:
                raise ValueError("warm_up goes with landmarks of the epoch before, which running ones are not")
            return RunningClassMeans(int(count) if colon else WINDOW, self.whiten)
        memory = ClassCentres(k, seed) if name == "class-means" else LastExamples(int(count) if colon else None)
        return LastEpoch(memory, self.warm_up, self.whiten)

    def get_extra_state(self) -> dict[str, Any]:
        return self.source.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state)


def _require_known(option: str, value: object, known: tuple[str, ...]) -> None:
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"nearest: {near[0]}" if near else f"there are: {', '.join(known)}"
    raise ValueError(f"unknown {option} {value!r}, {hint}")
