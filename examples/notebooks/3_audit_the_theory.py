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
# # Audit the theory
#
# Qian, Li and Hu bound the difference of two kernels by what landmarks see of it. Which of their claims hold on a
# pair, and how tight are they? Proofs are in docs/theory.md 4, and every line below is computed, not assumed.

# %%
import numpy as np

import kernelscope as ks

rng = np.random.default_rng(0)
y = rng.integers(0, 10, 1500)
X_T = np.maximum(2 * rng.standard_normal((10, 48))[y] + rng.standard_normal((1500, 48)), 0)
X_S = np.maximum(X_T[:, :24] + 0.3 * rng.standard_normal((1500, 24)), 0)

# %% [markdown]
# ## Every claim, as printed and as corrected

# %%
audit = ks.audit(teacher=X_T, student=X_S, labels=y)
audit

# %%
audit.to_frame()[["claim", "printed_holds", "printed_slack", "corrected_holds", "corrected_slack"]]

# %% [markdown]
# A corrected claim that does not hold would be a bug of kernelscope. There is none:

# %%
print(f"{len(audit.failures())} corrected claims fail")

# %% [markdown]
# ## How far every bound is from the truth

# %%
report = ks.measure(teacher=X_T, student=X_S, labels=y)
report.plot("bounds").figure

# %%
report.plot("theorem2").figure

# %% [markdown]
# ## The estimate of Figure 4
#
# ‖C_S − C_T‖ / ‖K_T‖ over landmarks is too small by about √(examples / landmarks). Weighted to all
# examples it is in the right units, and never above the loss.

# %%
print(f"loss {report.transfer_loss:.4f}")
print(f"the paper's estimate {report.paper.estimate:.4f}; times √(n / m): {report.paper.estimate * 150**0.5:.4f}")
print(f"expanded estimate {report.nystrom.expanded_estimate:.4f}")

# %% [markdown]
# What class means cannot see of the difference is what no loss on class centres can repair:

# %%
report.anova
