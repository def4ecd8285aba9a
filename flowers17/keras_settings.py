"""Settings that Keras reads from its environment and `keras.json`, without importing it.

The backend may be chosen in either. The numbers of that file must be Keras's defaults: others
would give other results under the same key.
"""

import json
import os
from pathlib import Path
from typing import Any

from flowers17.errors import InvalidSettings

KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def keras_backend() -> str:
    """Return the backend that Keras computes with: $KERAS_BACKEND, keras.json's, or TensorFlow."""
    chosen = os.environ.get("KERAS_BACKEND") or _settings().get("backend", "tensorflow")
    return str(chosen)


def check_keras_settings() -> None:
    """Raise InvalidSettings if keras.json holds other numbers than Keras's defaults."""
    settings = _settings()
    for name, expected in KERAS_DEFAULTS.items():
        if settings.get(name, expected) != expected:
            raise InvalidSettings(
                f"{_settings_path()}: expected {name} {expected}, with which all "
                f"results here are computed, got {settings[name]}; change it, or set KERAS_HOME "
                "to a folder without that file"
            )


def _settings() -> dict[str, Any]:
    """Content of keras.json; empty if there is none, or Keras would not read it."""
    try:
        settings = json.loads(_settings_path().read_text())
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _settings_path() -> Path:
    """Path of the file, as Keras looks for it."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")  # noqa: PTH111 (Path.home() fails where there is none)
        home = f"{user if os.access(user, os.W_OK) else '/tmp'}/.keras"
    return Path(home, "keras.json").expanduser()
