"""Takes the picture of the demo's page with numbered marks; needs Chromium (``chromium --headless``).

kernelscope demo --out out
python docs/figures/annotated_page.py out/report.html docs/figures/page.png
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

#: beside what the numbers of docs/reading_a_report.md stand: a selector, then words that headings begin with
FIRST = {".answers li": 'class="answers"', "a[href='#warnings']": 'href="#warnings"'}
HEADINGS = (
    "What was measured",
    "Ranking",
    "Distillation Loss Statement",
    "The numbers",
    "How to read it",
    "Where the teacher's kernel goes",
)
LAST = "Nearest neighbours"  #: the picture ends after this section
WIDTH, HEIGHT, MARGIN, COLOURS = 1100, 6000, 24, 64
SCRIPT = """<script>
addEventListener("load", () => {
  const headings = [...document.querySelectorAll("h2")], marks = MARKS;
  const found = (name) => headings.find((h) => h.textContent.trim().startsWith(name)) || document.querySelector(name);
  let last = found(LAST).closest("section");
  while (last.nextElementSibling) last.nextElementSibling.remove();
  marks.forEach((name, i) => {
    const box = found(name).getBoundingClientRect(), mark = document.createElement("b");
    mark.textContent = i + 1;
    mark.style.cssText = `position:absolute;left:${Math.max(2, box.left - 30)}px;top:${box.top + scrollY}px;width:26px;
      height:26px;border-radius:13px;background:#c8500a;color:#fff;text-align:center;font:bold 15px/26px sans-serif`;
    document.body.append(mark);
  });
});
</script></body>"""


def marked(page: str) -> str:
    """The page with its marks, which take a script that its own policy would not allow."""
    text = html.unescape(page)
    missing = [name for name in (*FIRST.values(), *(f">{h}" for h in (*HEADINGS, LAST))) if name not in text]
    assert not missing, f"the page has no {missing}; name its parts anew, here and in docs/reading_a_report.md"
    script = SCRIPT.replace("MARKS", json.dumps([*FIRST, *HEADINGS, LAST])).replace("LAST", json.dumps(LAST))
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return page.replace("<body>", '<body style="padding-left:34px">').replace("</body>", script)


def main(page: Path, picture: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "install Chromium"
    with tempfile.TemporaryDirectory() as folder:
        copy, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        copy.write_text(marked(page.read_text(encoding="utf-8")), encoding="utf-8")
        words = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
        subprocess.run([chromium, *words, f"--screenshot={shot}", copy.as_uri()], check=True, timeout=120)
        image = Image.open(shot).convert("RGB")
        paper = Image.new("RGB", image.size, image.getpixel((WIDTH - 1, HEIGHT - 1)))
        end = ImageChops.difference(image, paper).getbbox()[3] + MARGIN
        image.crop((0, 0, WIDTH, end)).quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
