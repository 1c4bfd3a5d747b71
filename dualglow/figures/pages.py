"""Small HTML pages, each whole in one file: what the report shows where a table or a text would be a download."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(name: str, **facts: object) -> str:
    """Fill the template `<name>.html.jinja`; everything in `facts` is escaped."""
    return _ENVIRONMENT.get_template(f"{name}.html.jinja").render(**facts)


def is_text(cells: list[str]) -> bool:
    """Whether a column is of words, which stand at the left, and not of numbers, of which all may be missing."""
    return not all(cell[:1].isdigit() or cell[:2] in _SIGNED or cell in ("n/a", "") for cell in cells)


_SIGNED = {f"{sign}{digit}" for sign in "+-<" for digit in range(10)}
_ENVIRONMENT = Environment(
    loader=PackageLoader("dualglow.figures"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
)
