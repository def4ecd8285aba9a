"""Templates of our packages: nothing is left undefined, and HTML is escaped."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(*packages: str, is_html: bool = True) -> Environment:
    """The environment of the templates in `templates/`, here and in further packages."""
    names = (*packages, "flowers17.reporting")
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in names]),
        autoescape=is_html,
        keep_trailing_newline=not is_html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
