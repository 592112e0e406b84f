"""The decoder of Brain-Score's object solution times, without TensorFlow.

`TFProbabilitiesClassifier` of Brain-Score 2.4 is a softmax regression on standardised features.
After 40 epochs of Adam with a small step it is far from the optimum, so that its probabilities
depend on the first weights: truncated normal numbers that TensorFlow draws with the seed 0. They
are made here from the definition of its generator, Philox 4x32-10 (Salmon et al. 2011). They differ
between versions: TensorFlow 2.16 and later has Keras 3, which derives the generator's state from
the seed in another way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt32
from sklearn.preprocessing import StandardScaler

GRAPH_SEED = 87654321
"""Seed of TensorFlow's graphs that have none."""

SCRAMBLE = 0x02461E293EC8F720
"""Key with which TensorFlow's stateless functions make a key and a counter of a seed."""

RESERVED = 256
"""Counters of the generator that TensorFlow keeps for each four truncated numbers."""

PENALTY = 0.463
RATE, EPOCHS, BATCH, TOLERANCE = 1e-4, 40, 64, 1e-4
DECAYS, EPSILON = (0.9, 0.999), 1e-8
"""Constants of Brain-Score's decoder, and those of Adam."""


@dataclass
class SoftmaxRegression:
    """Softmax regression as Brain-Score fits it; labels are numbered from 0 as they appear.

    Parameters
    ----------
    keras
        Version of Keras that comes with TensorFlow: 3 since TensorFlow 2.16, 2 before.
    """

    keras: int = 3

    def fit(
        self, features: Float[np.ndarray, "image unit"], labels: Int[np.ndarray, " image"]
    ) -> SoftmaxRegression:
        """Fit weights by 40 epochs of Adam on batches of 64 images, in float32."""
        self._scaler = StandardScaler().fit(features)
        values, n_labels = self._standardised(features), int(labels.max()) + 1
        first = truncated_normal(values.shape[1] * n_labels, keras=self.keras)
        spread_of_normal = 0.87962566103423978  # of a normal variable between -2 and 2
        scale = np.float32(np.sqrt(1 / values.shape[1]) / spread_of_normal)
        weights = [scale * first.reshape(-1, n_labels), np.ones(n_labels, dtype=np.float32)]
        moments = [[np.zeros_like(each) for each in weights] for _ in DECAYS]
        random, step, loss = np.random.RandomState(0), 0, np.inf
        for _ in range(EPOCHS):
            order = np.arange(len(values))
            random.shuffle(order)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                loss, slopes = self._slopes(weights, values[batch], labels[batch])
                step += 1
                rate = RATE * np.sqrt(1 - DECAYS[1] ** step) / (1 - DECAYS[0] ** step)
                for part, slope in enumerate(slopes):
                    for moment, decay, power in zip(moments, DECAYS, (1, 2), strict=True):
                        moment[part] += np.float32(1 - decay) * (slope**power - moment[part])
                    size = np.sqrt(moments[1][part]) + np.float32(EPSILON)
                    weights[part] = weights[part] - np.float32(rate) * moments[0][part] / size
            if loss < TOLERANCE:
                break
        self.weights, self.offset = weights
        return self

    def probabilities(
        self, features: Float[np.ndarray, "image unit"]
    ) -> Float[np.ndarray, "image label"]:
        """Return the probability of each label."""
        return _softmax(self._standardised(features) @ self.weights + self.offset)

    def _standardised(
        self, features: Float[np.ndarray, "image unit"]
    ) -> Float32[np.ndarray, "image unit"]:
        return np.asarray(self._scaler.transform(features), dtype=np.float32)

    @staticmethod
    def _slopes(
        weights: list[np.ndarray], values: np.ndarray, labels: np.ndarray
    ) -> tuple[float, list[np.ndarray]]:
        """Return the log loss of a batch, and the gradient of it and of the penalty."""
        probabilities = _softmax(values @ weights[0] + weights[1])
        rows = np.arange(len(labels))
        loss = float(-np.log(np.maximum(probabilities[rows, labels], 1e-30)).mean())
        probabilities[rows, labels] -= 1
        slope = probabilities / np.float32(len(labels))
        of_loss = values.T @ slope, slope.sum(axis=0)
        decay = np.float32(PENALTY)
        return loss, [own + decay * each for own, each in zip(of_loss, weights, strict=True)]


def _softmax(scores: Float32[np.ndarray, "image label"]) -> Float32[np.ndarray, "image label"]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def truncated_normal(n: int, *, keras: int = 3) -> Float32[np.ndarray, " n"]:
    """Return normal numbers between -2 and 2 as TensorFlow draws them with the seed 0.

    Each four are the first within the bounds of a part of the generator's sequence of their own.
    """
    key, high = GRAPH_SEED, 0
    if keras == 3:
        mixed = [int(each) for each in philox(np.zeros(1, dtype=np.uint64), 0, SCRAMBLE)[0]]
        key, high = mixed[0] | mixed[1] << 32, mixed[2] | mixed[3] << 32
    groups, n_counters = -(-n // 4), 16  # 64 numbers, of which 95 % are within the bounds
    starts = RESERVED * np.arange(groups, dtype=np.uint64)[:, None]
    counters = (starts + np.arange(n_counters, dtype=np.uint64)).ravel()
    normal = _box_muller(philox(counters, high, key).reshape(groups, 4 * n_counters))
    inside = np.abs(normal) < 2
    place = np.cumsum(inside, axis=1) - 1
    found = np.zeros((groups, 4), dtype=np.float32)
    rows, columns = np.nonzero(inside & (place < 4))
    found[rows, place[rows, columns]] = normal[rows, columns]
    return found.ravel()[:n]


def _box_muller(bits: UInt32[np.ndarray, "group number"]) -> Float32[np.ndarray, "group number"]:
    """Return normal numbers of pairs of random bits, 23 of which are those of a float32."""
    uniform = (bits & 0x7FFFFF | 0x3F800000).astype(np.uint32).view(np.float32) - np.float32(1)
    radius = np.sqrt(np.float32(-2) * np.log(np.maximum(uniform[:, ::2], np.float32(1e-7))))
    angle = (2 * np.pi * uniform[:, 1::2].astype(np.float64)).astype(np.float32)
    made = np.empty_like(uniform)
    made[:, ::2], made[:, 1::2] = np.sin(angle) * radius, np.cos(angle) * radius
    return made


def philox(counters: np.ndarray, high: int, key: int) -> UInt32[np.ndarray, "counter 4"]:
    """Return the four random numbers of each counter: Philox 4x32 with 10 rounds.

    Parameters
    ----------
    counters, high
        Low halves of the counters, and the high half of all; both below 2**64.
    key
        Key below 2**64.
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    x = [counters & low, counters >> half]
    x += [np.full_like(counters, each) for each in (high & 0xFFFFFFFF, high >> 32)]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [
            (second >> half) ^ x[1] ^ np.uint64(keys[0]),
            second & low,
            (first >> half) ^ x[3] ^ np.uint64(keys[1]),
            first & low,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(x, axis=-1).astype(np.uint32)
