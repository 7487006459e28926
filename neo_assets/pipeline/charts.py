"""Bar charts as SVG, small enough to be kept in a history of runs. What is drawn, and where it is shown, is decided
elsewhere.
"""

from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 20, 20, 44, 24
_MOST_LABELS = 12


def bars(numbers: dict[str, int], title: str) -> str:
    """A bar for each number, with its name below; of many names, only some are written.

    Args:
        numbers: the numbers, none of them negative, by name, from left to right.
        title: what is counted.
    """
    most = max(numbers.values(), default=0)
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(numbers), 1)
    bottom = _HEIGHT - _BOTTOM
    every = -(-len(numbers) // _MOST_LABELS)
    path, labels = [], []
    for place, (name, number) in enumerate(numbers.items()):
        middle = _LEFT + (place + 0.5) * step
        height = (bottom - _TOP) * number / most if most else 0
        path.append(f"M{middle:.1f} {bottom}V{bottom - height:.1f}")
        if place % every == 0:
            labels.append(f'<text x="{middle:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(name)}</text>')
        if len(numbers) <= _MOST_LABELS:
            over = bottom - height - 4
            labels.append(f'<text x="{middle:.1f}" y="{over:.1f}" text-anchor="middle">{number:,}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>'
        f'<path d="{"".join(path)}" stroke="#3b6ea5" stroke-width="{0.8 * step:.2f}"/>{"".join(labels)}</svg>'
    )


def described(numbers: dict[str, int], title: str) -> str:
    """What the chart shows, in words, for those who cannot see it."""
    if not numbers:
        return f"{title}: none"
    top = max(numbers, key=lambda name: numbers[name])
    first, last = next(iter(numbers)), next(reversed(numbers))
    return f"{title}, {first} to {last}; most in {top}: {numbers[top]:,}"
