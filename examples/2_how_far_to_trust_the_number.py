"""The same loss by four routes, from far to very near: each says how far it can be trusted."""

import numpy as np

import kernelscope as ks

rng = np.random.default_rng(0)
teacher = rng.standard_normal((2000, 32))
rotation = np.linalg.qr(rng.standard_normal((32, 32)))[0]
for noise in (1e-1, 1e-4, 1e-8):
    student = teacher @ rotation + noise * rng.standard_normal((2000, 32))
    print(f"noise {noise:g}")
    for route in ("gram", "pair", "tsqr", "blocked", "auto"):
        loss = ks.transfer_loss(teacher=teacher, student=student, route=route)
        low, high = loss.interval
        kind = "certified" if loss.certified else "estimated"
        print(f"  {route:<8} {loss.value:.12e}  in [{low:.6e}, {high:.6e}]  {kind}, resolved: {loss.resolved}")
