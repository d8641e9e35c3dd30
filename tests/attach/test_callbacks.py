"""The callbacks of Lightning and Hugging Face, where these are installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from seqprof import store


class Tagger(nn.Module):
    """What a Hugging Face Trainer trains: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        output = self.out(self.lstm(x)[0][:, -1])[:, 0]
        loss = None if labels is None else nn.functional.mse_loss(output, labels)
        return {"loss": loss, "logits": output}


def test_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from seqprof.integrations.lightning import SeqprofCallback

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.tagger = Tagger()

        def training_step(self, batch: Any, _index: int) -> Any:
            return self.tagger(batch[0], batch[1])["loss"]

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = TensorDataset(torch.randn(64, 6, 4), torch.randn(64))
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[SeqprofCallback(tmp_path / "run.json")],
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(data, batch_size=4))
    loop = store.load(tmp_path / "run.json").trials[0].loop
    assert loop is not None
    assert sum(iteration.updates for iteration in loop.iterations) == 16
    assert loop.iterations[8].timesteps == (6,)


def test_hugging_face(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from seqprof.integrations.transformers import SeqprofCallback

    rows = [{"x": torch.randn(6, 4), "labels": torch.randn(())} for _ in range(48)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=4, num_train_epochs=1,
        gradient_accumulation_steps=2, report_to=[], save_strategy="no", use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(
        model=Tagger(), args=arguments, train_dataset=rows,
        callbacks=[SeqprofCallback(tmp_path / "run.json")],
    ).train()  # fmt: skip
    loop = store.load(tmp_path / "run.json").trials[0].loop
    assert loop is not None
    assert sum(iteration.updates for iteration in loop.iterations) == 6
    assert [iteration.rounds for iteration in loop.iterations] == [2] * 6
