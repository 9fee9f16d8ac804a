"""KDA in a LightningModule: needs ``pip install pytorch-lightning``."""

import pytorch_lightning as lightning
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


class Distillation(lightning.LightningModule):
    """A student with its teacher's kernel beside the labels; ``teacher=None`` trains a teacher."""

    def __init__(self, student: Net, teacher: Net | None = None) -> None:
        super().__init__()
        self.student, self.kda = student, ks.losses.KDA(weight=0.2)  # its landmarks are in Lightning's checkpoints
        self.teachers = [] if teacher is None else [teacher.eval()]  # in a list: not this module's to train or save

    def on_train_epoch_start(self) -> None:
        self.kda.begin_epoch(self.current_epoch, self.trainer.max_epochs)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        x, y = batch
        features = self.student.body(x)
        loss = nn.functional.cross_entropy(self.student.head(features), y)
        for teacher in self.teachers:
            with torch.no_grad():
                known = teacher.body(x)
            loss = loss + self.kda(features, known, y)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.student.parameters(), lr=2e-3)


def train(student: Net, data: torch.utils.data.Dataset, teacher: Net | None = None) -> Net:
    trainer = lightning.Trainer(
        max_epochs=30, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    trainer.fit(Distillation(student, teacher), loader)
    return student


if __name__ == "__main__":
    lightning.seed_everything(0)
    parts = [digits(split) for split in ("train", "test")]
    X, test = (torch.tensor(examples.raw(range(examples.n))).float() / 16 for examples in parts)
    data = torch.utils.data.TensorDataset(X, torch.tensor(parts[0].labels))
    teacher = train(Net(32), data)
    students = {"plain": train(Net(16), data), "kda": train(Net(16), data, teacher)}
    for name, student in students.items():
        report = ks.measure(teacher=teacher, student=student, data=(test, parts[1].labels), layers="embedding")
        pair = report.pairs[0]
        print(f"{name:6} loss {pair.transfer_loss:.3f}, after the best scalar {pair.ladder.scaled:.3f}")
