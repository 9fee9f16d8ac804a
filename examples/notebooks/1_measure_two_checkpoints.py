# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Measure two checkpoints
#
# A teacher and two students of it, on the digits that come with kernelscope: what did each inherit?
# `jupytext --to notebook FILE.py` makes a notebook of this script, and it runs as plain Python too.

# %%
import tempfile
from pathlib import Path

import kernelscope as ks

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Two minutes of training, made seconds
#
# Any checkpoints will do in their place. Training in a notebook prints nothing; the stop button ends it after the
# step at hand.

# %%
ks.train(ks.recipe(arch="mlpx2", epochs=8, lr=0.05)).save(folder / "teacher.pt")
for method in ("ce", "kda(weight=0.2)"):
    student = ks.train(ks.recipe(arch="mlp", method=method, epochs=6, lr=0.05), teacher=ks.load(folder / "teacher.pt"))
    student.save(folder / f"{method[:3].rstrip('(')}.pt")
student

# %% [markdown]
# ## The report
#
# A cell that ends in the report shows table and sentences.

# %%
report = ks.measure(
    teacher=folder / "teacher.pt", student=[folder / "ce.pt", folder / "kda.pt"], layers="embedding", cache=False
)
report

# %%
report.plot("ladder").figure

# %% [markdown]
# ## One pair, and all numbers

# %%
pair = report.sel(student="kda")
pair.transfer_loss, pair.sampling_interval, pair.ladder.scaled, pair.null.transfer_loss

# %%
report.to_frame()[["student", "transfer_loss", "ladder.scaled", "ladder.head", "cka", "neighbours.overlap"]]

# %% [markdown]
# Which of the two is nearer, beyond luck? The difference is taken on the same examples.

# %%
compared = report.comparisons[0]
print(f"{compared.difference:+.3f}, 95 % {compared.interval}, decided: {compared.decided}")

# %%
saved = report.save(folder / "report.json")
print(
    f"{saved.stat().st_size / 1e3:.0f} kB; kernelscope report {saved.name} --html page.html draws the page for others"
)
