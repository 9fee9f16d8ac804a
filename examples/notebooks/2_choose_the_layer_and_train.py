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
# # Choose the layer, and train
#
# A feature loss asks for a teacher layer and a student layer. `match` says which go together; the student is then
# trained there.

# %%
import tempfile
from pathlib import Path

import kernelscope as ks

folder = Path(tempfile.mkdtemp())
teacher = ks.train(ks.recipe(arch="resnet8x0.5", epochs=2)).save(folder / "teacher.pt")
plain = ks.train(ks.recipe(arch="resnet8x0.25", epochs=1)).save(folder / "plain.pt")

# %% [markdown]
# ## Which layers go together?
#
# Every teacher block is a candidate for every student block. P-values are corrected for having searched.

# %%
found = ks.match(teacher=teacher, student=plain)
found

# %%
found.plot().figure

# %%
found.to_frame().sort_values("agreement", ascending=False).head()

# %% [markdown]
# ## Train there
#
# The last pair of the recommended ones, beside the embedding.

# %%
pair = found.recommended[-1]
method = f"kda@{pair.teacher_layer}={pair.student_layer}(weight=0.05)"
student = ks.train(ks.recipe(arch="resnet8x0.25", method=method, epochs=1), teacher=ks.load(teacher))
student.save(folder / "student.pt")
print(method)
student

# %% [markdown]
# ## What came of it
#
# Both students side by side, at the layers that were chosen and at the embedding. One epoch is no training: this
# shows the road. In the one trial that was made no criterion told where to distil (`docs/match.md`): try several
# layers, on several seeds.

# %%
layers = f"{pair.teacher_layer}={pair.student_layer},embedding=embedding"
report = ks.measure(
    teacher=teacher, student=[plain, folder / "student.pt"], pairs=layers, cache=False, accuracy_check=False
)
report

# %% [markdown]
# The student's kernel while it was trained, epoch by epoch, is in its file:

# %%
for record in student.last.training["trajectory"]:
    print({name: round(numbers["transfer_loss"], 3) for name, numbers in record["layers"].items()})
