"""Any Hugging Face architecture, built from a configuration: no weights, no network.

The library's base model (``AutoModel``) is the body; vectors go in and the last hidden states come
out, so data, heads and losses are those of every other family. Its own token embedding is dropped:
it would be counted as parameters and never used.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any, cast

import psutil
import torch
from torch import Tensor, nn

from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.spec import ModelSpec
from seqprof.suggest import nearest
from seqprof.workloads.body import Body, State, refuse_packed

#: What the library logs when it lacks a kernel for what the model does.
_SLOW = re.compile(
    r"fall(s|ing)? ?back|fast path|slow path|(much|significantly) slower|"
    r"(reference|sequential|naive) (pytorch )?implementation",
    re.IGNORECASE,
)
#: Sequence length of the trial run when a model is built.
_TRIAL = 8


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return the architecture that ``spec.config`` describes, with random weights.

    Raises:
        SeqprofError: the library is missing, or cannot build or run it.
    """
    library = _import_library()
    config = _make_config(library, spec)
    _refuse_too_large(_outline(library, config), config)
    try:
        model = library.AutoModel.from_config(config)
    except Exception as error:
        raise _cannot_build(config, error) from error
    return LibraryBody(model, config, input_size)


def entry_size(spec: ModelSpec) -> int:
    """Return the width of the architecture's token embedding."""
    library = _import_library()
    config = _make_config(library, spec)
    try:
        return int(_outline(library, config).get_input_embeddings().embedding_dim)
    except AttributeError as error:
        raise _cannot_build(config, error) from error


def _outline(library: ModuleType, config: Any) -> Any:
    """The model without storage."""
    try:
        with torch.device("meta"):
            return library.AutoModel.from_config(config)
    except Exception as error:
        raise _cannot_build(config, error) from error


def _refuse_too_large(outline: nn.Module, config: Any) -> None:
    """Defaults of an architecture can be billions of weights; the system would end the process."""
    needed = sum(p.numel() * p.element_size() for p in outline.parameters())
    free = psutil.virtual_memory().available
    if needed > free:
        raise SeqprofError(
            f"model.config: this {config.model_type} has {needed / 2**30:.0f} GiB of weights, and "
            f"{free / 2**30:.0f} GiB of memory are free",
            "set smaller sizes in model.config; what it leaves out is the library's default",
            exit_code=EXIT_CANNOT_MEASURE,
        )


def _import_library() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise SeqprofError(
            f"model.name: transformers needs the package of that name ({error})",
            "pip install 'seqprof[transformers]'",
            exit_code=EXIT_CANNOT_MEASURE,
        ) from error


def _make_config(library: ModuleType, spec: ModelSpec) -> Any:
    """Make the configuration; the library would take unknown keys without a word."""
    wanted = dict(spec.config or {})
    kind = str(wanted.pop("model_type", ""))
    try:
        default = library.AutoConfig.for_model(kind)
    except ValueError as error:
        hint = _closest(kind, [str(name) for name in library.CONFIG_MAPPING])
        raise SeqprofError(
            f"model.config: transformers {library.__version__} knows no model_type {kind!r}{hint}"
        ) from error
    known = sorted({*default.to_dict(), *getattr(default, "attribute_map", {})})
    for key in wanted:
        if key not in known:
            raise SeqprofError(
                f"model.config: {kind} has no key {key!r}{_closest(key, known)}",
                f"its keys are those of transformers.{type(default).__name__}",
            )
    try:
        config = library.AutoConfig.for_model(kind, **wanted)
    except Exception as error:
        raise SeqprofError(
            f"model.config: {kind} refuses this configuration: {type(error).__name__}: {error}"
        ) from error
    config.use_cache = False  # nothing is generated
    return config


def _closest(word: str, known: list[str]) -> str:
    """Like did_you_mean, without the list of hundreds where none is near."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else ""


def _cannot_build(config: Any, error: Exception) -> SeqprofError:
    first = str(error).strip().splitlines() or [""]
    return SeqprofError(
        f"model.config: transformers cannot build a sequence model from {config.model_type}: "
        f"{type(error).__name__}: {first[0]}",
        "seqprof trains architectures with one stack over one sequence (gpt2, llama, mamba …)",
    )


class LibraryBody(Body):
    """The base model of an architecture, on vectors ``[B, T, entry size]``."""

    def __init__(self, model: nn.Module, config: Any, input_size: int) -> None:
        super().__init__()
        self._positions = _learned_positions(model, config)
        cast(Any, model).set_input_embeddings(nn.Identity())
        self.model = model
        self._config = config
        self._checkpointing = False
        self._log = _SlowPathLog()
        self.output_size, self.sees_future = self._try(input_size)
        self._log.forget()  # the trial was on the CPU; what counts is where it trains

    def _try(self, input_size: int) -> tuple[int, bool]:
        """Run a short sequence: how wide the output is, and whether timesteps see later ones.

        On shapes alone the latter cannot be told; it is taken to be causal.
        """
        inputs = torch.zeros(1, _TRIAL, input_size).normal_().requires_grad_()
        half = _TRIAL // 2
        training = self.model.training
        self.model.eval()
        try:
            output = self._call(inputs)
            [gradient] = torch.autograd.grad(output[:, :half].square().sum(), inputs)
        except Exception as error:
            raise _cannot_build(self._config, error) from error
        self.model.train(training)
        sees_future = not gradient.is_meta and bool(gradient[:, half:].abs().max() > 0)
        return output.shape[-1], sees_future

    def _call(self, inputs: Tensor) -> Tensor:
        with _one_sequence_each() if inputs.is_meta else nullcontext():
            return cast(Tensor, self.model(inputs_embeds=inputs).last_hidden_state)

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`; there is no state.

        Raises:
            SeqprofError: ``packed``; more timesteps than the architecture has positions; lengths
                that vary where timesteps see later ones; checkpointing that it does not support.
        """
        refuse_packed(packed, "transformers")
        if lengths is not None and self.sees_future:
            raise SeqprofError(
                "data.lengths: this architecture sees padding that comes after a sequence's end",
                "set data.lengths.distribution: fixed, or take a causal architecture",
            )
        if self._positions is not None and inputs.shape[1] > self._positions:
            raise SeqprofError(
                f"data.seq_len: {inputs.shape[1]} timesteps, but {self._config.model_type} has "
                f"{self._positions} learned positions",
                "raise max_position_embeddings (n_positions for gpt2) in model.config",
            )
        if self.checkpoint and not self._checkpointing:
            self._enable_checkpointing()
        return self._call(inputs), ()

    def _enable_checkpointing(self) -> None:
        model = cast(Any, self.model)
        try:
            if hasattr(model, "activation_checkpointing_enable"):
                model.activation_checkpointing_enable()
            else:  # its name in older releases
                model.gradient_checkpointing_enable({"use_reentrant": False})
        except ValueError as error:
            raise SeqprofError(
                f"train.checkpoint: {error}", "set train.checkpoint: false"
            ) from error
        self._checkpointing = True

    def slow_paths(self) -> tuple[str, ...]:
        return (*self._log.seen, *_silent_slow_paths(self.model))


@contextmanager
def _one_sequence_each() -> Iterator[None]:
    """Tell the library, without a look at values, that no row of a batch packs several sequences.

    It looks for that in the positions of the timesteps, which meta tensors do not have.
    """
    masks = importlib.import_module("transformers.masking_utils")
    name = "find_packed_sequence_indices"
    look = getattr(masks, name, None)
    if look is None:  # another release of the library, which does not look
        yield
        return
    setattr(masks, name, lambda position_ids: None)
    try:
        yield
    finally:
        setattr(masks, name, look)


def _learned_positions(model: nn.Module, config: Any) -> int | None:
    """How many positions have a vector of their own; None where T is not limited so."""
    limit = getattr(config, "max_position_embeddings", None)
    own = cast(Any, model).get_input_embeddings()
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding) and m is not own]
    return limit if any(table.num_embeddings == limit for table in tables) else None


def _silent_slow_paths(model: nn.Module) -> list[str]:
    """Fallbacks that the library takes without a word, by its own checks for what it lacks."""
    modules = sys.modules[type(model).__module__]
    notes = []
    if getattr(modules, "is_xlstm_available", lambda: True)() is False:
        notes.append("xlstm is not installed; the library's own PyTorch code stands in for it.")
    if getattr(modules, "rwkv_cuda_kernel", ...) is None:
        notes.append("RWKV's CUDA kernel is not loaded; a loop over timesteps stands in for it.")
    return notes


class _SlowPathLog(logging.Handler):
    """Keeps what the library logs about slow paths; the terminal need not show it as well."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []
        logger = logging.getLogger("transformers")
        for handler in logger.handlers:
            if isinstance(handler, _SlowPathLog):
                logger.removeHandler(handler)  # an earlier model's
            elif _is_not_slow not in handler.filters:
                handler.addFilter(_is_not_slow)
        logger.addHandler(self)
        self.forget()

    def forget(self) -> None:
        """Begin anew; the library too, which says each thing once per process."""
        self.seen.clear()
        once: Any = getattr(logging.Logger, "warning_once", None)
        if hasattr(once, "cache_clear"):
            once.cache_clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> _SlowPathLog:
        """A copied model listens with the original: a handler holds a lock."""
        return self

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if _SLOW.search(message) and message not in self.seen:
            self.seen.append(message)


def _is_not_slow(record: logging.LogRecord) -> bool:
    return _SLOW.search(record.getMessage()) is None
