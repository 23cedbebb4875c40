# SPDX-License-Identifier: Apache-2.0
"""Trains a small network on the handwritten digits that ship with scikit-learn.

1,797 real images of 8 x 8 pixels, 0 to 16. A quarter of each class is held out. The rest, shifted
by a pixel in each direction too, trains three dense layers by Adam: NumPy, a fixed seed, seconds.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # pyright: ignore[reportMissingTypeStubs]
from threadpoolctl import threadpool_limits

from sw.runtime.quantize import FloatLayer

__all__ = ["PIXEL", "Digits", "load", "train"]

PIXEL = 1 / 16
"""What 1 of a pixel stands for."""
_HIDDEN = (128, 64)
_EPOCHS, _BATCH, _RATE, _DECAY = 40, 128, 2e-3, 1e-4
_SEED = 1

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Digits:
    """Images, [n, 64] of uint8, and what they show."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load() -> Digits:
    """The images, with every fourth of each class held out."""
    data: Any = load_digits()
    images, labels = data.data.astype(np.uint8), data.target.astype(np.int64)
    held = np.zeros(labels.size, bool)
    order = np.random.default_rng(_SEED).permutation(labels.size)
    for digit in range(10):
        held[order[labels[order] == digit][::4]] = True
    return Digits(images[~held], labels[~held], images[held], labels[held])


def _shifted(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The images, and each shifted by one pixel up, down, left, right."""
    square = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    for row, column in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
        yield square[:, row : row + 8, column : column + 8].reshape(-1, 64)


class _Adam:
    """Adam on a list of arrays, in place."""

    def __init__(self, parameters: list[Reals]) -> None:
        self.parameters = parameters
        self.mean = [np.zeros_like(p) for p in parameters]
        self.square = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: list[Reals], rate: float) -> None:
        """One step downhill."""
        self.steps += 1
        for value, mean, square, gradient in zip(
            self.parameters, self.mean, self.square, gradients, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = square / (1 - 0.999**self.steps)
            value -= rate * mean / (1 - 0.9**self.steps) / (np.sqrt(unbiased) + 1e-8)


def _forward(weights: list[Reals], biases: list[Reals], images: Reals) -> list[Reals]:
    """Values before the first and behind each layer."""
    values = [images]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        total = values[-1] @ weight + bias
        values.append(total if number == len(weights) - 1 else np.maximum(total, 0))
    return values


def _gradients(weights: list[Reals], values: list[Reals], labels: NDArray) -> list[Reals]:
    """Gradients of the mean cross entropy, those of weights first."""
    shares = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    delta = shares / shares.sum(axis=1, keepdims=True)
    delta[np.arange(labels.size), labels] -= 1
    delta /= labels.size
    of_weights: list[Reals] = []
    of_biases: list[Reals] = []
    for number in reversed(range(len(weights))):
        of_weights.append(values[number].T @ delta + _DECAY * weights[number])
        of_biases.append(delta.sum(axis=0))
        delta = (delta @ weights[number].T) * (values[number] > 0)
    return of_weights[::-1] + of_biases[::-1]


def train(digits: Digits, progress: Callable[[float], None] = lambda _: None) -> list[FloatLayer]:
    """Train on `digits`; `progress` is told the share that is done."""
    # Matrices are so small that more threads only wait for each other, on a busy machine for long.
    with threadpool_limits(1):
        return _train(digits, progress)


def _train(digits: Digits, progress: Callable[[float], None]) -> list[FloatLayer]:
    rng = np.random.default_rng(_SEED)
    images = np.concatenate(list(_shifted(digits.train_images))).astype(np.float64) * PIXEL
    labels = np.tile(digits.train_labels, 5)
    sizes = [64, *_HIDDEN, 10]
    weights = [
        rng.standard_normal(shape) * np.sqrt(2 / shape[0])
        for shape in zip(sizes, sizes[1:], strict=False)
    ]
    biases = [np.zeros(size) for size in sizes[1:]]
    adam = _Adam(weights + biases)
    for epoch in range(_EPOCHS):
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * epoch / _EPOCHS))
        order = rng.permutation(labels.size)
        for start in range(0, order.size, _BATCH):
            chosen = order[start : start + _BATCH]
            values = _forward(weights, biases, images[chosen])
            adam.step(_gradients(weights, values, labels[chosen]), rate)
        progress((epoch + 1) / _EPOCHS)
    return [
        FloatLayer(name=f"dense {n + 1}", weights=weight, bias=bias, relu=n < len(weights) - 1)
        for n, (weight, bias) in enumerate(zip(weights, biases, strict=True))
    ]
