# SPDX-License-Identifier: Apache-2.0
"""The digits showcase without the RTL: training, quantisation, inference, pictures."""

from pathlib import Path

import numpy as np
import pytest

from hw.config import PRESETS
from scripts.digits.pictures import draw_confusion, draw_digits
from scripts.digits.training import PIXEL, Digits, load, train
from sw.runtime.functional import FunctionalChip
from sw.runtime.infer import prepare_network, run_network
from sw.runtime.network import Network
from sw.runtime.quantize import quantize_network


@pytest.fixture(scope="module")
def digits() -> Digits:
    """The images."""
    return load()


@pytest.fixture(scope="module")
def network(digits: Digits) -> Network:
    """The trained network, quantised."""
    return quantize_network("digits", train(digits), digits.train_images, PIXEL)


def test_held_out_images_are_held_out(digits: Digits) -> None:
    """Would break if the accuracy were measured on images that were learnt."""
    assert digits.train_labels.size + digits.test_labels.size == 1797
    assert digits.test_labels.size == 454
    assert np.bincount(digits.test_labels).min() >= 43, "every class is held out"
    seen = {image.tobytes() for image in digits.train_images}
    assert not any(image.tobytes() in seen for image in digits.test_images)


def test_enough_digits_are_right(digits: Digits, network: Network) -> None:
    """Would break if training, scales or inference were off: 95 % is what the showcase asks."""
    config = PRESETS["mtia100-pe"]
    job = prepare_network(config, network, digits.test_labels.size)
    logits = run_network(FunctionalChip(config), job, digits.test_images)[-1].output
    assert (logits.argmax(axis=1) == digits.test_labels).mean() >= 0.95


def test_pictures_are_written(digits: Digits, tmp_path: Path) -> None:
    """Would break if a picture needed a display, or at least one wrong or right image."""
    labels = digits.test_labels[:60]
    for number, found in enumerate((labels, (labels + 1) % 10)):
        logits = np.eye(10, dtype=np.float32)[found]
        draw_confusion(labels, found, tmp_path / f"confusion{number}.png")
        draw_digits(digits.test_images[:60], labels, logits, tmp_path / f"digits{number}.png")
    assert all(path.stat().st_size > 5000 for path in tmp_path.glob("*.png"))
    assert len(list(tmp_path.iterdir())) == 4
