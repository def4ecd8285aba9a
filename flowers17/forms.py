"""The form of each flow: what every form has, and fields for the settings in `forms.yaml`.

Untouched, a form is its profile.
"""

from pathlib import Path

import yaml

from flowers17.request import form

_DESCRIBED = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text())
DESCRIPTIONS: dict[str, str] = {flow: described["does"] for flow, described in _DESCRIBED.items()}
FORMS = {flow: form(flow, *described["fields"]) for flow, described in _DESCRIBED.items()}
