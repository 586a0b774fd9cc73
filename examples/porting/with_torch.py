"""The same script with its network in PyTorch."""

import torch  # new

import mxopt as mx  # changed
from mxopt import gluon  # changed

torch.manual_seed(0)
inputs = torch.randn(256, 2)
labels = (inputs[:, 0] * inputs[:, 1] > 0).float()

net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
loss_of = torch.nn.BCEWithLogitsLoss()

schedule = mx.lr_scheduler.CosineScheduler(200, base_lr=0.05, final_lr=0.001)
trainer = gluon.Trainer(
    dict(net.named_parameters()), "adam", {"learning_rate": None, "lr_scheduler": schedule, "wd": 1e-4}
)

for _ in range(200):
    net.zero_grad()  # new: torch accumulates gradients
    loss = loss_of(net(inputs).squeeze(1), labels)
    loss.backward()
    trainer.step(1)
print("loss", loss.item())
trainer.save_states("points.states")
