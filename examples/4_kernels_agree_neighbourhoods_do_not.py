"""Two networks near the same teacher: one keeps its kernel and loses its neighbourhoods, the other the reverse.

The first student is the teacher's own features cut to their three strongest directions. The second is the same network
trained again from another seed. The loss prefers the first, the neighbours the second.
"""

import tempfile
from pathlib import Path

import numpy as np

import kernelscope as ks
from kernelscope.datasets.sources import load

digits = load("digits", "test")
with tempfile.TemporaryDirectory() as folder:
    features = {}
    for name, seed in (("teacher", 0), ("reseeded", 1)):
        file = Path(folder) / f"{name}.pt"
        ks.train(ks.recipe(arch="mlpx2", epochs=10, lr=0.05, seed=seed)).save(file)
        store = ks.extract(ks.load(file), digits, out=Path(folder) / f"{name}.h5", layers="embedding")
        features[name] = np.asarray(store.features("embedding")[:], np.float64)
        store.close()

U, sigma, _ = np.linalg.svd(features["teacher"], full_matrices=False)
students = {"three directions": U[:, :3] * sigma[:3], "reseeded": features["reseeded"]}
print(f"{'student':<18}{'loss':>8}{'scaled':>8}{'CKA':>8}{'same 10 nearest':>17}{'chance':>8}")
for name, X_S in students.items():
    report = ks.measure(teacher=features["teacher"], student=X_S, neighbours=10)
    near = report.neighbours
    print(
        f"{name:<18}{report.transfer_loss:>8.3f}{report.ladder.scaled:>8.3f}{report.cka:>8.3f}"
        f"{near.overlap:>17.3f}{near.chance:>8.3f}"
    )
