"""What a network says of images, and how right it is."""

import keras
import numpy as np

from flowers17.learners.images import scaled


def probabilities(
    model: keras.Model, images: np.ndarray, *, batch_size: int = 64, flips: bool = False
) -> np.ndarray:
    """Return class probabilities, float32 (n, n_classes), of images or activations, as `Examples`.

    flips: whether to average those of an image and of its mirror image; of images only.
    """
    if flips:
        both = (images, images[:, :, ::-1])
        first, second = (probabilities(model, one, batch_size=batch_size) for one in both)
        return (first + second) / np.float32(2)
    parts = [
        np.asarray(model.predict_on_batch(scaled(images[start : start + batch_size])))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts).astype(np.float32)


def measures(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy.

    >>> loss, accuracy = measures(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1]))
    >>> round(loss, 4), accuracy
    (0.4904, 1.0)
    """
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.clip(of_truth, 1e-7, 1.0)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
