"""How our pages become HTML: templates of this package, escaped, with nothing left undefined."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """The environment of the templates in `templates/`."""
    return Environment(
        loader=PackageLoader("flowers17.reporting", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
