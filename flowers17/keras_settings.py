"""What Keras will read from its environment and its `keras.json`, told without importing it.

The backend may be chosen in either. The numbers of that file may not: who has others than Keras's
own there would get other results under the same key.
"""

import json
import os
from pathlib import Path
from typing import Any

from flowers17.errors import InvalidSettings

OWN = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def keras_backend() -> str:
    """Return the backend that Keras computes with: $KERAS_BACKEND, keras.json's, or TensorFlow."""
    chosen = os.environ.get("KERAS_BACKEND") or _settings().get("backend", "tensorflow")
    return str(chosen)


def check_keras_settings() -> None:
    """Raise InvalidSettings if keras.json holds other numbers than Keras's own."""
    found = _settings()
    for name, wanted in OWN.items():
        if found.get(name, wanted) != wanted:
            raise InvalidSettings(
                f"{_path()}: expected {name} {wanted}, with which all results here are computed, "
                f"got {found[name]}; change it, or set KERAS_HOME to a folder without that file"
            )


def _settings() -> dict[str, Any]:
    """Return what keras.json holds; nothing if there is none, or Keras would not read it."""
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    """Return where Keras looks for the file."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")  # noqa: PTH111 (Path.home() fails where there is none)
        home = f"{user if os.access(user, os.W_OK) else '/tmp'}/.keras"
    return Path(home, "keras.json").expanduser()
