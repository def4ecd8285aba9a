"""How our pages become HTML: templates of this package, escaped, with nothing left undefined."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(*packages: str) -> Environment:
    """The environment of the templates in `templates/`, here and in further packages."""
    names = (*packages, "flowers17.reporting")
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in names]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
