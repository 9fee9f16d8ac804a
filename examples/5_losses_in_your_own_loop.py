"""A training loop of your own with KDA in it, and what the student inherits with and without."""

import torch
from torch import nn

import kernelscope as ks
from kernelscope.datasets.digits import digits


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, width), nn.ReLU())
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def train(net: Net, X: torch.Tensor, y: torch.Tensor, teacher: Net | None = None, epochs: int = 30) -> Net:
    """Plain torch; the two lines with ``kda`` are what kernel transfer adds."""
    kda = ks.losses.KDA(weight=0.2)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for epoch in range(epochs):
        kda.begin_epoch(epoch, epochs)  # closes the epoch before, whose class means are the landmarks of this one
        for rows in torch.randperm(len(X)).split(64):
            features = net.body(X[rows])
            loss = nn.functional.cross_entropy(net.head(features), y[rows])
            if teacher is not None:
                loss = loss + kda(features, teacher.body(X[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


torch.manual_seed(0)
data = {split: digits(split) for split in ("train", "test")}
X, test = (torch.tensor(examples.raw(range(examples.n))).float() / 16 for examples in data.values())
y = torch.tensor(data["train"].labels)
teacher = train(Net(32), X, y)
students = {"plain": train(Net(16), X, y), "kda": train(Net(16), X, y, teacher)}
for name, student in students.items():
    pair = ks.measure(teacher=teacher, student=student, data=(test, data["test"].labels), layers="embedding").pairs[0]
    print(f"{name:6} loss {pair.transfer_loss:.3f}, after the best scalar {pair.ladder.scaled:.3f}")
print(f"on {len(test)} held-out digits")
