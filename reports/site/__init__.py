"""What all pages share: style, numbers, formulas, figures and templates."""

__all__: list[str] = []
