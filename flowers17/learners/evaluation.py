"""Class probabilities of a network, their loss and accuracy."""

import keras
import numpy as np

from flowers17.learners.images import scaled


def probabilities(
    model: keras.Model, images: np.ndarray, *, batch_size: int = 64, flips: bool = False
) -> np.ndarray:
    """Class probabilities of images or activations: float32 (n, n_classes).

    images: as the inputs of `Examples`. flips: average over each image and its mirror image.
    """
    if flips:
        views = (images, images[:, :, ::-1])
        proba, mirrored_proba = (
            probabilities(model, view, batch_size=batch_size) for view in views
        )
        return (proba + mirrored_proba) / np.float32(2)
    batches = [
        np.asarray(model.predict_on_batch(scaled(images[start : start + batch_size])))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def loss_and_accuracy(
    proba: np.ndarray, labels: np.ndarray, class_weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Mean cross-entropy, in nats, and accuracy.

    class_weights: float (n_classes,), by which the images of a class count in the loss.

    >>> loss, accuracy = loss_and_accuracy(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1]))
    >>> round(loss, 4), accuracy
    (0.4904, 1.0)
    """
    true_class_proba = proba[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.clip(true_class_proba, 1e-7, 1.0))
    if class_weights is None:
        loss = losses.mean()
    else:
        loss = np.average(losses, weights=class_weights[labels])
    return float(loss), float((proba.argmax(axis=1) == labels).mean())
