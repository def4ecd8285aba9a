"""Clean accuracy of logistic regression by the project's groups, beside groups made by hand.

Sets are archives of class folders, the last folder above an image its class; images below `test`
are left out. Groups by hand come from another method, MobileNet's features at 224 pixels, centred:
pairs were shown side by side and looked at, down to cosine 0.8 of the brain scans (28 pairs, one
scan each), 0.88 of the groceries (96 pairs, one shelf or object each) and 0.85 of the sign digits
(2 pairs, different hands, so that none is kept). Identical pixels are added. Printed for each set:
pairs and largest group of either, and the mean over eight clean splits with its interval.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from measuring import SEED, print_machine

MIN_COSINE = {"own_brain_mri": 0.8, "own_grocery": 0.88, "own_sign_digits": 1.0}
SIZES = (128, 224)


def images_of(archive: Path) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Return the squares of an archive's images, by side, and their labels."""
    from flowers17.data.decoding import squares

    decoded, classes = [], []
    with tarfile.open(archive) as members:
        for member in sorted(members, key=lambda member: member.name):
            path = Path(member.name)
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and "test" not in path.parts:
                data = members.extractfile(member) or io.BytesIO()
                decoded.append(squares(data.read(), path.name, list(SIZES))[1])
                classes.append(path.parent.name)
    images = {size: np.stack([each[size] for each in decoded]) for size in SIZES}
    return images, np.unique(classes, return_inverse=True)[1]


def main(argv: list[str] | None = None) -> None:
    """Measure each archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", type=Path, nargs="+", help="own_brain_mri.tgz …")
    parser.add_argument("--weights-dir", type=Path, required=True)
    options = parser.parse_args(argv)
    print_machine()
    import keras
    from sklearn.linear_model import LogisticRegression

    from flowers17.data.duplicates import Pair, groups, identical_pairs, merged_pairs
    from flowers17.data.likeness import near_duplicates
    from flowers17.data.splits import study_splits
    from flowers17.reporting.metrics import mean_spread

    extractor = keras.applications.MobileNet(include_top=False, weights=None, pooling="avg")
    extractor.load_weights(options.weights_dir / "mobilenet_224_notop.weights.h5")
    for archive in options.archives:
        images, labels = images_of(archive)
        features = extractor.predict(images[224] / np.float32(127.5) - 1, verbose=0)
        features = (features - features.mean(0)) / features.std(0).clip(1e-6)
        copies = identical_pairs(images[128])
        resemblance = near_duplicates(images[128], copies=copies)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        alike = np.argwhere(np.triu(unit @ unit.T >= MIN_COSINE[archive.stem], 1))
        by_hand = [Pair(int(first), int(second)) for first, second in alike]
        own = [] if resemblance.look_alike else resemblance.pairs
        for title, pairs in (("project", own), ("by hand", by_hand)):
            group_of = groups(merged_pairs(copies, pairs), len(labels))
            splits = study_splits(
                labels, group_of, validation_fraction=0.25, n_repeats=8, seed=SEED
            )
            accuracies = []
            for split in splits[2:]:
                model = LogisticRegression(C=0.01, max_iter=500)
                model.fit(features[split.train], labels[split.train])
                held_out = features[split.validation], labels[split.validation]
                accuracies.append(model.score(*held_out))
            sizes = {"n_train": len(split.train), "n_validation": len(split.validation)}
            mean = mean_spread(accuracies, **sizes)
            interval = " to ".join(f"{end:.3f}" for end in mean.interval or ())
            print(
                f"{archive.stem}, {title}: {len(pairs)} pairs and {len(copies)} copies, largest "
                f"group {np.bincount(group_of).max()}, accuracy {mean.mean:.3f} ({interval})"
            )


if __name__ == "__main__":
    main()
