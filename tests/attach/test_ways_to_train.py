"""Ways in which people write a training step, watched in this process."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from queue import Queue
from threading import Thread
from time import sleep
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from watched_loops import Cells, batches, counts, loader, sgd, train_step, watched


@pytest.mark.timing
def test_a_closure_that_an_optimizer_calls_once() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():

            def closure(x: torch.Tensor = x) -> Any:
                optimizer.zero_grad()
                loss: Any = model(x).square().mean()
                loss.backward()
                return loss

            optimizer.step(closure)

    loop, _ = watched(run)
    assert (loop.boundary, counts(loop)) == ("fetch", (12, 12, 12, 0))
    phases = loop.iterations[5].phases_s
    assert phases["optimizer"] < phases["forward"]
    assert {"forward", "backward", "data"} <= set(phases)


@pytest.mark.parametrize("sliced", [True, False])
def test_batches_from_a_generator(sliced: bool) -> None:
    def endless() -> Iterator[torch.Tensor]:
        while True:
            for (x,) in loader(5):
                yield x

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for index, x in enumerate(islice(endless(), 12) if sliced else endless()):
            if index == 12:
                break
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert (loop.boundary, counts(loop)) == ("fetch", (12, 12, 12, 0))


def test_an_iterable_dataset_and_a_last_batch_that_is_smaller() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[torch.Tensor]:
            yield from torch.randn(58, 7, 4)

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for x in DataLoader(Stream(), batch_size=5):
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    sizes = [iteration.batch_sizes for iteration in loop.iterations]
    assert sizes == [(5,)] * 11 + [(3,)]


def test_two_loaders_side_by_side() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        held = loader(2)
        for index, ((a,), (b,)) in enumerate(zip(loader(), loader(), strict=True)):
            train_step(model, optimizer, torch.cat([a, b]))
            if index % 4 == 3:
                with torch.no_grad():
                    for (x,) in held:
                        model(x)

    loop, _ = watched(run)
    assert (loop.boundary, counts(loop)) == ("fetch", (12, 12, 12, 0))
    assert loop.evaluation_batches == 6
    assert loop.iterations[5].batch_sizes == (10,)


def test_the_next_batch_is_fetched_while_this_one_trains() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        fetched = iter(loader(13))
        (x,) = next(fetched)
        for _ in range(12):
            optimizer.zero_grad()
            loss: Any = model(x).square().mean()
            (x,) = next(fetched)
            loss.backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.iterations[5].phases_s["data"] > 0


def test_parameters_that_are_handed_in() -> None:
    def run() -> None:
        model = Cells()
        parameters = {name: p.detach().clone() for name, p in model.named_parameters()}

        def loss_of(parameters: Any, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = functional_call(model, parameters, (x,))
            return output.square().mean()

        for x in batches():
            gradients, _ = grad_and_value(loss_of)(parameters, x)
            parameters = {k: p - 0.1 * gradients[k] for k, p in parameters.items()}

    loop, _ = watched(run)
    assert loop.boundary == "backward"
    assert counts(loop)[:2] == (12, 12)
    assert loop.iterations[5].timesteps == (7,)


def test_forward_is_called_by_its_name() -> None:
    def run() -> None:
        model: Any = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            model.forward(x).square().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)


def test_the_model_runs_again_in_the_backward() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = Cells()

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(self.cells, x, use_reentrant=False)

    def run() -> None:
        model = Checkpointed()
        optimizer = sgd(model)
        for (x,) in loader():
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.iterations[5].timesteps == (7,)


def test_a_root_inside_a_checkpoint() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            loss: Any = checkpoint(model, x, use_reentrant=False)
            loss.square().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.iterations[5].timesteps == (7,)


def test_encoder_and_decoder_are_two_roots() -> None:
    def run() -> None:
        encoder, decoder, head = nn.GRU(4, 8, batch_first=True), nn.GRUCell(4, 8), nn.Linear(8, 4)
        optimizer = sgd(encoder, decoder, head)
        for (x,) in loader():
            optimizer.zero_grad()
            _, state = encoder(x)
            h, y, outputs = state[0], x[:, 0], []
            for _ in range(6):
                h = decoder(y, h)
                y = head(h)
                outputs.append(y)
            loss: Any = torch.stack(outputs).square().mean()
            loss.backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert set(loop.roots) == {"GRU", "GRUCell", "Linear"}


def test_a_gradient_penalty_is_part_of_the_step() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            x.requires_grad_()
            output = model(x)
            (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
            loss: Any = output.square().mean() + slope.square().mean()
            loss.backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 24, 12, 0)


def test_two_losses_go_back_through_one_graph() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            output: Any = model(x)
            output.square().mean().backward(retain_graph=True)
            output.abs().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 24, 12, 0)


def test_optimizers_that_step_inside_the_backward() -> None:
    def run() -> None:
        model = Cells()
        optimizers: Any = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

        def apply(parameter: torch.Tensor) -> None:
            optimizers[parameter].step()
            optimizers[parameter].zero_grad()

        for parameter in optimizers:
            parameter.register_post_accumulate_grad_hook(apply)
        for (x,) in loader():
            model(x).square().mean().backward()

    loop, _ = watched(run)
    assert counts(loop)[:2] == (12, 12)
    assert loop.boundary == "fetch"


def test_an_optimizer_that_is_the_scripts_own() -> None:
    class Plain(torch.optim.Optimizer):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {})

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad, alpha=0.1)

    def run() -> None:
        model = Cells()
        optimizer = Plain(model.parameters())
        for (x,) in loader():
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.optimizers == ("Plain",)


def test_an_optimizer_for_each_part_of_one_model() -> None:
    def run() -> None:
        model = Cells()
        first, second = sgd(model.cell), torch.optim.Adam(model.out.parameters())
        for (x,) in loader():
            first.zero_grad()
            second.zero_grad()
            model(x).square().mean().backward()
            first.step()
            second.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 24, 0)


def test_an_optimizer_that_steps_now_and_then() -> None:
    """A critic is trained several times for each step of its generator."""

    def run() -> None:
        generator, critic = Cells(), nn.Linear(4, 1)
        often, seldom = sgd(critic), sgd(generator)
        for index, (x,) in enumerate(loader()):
            often.zero_grad()
            (critic(generator(x).detach()).mean() - critic(x).mean()).backward()
            often.step()
            if index % 3 == 2:
                seldom.zero_grad()
                (-critic(generator(x)).mean()).backward()
                seldom.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 16, 16, 0)


def test_accumulation_whose_last_part_is_smaller() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for index, (x,) in enumerate(loader(14), 1):
            (model(x).square().mean() / 3).backward()
            if index % 3 == 0 or index == 14:
                optimizer.step()
                optimizer.zero_grad()

    loop, _ = watched(run)
    assert [iteration.rounds for iteration in loop.iterations] == [3, 3, 3, 3, 2]


def test_slices_of_one_batch_are_accumulated_without_a_loader() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for x in batches():
            optimizer.zero_grad()
            for part in x.chunk(2):
                model(part).square().sum().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 24, 12, 0)
    assert loop.boundary == "optimizer"


def test_chunks_of_one_batch_are_updated_one_by_one() -> None:
    """Truncated BPTT over what one fetch gave: an update is a step, a fetch is not."""

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in DataLoader(TensorDataset(torch.randn(20, 21, 4)), batch_size=5):
            for part in x.split(7, dim=1):
                train_step(model, optimizer, part)

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.boundary == "optimizer"
    assert loop.iterations[6].phases_s["data"] > 0


def test_autocast_and_a_criterion_without_parameters() -> None:
    def run() -> None:
        model, criterion = Cells(), nn.MSELoss()
        optimizer = sgd(model)
        for (x,) in loader():
            with torch.autocast("cpu", torch.bfloat16):
                loss: Any = criterion(model(x), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    loop, trial = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.roots == ("Cells",)
    assert trial.workload.precision == "bf16 autocast"


def test_a_part_of_a_model_is_called_by_the_script() -> None:
    """Several modules of one model, one after the other: each is a root."""

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            h, outputs = x.new_zeros(x.size(0), 8), []
            for part in x.unbind(1):
                h = model.cell(part, h)
                outputs.append(model.out(h))
            loss: Any = F.mse_loss(torch.stack(outputs, 1), x)
            loss.backward()
            optimizer.step()

    loop, trial = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.iterations[6].timesteps == (7,)
    assert trial.latencies


def test_a_compiled_function_that_calls_the_model() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)

        @torch.compile(backend="eager")
        def compiled(x: torch.Tensor) -> Any:
            return model(x).square().mean()

        for (x,) in loader():
            optimizer.zero_grad()
            compiled(x).backward()
            optimizer.step()

    loop, trial = watched(run)
    assert loop.compiled
    assert counts(loop) == (12, 12, 12, 0)
    assert any("compiled functions" in sentence for sentence in loop.unknown)
    assert trial.timesteps_reason == "the model is compiled: its timesteps are no longer calls"


def test_folds_are_trained_one_after_the_other() -> None:
    def run() -> None:
        for _ in range(3):
            model = Cells()
            optimizer = sgd(model)
            for x in batches(6):
                train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert counts(loop) == (18, 18, 18, 0)
    assert {iteration.rounds for iteration in loop.iterations} == {1}
    assert {iteration.timesteps for iteration in loop.iterations} == {(7,)}
    assert all("forward" in iteration.phases_s for iteration in loop.iterations)


def test_a_thread_fetches_ahead() -> None:
    def ahead(batches: Any) -> Iterator[Any]:
        waiting: Queue[Any] = Queue(2)

        def fetch() -> None:
            for batch in batches:
                waiting.put(batch)
            waiting.put(None)

        thread = Thread(target=fetch)
        thread.start()
        yield from iter(waiting.get, None)
        thread.join()

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for _ in range(2):
            for (x,) in ahead(loader()):
                train_step(model, optimizer, x)

    loop, trial = watched(run)
    assert counts(loop) == (24, 24, 24, 0)
    assert loop.boundary == "optimizer"
    assert trial.latencies
    assert trial.timestep_operations


@pytest.mark.timing
def test_averaged_weights_are_evaluated() -> None:
    def run() -> None:
        model = Cells()
        averaged, held = torch.optim.swa_utils.AveragedModel(model), loader(3)
        copied = deepcopy(model)
        optimizer = sgd(model)
        for index, (x,) in enumerate(loader()):
            train_step(model, optimizer, x)
            averaged.update_parameters(model)
            if index % 4 == 3:
                with torch.no_grad():
                    for (y,) in held:
                        copied(y)
                    for (y,) in held:
                        averaged(y)
                        sleep(0.03)

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.evaluation_batches >= 3 * 3  # those of a class that was seen before
    after = loop.iterations[7]
    assert after.evaluation_s > 3 * 0.03 > sum(after.phases_s.values())


def test_operations_are_counted_in_a_warm_up_step() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            optimizer.zero_grad()
            for part in x.split(3):  # the timesteps of the first micro-batch are counted
                model(part).square().mean().backward()
            optimizer.step()

    _, trial = watched(run)
    forward, backward = trial.timestep_operations
    assert (forward.loop, forward.phase, backward.phase) == ("cell", "forward", "backward")
    assert len(forward.operations) == len(backward.operations) == 7
    # From one call of the cell to the next; the last ends with its call, before the output layer.
    assert len(set(forward.operations[:-1])) == 1
    accounts = {account.phase: account for account in trial.accounts}
    assert list(accounts) == ["forward", "loss", "backward", "optimizer"]
    assert (trial.accounts[0].operations or 0) >= 2 * sum(forward.operations)


def test_nothing_is_counted_where_no_warm_up_step_is_left() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader():
            train_step(model, optimizer, x)

    _, trial = watched(run, warmup=3)
    assert not trial.accounts
    assert trial.latencies


def test_an_exception_in_the_counted_step_leaves_nothing_behind() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for index, (x,) in enumerate(loader()):
            try:
                train_step(model, optimizer, x[..., :2] if index == 2 else x)
            except RuntimeError:
                continue

    loop, trial = watched(run)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert counts(loop) == (11, 11, 11, 0)
    assert trial.latencies
