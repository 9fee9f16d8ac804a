"""A masked array is refused wherever an array is given: nothing would heed its mask."""

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope import metrics
from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.choosing import class_means

rng = np.random.default_rng(0)
T, S, Y = rng.standard_normal((60, 8)), rng.standard_normal((60, 4)), np.arange(60) % 3
MASKED, MASKED_Y = np.ma.masked_array(T, mask=T > 1), np.ma.masked_array(Y, mask=Y > 1)
NET = nn.Linear(8, 3)


class Pairs:
    def __len__(self):
        return 60

    def __getitem__(self, i):
        return MASKED[i], 0


class OfNetCDF:
    """Rows that come masked as they are sliced, as NetCDF libraries give them."""

    shape, dtype = MASKED.shape, MASKED.dtype

    def __getitem__(self, rows):
        return MASKED[rows]


GIVEN = {
    "teacher": lambda: ks.measure(teacher=MASKED, student=S),
    "student": lambda: ks.measure(teacher=S, student=MASKED),
    "a layer": lambda: ks.measure(teacher={"a": MASKED}, student={"a": S}),
    "a reference": lambda: ks.measure(teacher=T, student=S, references={"r": MASKED}),
    "a list of rows": lambda: ks.measure(teacher=list(MASKED), student=S),
    "rows that are sliced": lambda: ks.measure(teacher=OfNetCDF(), student=S),
    "labels": lambda: ks.measure(teacher=T, student=S, labels=MASKED_Y),
    "groups": lambda: ks.measure(teacher=T, student=S, groups=MASKED_Y),
    "data": lambda: ks.measure(teacher=NET, student=NET, data=(MASKED.astype("f4"), Y)),
    "labels of data": lambda: ks.measure(teacher=NET, student=NET, data=(T.astype("f4"), MASKED_Y)),
    "inputs alone": lambda: ks.measure(teacher=NET, student=NET, data=MASKED.astype("f4")),
    "a data set": lambda: ks.measure(teacher=NET, student=NET, data=Pairs()),
    "audit": lambda: ks.audit(teacher=MASKED, student=S),
    "transfer_loss": lambda: ks.transfer_loss(teacher=MASKED, student=S),
    "cka": lambda: metrics.cka(MASKED, S),
    "within_class_cka": lambda: metrics.within_class_cka(T, S, MASKED_Y),
    "procrustes": lambda: metrics.procrustes(T, MASKED),
    "landmarks": lambda: class_means(MASKED_Y),
    "rows of landmarks": lambda: class_means(Y).of(MASKED),
    "a masked tensor": lambda: ks.measure(teacher=masked_tensor(), student=S),
}


def masked_tensor():
    from torch.masked import masked_tensor as made

    with pytest.warns(UserWarning, match="prototype"):
        return made(torch.tensor(T), torch.tensor(T > 1))


@pytest.mark.parametrize("place", GIVEN)
def test_a_masked_array_is_refused(place):
    with pytest.raises(Mismatch, match="masked array, whose mask would be ignored; fill it") as caught:
        GIVEN[place]()
    assert len(str(caught.value)) <= 200
