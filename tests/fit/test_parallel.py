"""Two ranks train as one process does with the joint batch."""

import math
import os
import signal
import socket
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.fit.models import Classes, classification, line, regression, same_bits, sgd, state_of
from uncertain.fit import (
    Hooks,
    Interrupted,
    NonFiniteError,
    Validation,
    checkpoints,
    clip_gradients,
    early_stopping,
    fit,
    nll,
    term,
    track_jsonl,
)
from uncertain.fit.parallel import World


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("batch", [7, 12])
def test_parts_weigh_as_the_joint_batch(size, batch):
    """The average over ranks of weighted means is the weighted mean of the joint batch."""
    generator = torch.Generator().manual_seed(0)
    values, weight = torch.rand(2, batch, generator=generator, dtype=torch.float64)
    parts = []
    for rank in range(size):
        world = World(rank, size)
        part = world.part(torch.arange(batch))
        parts.append((world.scale(len(part), batch) * weight[part] * values[part]).mean())
    torch.testing.assert_close(torch.stack(parts).mean(), (weight * values).mean())


def weighted():
    x, y = regression()
    return x, y, torch.arange(40, dtype=torch.float64)


def penalised(model):
    return nll(model) + 0.1 * term("size", lambda batch: model.weight.square().sum())


def train(model=None, steps=6, callbacks=(), **options):
    """Train with batches that two ranks can not share evenly; return state, gradients, result."""
    model = line() if model is None else model
    gradients = []
    watch = lambda run: Hooks(  # noqa: E731
        gradient=lambda: gradients.append([p.grad.clone() for p in model.parameters()])
    )
    options = {"objective": penalised(model), "optimizer": sgd} | options
    result = fit(
        model,
        weighted(),
        steps=steps,
        batch_size=7,
        validation=regression(9, seed=1),
        callbacks=[watch, *callbacks],
        **options,
    )
    return {
        "state": state_of(model),
        "gradients": gradients,
        "history": {name: torch.tensor(values) for name, values in result.history.items()},
        "scores": result.scores,
        "stopped": result.stopped,
    }


def plain(rank, folder):
    return train()


def custom(rank, folder):
    model = line()
    optimizer = sgd(model.parameters())

    def step(replica, batch):
        optimizer.zero_grad()
        loss = batch.mean(-replica(batch.x).log_prob(batch.y))
        loss.backward()
        optimizer.step()
        return {"nll": loss}

    return train(model, step=step, objective=None, optimizer=None, callbacks=())


class Inside(nn.Module):
    """A predictor around a network, which is what can be sharded."""

    def __init__(self, shard):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Linear(2, 1, dtype=torch.float64)
        if shard:
            fully_shard(self.net, mesh=init_device_mesh("cpu", (2,)))

    def forward(self, x):
        return torch.distributions.Normal(self.net(x)[:, 0], 1.0)


def sharded(rank, folder):
    model, messages = Inside(shard=True), []
    fit(
        model,
        weighted(),
        optimizer=sgd,
        steps=6,
        batch_size=7,
        callbacks=[clip_gradients(1.0)],
        validation=Validation(regression(9, seed=1), every=2),
    )
    half = Inside(shard=True)
    half.bias = nn.Parameter(torch.zeros(1))
    whole = fully_shard(line(), mesh=init_device_mesh("cpu", (2,)))
    for wrong, callbacks in ((model, [checkpoints(folder)]), (half, []), (whole, [])):
        try:
            fit(wrong, weighted(), steps=1, batch_size=7, callbacks=callbacks)
        except (NotImplementedError, ValueError) as error:
            messages.append(str(error))
    return {n: p.full_tensor() for n, p in model.state_dict().items()}, messages


def different_starts(rank, folder):
    return train(line(seed=rank))


def dropout(rank, folder):
    model, draws = Classes(), []
    model.register_forward_hook(lambda *_: draws.append(torch.rand(4)))
    fit(model, classification(), steps=2, batch_size=8)
    return draws[-1]


def resumed(rank, folder):
    class StopError(Exception):
        pass

    def stop():
        raise StopError

    breaking = lambda run: Hooks(step=lambda: stop() if run.step == 3 else None)  # noqa: E731
    try:
        train(callbacks=[checkpoints(folder, every=2), breaking])
    except StopError:
        return train(callbacks=[checkpoints(folder, every=2), track_jsonl(f"{folder}/terms.jsonl")])


def stopped_by_one(rank, folder):
    only = lambda run: Hooks(step=lambda: run.stop("enough") if rank and run.step == 2 else None)  # noqa: E731
    return train(callbacks=[only])["stopped"]


def stopped_early(rank, folder):
    scores = iter([1.0, 2.0, 3.0])
    validation = Validation(lambda model: next(scores), every=1)
    model = line()
    result = fit(
        model,
        weighted(),
        steps=9,
        batch_size=7,
        validation=validation,
        callbacks=[early_stopping(patience=2)],
    )
    return result.steps, state_of(model)


def interrupted(rank, folder):
    def kill():
        os.kill(os.getpid(), signal.SIGINT)

    only = lambda run: Hooks(gradient=lambda: kill() if rank and run.step == 2 else None)  # noqa: E731
    try:
        train(callbacks=[checkpoints(folder), only])
    except Interrupted as error:
        return str(error)


def failing(rank, folder):
    model = line()
    spoil = term("spoil", lambda batch: model.weight.sum() * (math.nan if rank else 1.0))
    try:
        train(model, objective=nll(model) + spoil)
    except NonFiniteError as error:
        return error.term, error.step, len(error.index)


def refusing(rank, folder):
    class Spoilt(nn.Linear):
        def forward(self, x):
            factor = math.nan if rank and self.training else 1.0
            return torch.distributions.Normal(factor * super().forward(x)[:, 0], 1.0)

    try:
        train(Spoilt(2, 1, dtype=torch.float64), objective=None)
    except NonFiniteError as error:
        return error.term


def refused(rank, folder):
    train(callbacks=[checkpoints(folder)])
    try:
        train(steps=7, callbacks=[checkpoints(folder)])
    except ValueError as error:
        return str(error)


def small(rank, folder):
    try:
        fit(line(), weighted(), steps=1, batch_size=1)
    except ValueError as error:
        return str(error)


def work(rank, port, folder):
    """Run every scenario in one process group: starting one costs more than training."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    results = {}
    for scenario in SCENARIOS:
        path = os.path.join(folder, scenario.__name__)
        os.makedirs(path, exist_ok=True)
        try:
            results[scenario.__name__] = scenario(rank, path)
        except Exception:
            results[scenario.__name__] = traceback.format_exc()
        dist.barrier()
    torch.save(results, os.path.join(folder, f"{rank}.pt"))
    dist.destroy_process_group()


SCENARIOS = (
    plain,
    sharded,
    custom,
    different_starts,
    dropout,
    resumed,
    stopped_by_one,
    stopped_early,
    interrupted,
    failing,
    refusing,
    refused,
    small,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the ranks write."""
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(folder):
    """Return both ranks' results of every scenario, each in its own folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", ["plain", "custom", "different_starts", "resumed"])
def test_two_ranks_train_as_one(ranks, scenario):
    alone = train()
    for rank in ranks:
        result = rank[scenario]
        assert isinstance(result, dict), result
        if scenario == "custom":
            continue
        torch.testing.assert_close(result["state"], alone["state"], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            result["gradients"],
            alone["gradients"][-len(result["gradients"]) :],
            rtol=1e-9,
            atol=1e-12,
        )
        torch.testing.assert_close(result["history"], alone["history"])
        torch.testing.assert_close(result["scores"][-1].value, alone["scores"][-1].value)
    assert same_bits(ranks[0][scenario]["state"], ranks[1][scenario]["state"])


def test_sharded_networks_train_as_one(ranks):
    alone = Inside(shard=False)
    fit(alone, weighted(), optimizer=sgd, steps=6, batch_size=7, callbacks=[clip_gradients(1.0)])
    for rank in ranks:
        assert isinstance(rank["sharded"], tuple), rank["sharded"]
        state, messages = rank["sharded"]
        torch.testing.assert_close(state, state_of(alone), rtol=1e-9, atol=1e-12)
        assert "can not save a model that is sharded" in messages[0]
        assert "all of its parameters sharded or none, got bias outside" in messages[1]
        assert "shard the network inside it" in messages[2]


def test_a_custom_step_trains_as_one(ranks):
    torch.testing.assert_close(ranks[0]["custom"]["state"], custom(0, None)["state"])


def test_ranks_drop_differently(ranks):
    assert not torch.equal(ranks[0]["dropout"], ranks[1]["dropout"])


def test_one_rank_stops_all(ranks):
    assert ranks[0]["stopped_by_one"] == "stopped by another rank"
    assert ranks[1]["stopped_by_one"] == "enough"
    assert ranks[0]["stopped_early"][0] == 3
    assert same_bits(ranks[0]["stopped_early"][1], ranks[1]["stopped_early"][1])


def test_one_interrupt_stops_all(ranks):
    assert "interrupted after step 3 of 6; it is saved as" in ranks[1]["interrupted"]


def test_one_rank_fails_for_all(ranks):
    # Each names its own rows: 4 and 3 of the 7.
    assert [rank["failing"] for rank in ranks] == [("spoil", 0, 4), ("spoil", 0, 3)]
    assert ranks[0]["refusing"] == "prediction of another rank"
    assert ranks[1]["refusing"] == "loc of Normal"


def test_all_ranks_refuse(ranks):
    for rank in ranks:
        assert "steps was 6, is 7" in rank["refused"]
        assert "`batch_size` should be at least the number of ranks, 2, got 1" in rank["small"]


def test_only_rank_0_writes(ranks, folder):
    terms = (folder / "resumed" / "terms.jsonl").read_text()
    assert len(terms.splitlines()) == 4  # steps 3 to 6
