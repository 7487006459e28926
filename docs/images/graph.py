"""Takes graph.png, the picture of the asset graph in the README, from a running Dagster UI.

    make run && make dev                                           in one shell
    python3 -m venv /tmp/picture                                   in another
    /tmp/picture/bin/pip install playwright pillow
    /tmp/picture/bin/python docs/images/graph.py /usr/bin/chromium

The argument is a Chromium; on Debian, `apt-get install chromium` installs one. For a picture in which every asset has
been materialized, first land a file with objects (docs/landing.md), then launch the jobs `stats` and `one_heartbeat` in
the UI, and `products` last.
"""

import io
import sys
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import sync_playwright

# Without the totals that are made of the whole catalogue at once: with them, nothing can be read.
SHOWN = (
    'group:"bronze" or group:"silver" or group:"products" or key:"yearly_approaches" or key:"near_miss_count" or '
    'key:"total_yearly_approaches" or key:"total_near_misses" or key:"snapshot"'
)
UI = f"http://127.0.0.1:3000/asset-groups~{quote(SHOWN)}"
TARGET = Path(__file__).with_name("graph.png")
MARGIN_PX = 30

# The UI's own settings: the graph top to bottom, the navigation folded.
VIEW = """
    localStorage.setItem('asset-graph-direction', '"vertical"');
    localStorage.setItem('dagster-nav-collapsed', 'true');
"""

# What the graph's boxes cover, in pixels of the page.
EXTENT = """() => {
    const boxes = [...document.querySelectorAll('svg foreignObject')].map(box => box.getBoundingClientRect());
    const shown = boxes.filter(box => box.width > 20);
    const x = Math.min(...shown.map(box => box.left)), y = Math.min(...shown.map(box => box.top));
    const right = Math.max(...shown.map(box => box.right)), bottom = Math.max(...shown.map(box => box.bottom));
    return {x, y, width: right - x, height: bottom - y};
}"""


def take(chromium: str) -> bytes:
    """A PNG of the graph, its groups expanded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 4000, "height": 2500})  # large enough to show each asset's details
        page.add_init_script(VIEW)
        page.goto(UI)
        page.wait_for_selector("svg foreignObject")
        page.keyboard.press("Alt+e")  # expands all groups
        page.get_by_text("Latest event").first.wait_for()
        page.wait_for_timeout(10_000)  # the status of each asset comes later, and nothing shows when all have come
        extent = page.evaluate(EXTENT)
        clip = {
            "x": extent["x"] - MARGIN_PX,
            "y": extent["y"] - MARGIN_PX,
            "width": extent["width"] + 2 * MARGIN_PX,
            "height": extent["height"] + 2 * MARGIN_PX,
        }
        picture = page.screenshot(clip=clip)
        browser.close()
    return picture


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shown = Image.open(io.BytesIO(take(sys.argv[1]))).convert("RGB")
    colours = shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # a third of the bytes
    colours.save(TARGET, optimize=True)
    print(f"{TARGET}: {colours.width} x {colours.height}, {TARGET.stat().st_size / 1000:.0f} kB")
